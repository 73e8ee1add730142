"""Images larger than memory: OME-Zarr in and out, block by block, on the workers of a Dask cluster.

A worker holds one block at a time. What it found there is written whole: a command that was killed goes on.
"""

import contextlib
import itertools
from pathlib import Path
from typing import NamedTuple

import dask
import dask.array
import numpy as np
import pandas as pd
from ome_zarr.io import parse_url
from ome_zarr.reader import Multiscales, Reader
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import segmentation
import tiles
from data import Sample, intensity_limits
from parallel import cluster
from readers.images import as_image
from scores.measurements import measure_objects
from system.files import written_whole
from tiles import round_up
from unet import reach

SIDE, OVERLAP = 3072, 1024  # px of a block, and what the windows of neighbours share
CHUNK = 1024  # px of the chunks that are written
STEP = 64  # px, about, of whose multiples blocks are made
PATCHES, PATCH = 16, 256  # along each side, and px: what is looked at of a scan before it is segmented
DULL = 0.5  # of the greatest contrast: a middle with less is not looked at
MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


class Job(NamedTuple):
    """What a worker must know: the scan, its channel, the folder for pieces, the network, how both are shown to each other."""

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

    def piece(self, number):
        """The file of what was found in a block."""
        return Path(self.pieces) / f"{number:06d}.npy"

    def scan(self):
        """The dask array of ``open_scan``."""
        return open_scan(self.source, self.channel)[0]

    def blocks(self):
        """The Blocks of the scan."""
        return tiles.blocks(self.scan().shape, self.side, self.overlap)


