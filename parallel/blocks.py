"""Segment a scan block by block on the workers of a Dask cluster, join objects across blocks, and measure them.

A worker holds one block at a time. The objects of each block are written to a file, whole or not at all, so that an
interrupted command can be continued.
"""

import contextlib
import itertools

import dask
import dask.array
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from ome_zarr.scale import Methods
from ome_zarr.writer import write_image
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import segmentation
import tiles
from parallel import cluster
from parallel.scans import Job, open_scan
from readers.images import as_image
from scores.measurements import measure_objects
from system.files import written_whole

CHUNK = 1024  # px of the chunks of written label images


def segment_scan(client, job: Job, target, pixel_size: float | None = None) -> pd.DataFrame:
    """Number the objects of a scan, write them as OME-Zarr to ``target``, and measure them, as ``measure_objects``.

    One row per object; an object wider than half of the job's overlap may be measured in part. Raises the exception of a
    worker.
    """
    scan, blocks = job.scan(), job.blocks()
    pairs = tiles.neighbouring_blocks(*tiles.block_grid(scan.shape, job.side))
    found = _results(cluster.run(client, label_block, [(job, n) for n in range(len(blocks))], "Segmenting", "block"))
    same = _results(cluster.run(client, compare_blocks, [(job, *pair) for pair in pairs], "Joining", "pair"))
    numbers = join(found, same)
    write_labels(job, scan.shape, numbers, target, pixel_size)
    rest = [(job, n, labels, str(target), pixel_size) for n, labels in enumerate(assign_objects(found, numbers))]
    tables = list(_results(cluster.run(client, measure_block, rest, "Measuring", "block")).values())
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)  # empty ones have no dtypes


def _results(finished):
    """Return {numbers of blocks in an item: result}, in the order of the numbers. Raises the first exception."""
    results = {}
    with contextlib.closing(finished):  # after an exception the workers need not do the rest
        for (_, *where), result in finished:
            if isinstance(result, Exception):
                raise result
            results[tuple(part for part in where if isinstance(part, int))] = result
    return dict(sorted(results.items()))


def label_block(job: Job, number: int) -> tuple[int, NDArray]:
    """Number the objects of a block and write them to its file: (highest number, the numbers in the block's own part)."""
    block, path = job.blocks()[number], job.piece(number)
    if not path.exists():
        network = cluster.open_once(job.model, job.engine)
        image = job.shown(job.scan()[block.window].compute(scheduler="synchronous"), network.config.channels)
        if network.config.classes > 2:
            raise ValueError(
                f"{job.source}: this network has {network.config.classes} classes; for OME-Zarr, networks need 2. "
                "Save parts of the image as TIFF."
            )
        objects, _, _ = segmentation.number_objects(image, network, job.scale, job.tta, job.limits, job.multiple)
        with written_whole(path) as temporary:
            np.save(temporary, objects[tiles.within(block.used, block.window)])
    objects = np.load(path, mmap_mode="r")
    own = np.unique(objects[tiles.within(block.own, block.used)])
    return int(objects.max(initial=0)), own[own > 0]


def compare_blocks(job: Job, one: int, other: int) -> NDArray:
    """Return the pairs of numbers of two neighbouring blocks that are the same object: int (2, N)."""
    blocks = job.blocks()
    used = blocks[one].used, blocks[other].used
    both = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*used, strict=True))
    pieces = (np.load(job.piece(number), mmap_mode="r") for number in (one, other))
    return tiles.same_objects(*(np.asarray(p[tiles.within(both, u)]) for p, u in zip(pieces, used, strict=True)))


def join(found: dict, same: dict) -> list[NDArray[np.uint32]]:
    """Return the numbers in the whole scan for the numbers of every block: uint32 (highest number + 1,) each.

    ``found``: {(block,): result of ``label_block``}. ``same``: {(block, other): result of ``compare_blocks``}. The objects of
    the scan get the numbers from 1 to their count.
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


def assign_objects(found: dict, numbers: list[NDArray]) -> list[NDArray]:
    """Return the objects that each block measures: those in its own part that no earlier block has. [uint32 (N,)]."""
    labels = [names[own] for names, (_, own) in zip(numbers, found.values(), strict=True)]
    blocks = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    first = np.sort(np.unique(np.concatenate(labels), return_index=True)[1])
    return np.split(np.concatenate(labels)[first], np.searchsorted(blocks[first], np.arange(1, len(labels))))


def write_labels(job: Job, shape: tuple[int, int], numbers: list[NDArray], target, pixel_size: float | None) -> None:
    """Write the objects of all blocks as one OME-Zarr image, uint32, with smaller resolutions."""
    blocks, (rows, columns) = job.blocks(), tiles.block_grid(shape, job.side)
    own = [
        dask.array.from_delayed(dask.delayed(_renumbered)(job, number, block, numbers[number]), _size(block.own), np.uint32)
        for number, block in enumerate(blocks)
    ]
    array = dask.array.block([own[row * columns : (row + 1) * columns] for row in range(rows)]).rechunk(CHUNK)
    unit = {"axes_units": {"y": "micrometer", "x": "micrometer"}} if pixel_size else {}
    write_image(array, str(target), axes="yx", method=Methods.NEAREST, scale=dict.fromkeys("yx", pixel_size or 1.0), **unit)


def _renumbered(job, number, block, numbers):
    return numbers[np.load(job.piece(number), mmap_mode="r")[tiles.within(block.own, block.used)]]


def _size(place):
    return tuple(side.stop - side.start for side in place)


def measure_block(job: Job, number: int, mine: NDArray, labels: str, pixel_size: float | None) -> pd.DataFrame:
    """Measure the objects ``mine``, as far as the window of a block shows them, in px of the scan, as ``measure_objects``."""
    scan, block = job.scan(), job.blocks()[number]
    there = open_scan(labels)[0][block.window].compute(scheduler="synchronous")
    numbers, objects = np.unique(np.append(0, np.where(np.isin(there, mine), there, 0)), return_inverse=True)
    objects = objects[1:].reshape(there.shape)
    boxes = [_shifted(box, block.window) for box in ndimage.find_objects(objects)]
    image = as_image(scan[block.window].compute(scheduler="synchronous"), job.source)[..., 0]
    table = measure_objects(objects, pixel_size, image)
    ends = [zip(boxes[label - 1], scan.shape, strict=True) for label in table["label"]]
    return table.assign(
        label=numbers[table["label"]],
        row=table["row"] + block.window[0].start,
        column=table["column"] + block.window[1].start,
        touches_border=np.array([any(b.start == 0 or b.stop == length for b, length in sides) for sides in ends], bool),
    )


def _shifted(box, window):
    return tuple(slice(b.start + w.start, b.stop + w.start) for b, w in zip(box, window, strict=True))
