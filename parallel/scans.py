"""Images larger than memory: read OME-Zarr, and choose how its blocks are cut and shown to the network.

``blocks.py`` segments them.
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import dask
import dask.array
import numpy as np
from numpy.typing import NDArray
from ome_zarr.io import parse_url
from ome_zarr.reader import Multiscales, Reader

import segmentation
import tiles
from data import check_image, intensity_limits, to_channels
from readers.images import as_image, describe_channels
from tiles import round_up
from unet import reach

SIDE, OVERLAP = 3072, 1024  # px of a block, and px that the windows of neighbours share
STEP = 64  # px; sides of blocks are multiples of about this length
PATCHES, PATCH = 16, 256  # patches along each side, and their px: the parts of a scan that decide its intensity limits
DULL = 0.5  # share of the greatest contrast; a middle with less contrast is not used to find the scale
MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


class Job(NamedTuple):
    """All that a worker must know to segment a block.

    ``source``, ``channel``: the scan. ``pieces``: the folder for the objects of each block. ``model``, ``engine``: the network.
    ``scale``, ``multiple``, ``tta``, ``limits``: see ``segmentation.number_objects``. ``invert``: exchange dark and bright.
    ``side``, ``overlap``: px of a block, and px that the windows of neighbours share.
    """

    source: str
    channel: int | None
    pieces: str
    model: str
    engine: str = "keras"
    scale: float = 1.0
    multiple: int = 1
    tta: int = segmentation.DEFAULT_TTA
    invert: bool = False
    limits: tuple | None = None
    side: int = SIDE
    overlap: int = OVERLAP

    def piece(self, number: int) -> Path:
        """Return the file for the objects of a block."""
        return Path(self.pieces) / f"{number:06d}.npy"

    def scan(self) -> dask.array.Array:
        """Return the array of ``open_scan``."""
        return open_scan(self.source, self.channel)[0]

    def blocks(self) -> list[tiles.Block]:
        """Return the blocks of the scan."""
        return tiles.blocks(self.scan().shape, self.side, self.overlap)

    def shown(self, image: NDArray, channels: int) -> NDArray:
        """Return a part of the scan (h, w) as the network sees it: (h, w, channels). Raises ValueError for NaN in it."""
        image = as_image(image, self.source)
        check_image(self.source, image)
        if self.invert:
            image = np.float32(sum(self.limits or intensity_limits(image))) - image  # the limits change places
        return to_channels(image, channels, self.source)


def open_scan(path, channel=None, least=None) -> tuple[dask.array.Array, float | None]:
    """Open the largest resolution of an OME-Zarr image: (dask array (H, W), µm per px or None).

    ``least``: open the smallest resolution that is at least so many px high or wide, if there is one. Raises ValueError that
    names the folder if it is no such image, or holds several images, slices or times, and for a channel that it does not have.
    """
    node = _image_in(path)
    axes, levels = node.metadata["axes"], node.data
    names = [axis["name"] for axis in axes]
    high, wide = names.index("y"), names.index("x")
    enough = [array for array in levels if least and max(array.shape[high], array.shape[wide]) >= least]
    level = max(0, len(enough) - 1)
    array = levels[level]
    sizes = dict(zip(names, array.shape, strict=True))
    channels = sizes.get("c", 1)
    if many := [f"{sizes[name]} {name}" for name in names if name not in "cyx" and sizes[name] > 1]:
        raise ValueError(f"{path}: holds {', '.join(many)}; one image was expected. Save each as an image of its own.")
    if channel is None and channels > 1:
        raise ValueError(
            f"{path}: holds {channels} channels; choose the one that shows the objects, with --channel 1 to {channels}."
        )
    if channel is not None and not 1 <= channel <= channels:
        raise ValueError(f"{path}: has no channel {channel}; {describe_channels(channels)}.")
    plane = array[tuple(slice(None) if name in "yx" else (channel or 1) - 1 if name == "c" else 0 for name in names)]
    changes = node.metadata.get("coordinateTransformations") or [[]] * len(levels)  # before version 0.4 there were none
    steps = next((part["scale"] for part in changes[level] if part["type"] == "scale"), None)
    unit = MICROMETRES.get(axes[wide].get("unit"))
    return plane, steps[wide] * unit if unit and steps else None


def _image_in(path):
    """Return the image of an OME-Zarr folder, as ome_zarr reads it."""

    def found(folder):
        place = parse_url(folder)
        return [] if place is None else [node for node in Reader(place)() if node.load(Multiscales)][:1]

    # bioformats2raw puts the images of a file into 0, 1, ...
    images = found(path) or [image for folder in sorted(Path(path).glob("[0-9]*")) for image in found(folder)]
    if not images:
        raise ValueError(f"{path}: holds no image; expected OME-Zarr with multiscales.")
    if len(images) > 1:
        raise ValueError(f"{path}: holds {len(images)} images; name one of them, for example {Path(path) / '0'}.")
    return images[0]


def prepare(job: Job, network: segmentation.Network, diameter: float | str | None) -> Job:
    """Return a job with the intensities that the network sees as 0 and 1, and with the scale of ``segmentation.find_scale``.

    The intensities come from patches all over the scan. The scale is found in the middle of the scan, or around the patch with
    the greatest contrast if the middle is dull: on a slide the tissue may lie elsewhere.
    """
    scan = job.scan()
    places = _patches(scan.shape)
    patches = [as_image(patch, job.source) for patch in dask.compute(*(scan[place] for place in places))]
    for patch in patches:
        check_image(job.source, patch)
    job = job._replace(limits=intensity_limits(np.concatenate([patch.ravel() for patch in patches])))

    def contrast(patch):
        return float(np.clip(patch, *job.limits).std())  # clipped, so that a bright speck counts no more than tissue

    middle = tuple(slice(side // 2, side // 2 + 1) for side in scan.shape)
    contrasts = [contrast(patch) for patch in patches]
    if contrast(as_image(scan[_around(middle, scan.shape, PATCH)].compute(), job.source)) < DULL * max(contrasts):
        middle = places[int(np.argmax(contrasts))]
    image = job.shown(scan[_around(middle, scan.shape, segmentation.LOOKED_AT)].compute(), network.config.channels)
    return at_scale(job, segmentation.find_scale(image, network, diameter, job.limits), network.config)


def _patches(shape):
    """Return places (two slices each) of patches in an image of ``shape``, one in each field of a grid: list."""
    sides = [round_up(length, PATCHES) // PATCHES for length in shape]
    places = itertools.product(*(range(0, length, side) for length, side in zip(shape, sides, strict=True)))
    chance = np.random.default_rng(0)  # a regular grid could fall between the cores of a tissue array
    found = []
    for place in places:
        starts = [start + chance.integers(max(1, side - PATCH + 1)) for start, side in zip(place, sides, strict=True)]
        found.append(tuple(slice(start, start + min(side, PATCH)) for start, side in zip(starts, sides, strict=True)))
    return [place for place in found if all(part.start < length for part, length in zip(place, shape, strict=True))]


def _around(place, shape, side):
    """Return a place (two slices) of at most ``side`` px around the middle of another one, in an image of ``shape``."""
    middles = [(part.start + part.stop) // 2 for part in place]
    starts = [max(0, min(middle - side // 2, length - side)) for middle, length in zip(middles, shape, strict=True)]
    return tuple(slice(start, min(start + side, length)) for start, length in zip(starts, shape, strict=True))


def at_scale(job: Job, scale: float, config) -> Job:
    """Return a job that enlarges the scan by about ``scale``, with windows that fit into memory and are larger than objects.

    The windows of neighbours give the same probabilities only if each begins at the same place of a pooling cell. So the
    scale is rounded, by little more than 1 %: a multiple of px in the scan, with which every window begins and ends, becomes a
    multiple of pooling cells. The overlap is so wide that the edge of a window does not reach the part that is used.
    """
    cell, shown = 2**config.depth, scale * config.image_scale
    cells = max(1, round(STEP * shown / cell))
    multiple = round(cells * cell / shown)
    shown = cells * cell / multiple
    window, least = (job.side + job.overlap) / max(1, shown), 4 * reach(config.depth, config.upsampling) / shown
    wanted = job.overlap / shown if shown > 1 else max(job.overlap, job.overlap / 2 / shown)
    overlap = round_up(round(max(wanted, least)), 2 * multiple)
    side = round_up(round(max(window - overlap, overlap / 2)), multiple)
    return job._replace(scale=shown / config.image_scale, multiple=multiple, side=side, overlap=overlap)


def overview(job: Job, labels, side: int) -> tuple[tuple[NDArray, NDArray], dict]:
    """Return a scan and its objects, reduced to at most ``side`` px, and the scan's values for the table of images."""
    image, objects = open_scan(job.source, job.channel, side)[0], open_scan(labels, None, side)[0]
    steps = -(-max(image.shape) // side), max(1, max(objects.shape) // side)
    image, objects = dask.compute(*(array[::step, ::step] for array, step in zip((image, objects), steps, strict=True)))
    rows, columns = (np.arange(count) * length // count for count, length in zip(image.shape, objects.shape, strict=True))
    small = objects[np.ix_(rows, columns)].astype(np.int32)
    height, width = job.scan().shape
    return (image, small), {"height": height, "width": width, "foreground_share": float((small > 0).mean())}