def open_scan(path, channel=None, least=None):
    """The largest resolution of an OME-Zarr image: (dask array (H, W), µm per px or None).

    ``least``: the smallest resolution instead that is at least so many px high or wide, if there is one. Raises ValueError
    that names the folder for what is no such image, or several, a volume, a film, and a channel that is not there.
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
        raise ValueError(f"{path}: has no channel {channel}; its channels are 1 to {channels}.")
    plane = array[tuple(slice(None) if name in "yx" else (channel or 1) - 1 if name == "c" else 0 for name in names)]
    changes = node.metadata.get("coordinateTransformations") or [[]] * len(levels)  # before version 0.4 there were none
    steps = next((part["scale"] for part in changes[level] if part["type"] == "scale"), None)
    unit = MICROMETRES.get(axes[wide].get("unit"))
    return plane, steps[wide] * unit if unit and steps else None


def _image_in(path):
    """The image of an OME-Zarr folder, as ome_zarr reads it."""

    def found(folder):
        place = parse_url(folder)
        return [] if place is None else [node for node in Reader(place)() if node.load(Multiscales)][:1]

    # bioformats2raw puts the images of a file into 0, 1, ...
    images = found(path) or [image for folder in sorted(Path(path).glob("[0-9]*")) for image in found(folder)]
    if not images:
        raise ValueError(f"{path}: no image in it; expected OME-Zarr with multiscales.")
    if len(images) > 1:
        raise ValueError(f"{path}: holds {len(images)} images; name one, as {Path(path) / '0'}.")
    return images[0]


def segment_scan(client, job, target, pixel_size=None):
    """Number the objects of a scan, as OME-Zarr at ``target``, and measure them: DataFrame as of ``measure_objects``.

    One row per object; one wider than half of the job's overlap may be measured in part. Raises what a worker raised.
    """
    scan, blocks = job.scan(), job.blocks()
    pairs = tiles.neighbouring_blocks(*tiles.block_grid(scan.shape, job.side))
    found = _results(cluster.run(client, label_block, [(job, n) for n in range(len(blocks))], "Segmenting", "block"))
    same = _results(cluster.run(client, compare_blocks, [(job, *pair) for pair in pairs], "Joining", "pair"))
    names = join(found, same)
    write_labels(job, scan.shape, names, target, pixel_size)
    rest = [(job, n, labels, str(target), pixel_size) for n, labels in enumerate(shares(found, names))]
    tables = list(_results(cluster.run(client, measure_block, rest, "Measuring", "block")).values())
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)  # empty ones have no dtypes


def _results(finished):
    """{what stands behind the job in an item: result}, in the order of these; raises the first exception."""
    results = {}
    with contextlib.closing(finished):  # after an exception the workers need not do the rest
        for (_, *where), result in finished:
            if isinstance(result, Exception):
                raise result
            results[tuple(part for part in where if isinstance(part, int))] = result
    return dict(sorted(results.items()))


def looked_at(job, network, diameter):
    """A job with the intensities that the network sees as 0 and 1, and the scale that ``segmentation.find_scale`` finds.

    Intensities are those of patches all over the scan. The scale is found in its middle, or where the patch of the greatest
    contrast is, when the middle is dull: a slide may have its tissue elsewhere.
    """
    scan = job.scan()
    places = _patches(scan.shape)
    patches = dask.compute(*(scan[place] for place in places))
    if not all(np.isfinite(patch).all() for patch in patches):
        raise ValueError(f"{job.source}: holds pixels that are NaN or infinite; replace them.")
    job = job._replace(limits=intensity_limits(np.concatenate([patch.ravel() for patch in patches])))

    def contrast(patch):
        return float(np.clip(patch, *job.limits).std())  # of a speck as bright as can be no more than of tissue

    middle = tuple(slice(side // 2, side // 2 + 1) for side in scan.shape)
    contrasts = [contrast(patch) for patch in patches]
    if contrast(scan[_around(middle, scan.shape, PATCH)].compute()) < DULL * max(contrasts):
        middle = places[int(np.argmax(contrasts))]
    image = scan[_around(middle, scan.shape, segmentation.LOOKED_AT)].compute()
    return at_scale(job, segmentation.find_scale(_sample(job, image), network, diameter, job.limits), network.config)


def _patches(shape):
    """Places (two slices each) of patches all over an image of ``shape``, one somewhere in each field of a grid: list."""
    sides = [round_up(length, PATCHES) // PATCHES for length in shape]
    places = itertools.product(*(range(0, length, side) for length, side in zip(shape, sides, strict=True)))
    chance = np.random.default_rng(0)  # a regular grid may meet the glass between the cores of a tissue array only
    found = []
    for place in places:
        starts = [start + chance.integers(max(1, side - PATCH + 1)) for start, side in zip(place, sides, strict=True)]
        found.append(tuple(slice(start, start + min(side, PATCH)) for start, side in zip(starts, sides, strict=True)))
    return [place for place in found if all(part.start < length for part, length in zip(place, shape, strict=True))]


def _around(place, shape, side):
    """A place (two slices) of at most ``side`` px around the middle of another one, in an image of ``shape``."""
    middles = [(part.start + part.stop) // 2 for part in place]
    starts = [max(0, min(middle - side // 2, length - side)) for middle, length in zip(middles, shape, strict=True)]
    return tuple(slice(start, min(start + side, length)) for start, length in zip(starts, shape, strict=True))


def overview(job, labels, side):
    """A scan and its objects, at most ``side`` px high and wide, and what one row says of it: ((image, objects), dict)."""
    image, objects = open_scan(job.source, job.channel, side)[0], open_scan(labels, None, side)[0]
    steps = -(-max(image.shape) // side), max(1, max(objects.shape) // side)
    image, objects = dask.compute(*(array[::step, ::step] for array, step in zip((image, objects), steps, strict=True)))
    rows, columns = (np.arange(count) * length // count for count, length in zip(image.shape, objects.shape, strict=True))
    small = objects[np.ix_(rows, columns)].astype(np.int32)
    height, width = job.scan().shape
    return (image, small), {"height": height, "width": width, "foreground_share": float((small > 0).mean())}


def _sample(job, image):
    image = np.float32(sum(job.limits or intensity_limits(image))) - image if job.invert else image  # limits change places
    return Sample(job.source, as_image(image, job.source), np.zeros(image.shape, np.uint8))


def at_scale(job, scale, config):
    """A job whose scan is shown enlarged by about ``scale``, in windows as large as memory bears and objects need.

    The network sees the same in the windows of neighbours only when each begins at the same place of a pooling cell: the
    scale is rounded, by little more than 1 %, so that a multiple of px in the scan, with which every window begins and ends,
    is a multiple of pooling cells to the network. What a window's edge changes must not reach what is used of it.
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


def label_block(job, number):
    """Number the objects of a block and keep them in a file: (highest number, those in the block's own part)."""
    block, path = job.blocks()[number], job.piece(number)
    if not path.exists():
        image = job.scan()[block.window].compute(scheduler="synchronous")
        objects, _, _ = segmentation.number_objects(
            _sample(job, image), cluster.open_once(job.model, job.engine), job.scale, job.tta, job.limits, job.multiple
        )
        with written_whole(path) as temporary:
            np.save(temporary, objects[tiles.within(block.used, block.window)])
    objects = np.load(path, mmap_mode="r")
    own = np.unique(objects[tiles.within(block.own, block.used)])
    return int(objects.max(initial=0)), own[own > 0]


def compare_blocks(job, one, other):
    """Pairs of numbers of two neighbouring blocks that are the same object: int (2, N)."""
    blocks = job.blocks()
    used = blocks[one].used, blocks[other].used
    both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*used, strict=True))
    pieces = (np.load(job.piece(number), mmap_mode="r") for number in (one, other))
    return tiles.same_objects(*(np.asarray(p[tiles.within(both, u)]) for p, u in zip(pieces, used, strict=True)))


def join(found, same):
    """The numbers in the whole image for those of every block, 1 to their count: [uint32 (highest number + 1,)].

    ``found``: {(block,): result of ``label_block``}; ``same``: {(block, other): result of ``compare_blocks``}.
    """
    first = np.cumsum([0, *(highest for highest, _ in found.values())])
    pairs = [np.asarray(pair) + np.array([[first[one]], [first[other]]]) for (one, other), pair in same.items()]
    rows, columns = np.hstack([np.zeros((2, 0), int), *pairs])
    graph = coo_array((np.ones(len(rows)), (rows, columns)), (first[-1] + 1, first[-1] + 1))
    objects = connected_components(graph, directed=False)[1]
    seen = np.unique(objects[np.concatenate([own + start for start, (_, own) in zip(first, found.values(), strict=False)])])
    numbers = np.zeros(objects.max() + 1, np.uint32)
    numbers[seen] = np.arange(1, len(seen) + 1)
    parts = [numbers[objects[start + 1 : end + 1]] for start, end in itertools.pairwise(first)]
    return [np.append(np.uint32(0), part) for part in parts]


def shares(found, names):
    """The objects that each block measures: of those in its own part the ones that no block before has. [uint32 (N,)]."""
    labels = [numbers[own] for numbers, (_, own) in zip(names, found.values(), strict=True)]
    blocks = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    first = np.sort(np.unique(np.concatenate(labels), return_index=True)[1])
    return np.split(np.concatenate(labels)[first], np.searchsorted(blocks[first], np.arange(1, len(labels))))


def write_labels(job, shape, names, target, pixel_size):
    """Write what was found in all blocks as one OME-Zarr image, uint32, with smaller ones of it to look at."""
    blocks, (rows, columns) = job.blocks(), tiles.block_grid(shape, job.side)
    own = [
        dask.array.from_delayed(dask.delayed(_named)(job, number, block, names[number]), _size(block.own), np.uint32)
        for number, block in enumerate(blocks)
    ]
    array = dask.array.block([own[row * columns : (row + 1) * columns] for row in range(rows)]).rechunk(CHUNK)
    unit = {"axes_units": {"y": "micrometer", "x": "micrometer"}} if pixel_size else {}
    write_image(array, str(target), axes="yx", method=Methods.NEAREST, scale=dict.fromkeys("yx", pixel_size or 1.0), **unit)


def _named(job, number, block, names):
    return names[np.load(job.piece(number), mmap_mode="r")[tiles.within(block.own, block.used)]]


def _size(place):
    return tuple(side.stop - side.start for side in place)


def measure_block(job, number, mine, labels, pixel_size):
    """Measure the objects ``mine`` as far as a block's window shows them: DataFrame as of ``measure_objects``, of the scan."""
    scan, block = job.scan(), job.blocks()[number]
    there = open_scan(labels)[0][block.window].compute(scheduler="synchronous")
    numbers, objects = np.unique(np.append(0, np.where(np.isin(there, mine), there, 0)), return_inverse=True)
    objects = objects[1:].reshape(there.shape)
    boxes = [_shifted(box, block.window) for box in ndimage.find_objects(objects)]
    table = measure_objects(objects, pixel_size, scan[block.window].compute(scheduler="synchronous"))
    ends = [zip(boxes[label - 1], scan.shape, strict=True) for label in table["label"]]
    return table.assign(
        label=numbers[table["label"]],
        row=table["row"] + block.window[0].start,
        column=table["column"] + block.window[1].start,
        touches_border=np.array([any(b.start == 0 or b.stop == length for b, length in sides) for sides in ends], bool),
    )


def _shifted(box, window):
    return tuple(slice(b.start + w.start, b.stop + w.start) for b, w in zip(box, window, strict=True))
