"""Tiles of an image, and blocks of a label image.

The network sees an image in tiles. This module computes where tiles begin, cuts and pads them, and blends their predictions.
Training and prediction use the same formula. Blocks are larger: objects are numbered block by block, and an object that lies
in several blocks gets one number.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from system.progress import progress

MANY = 36  # tiles; from this number on, a progress bar is shown
BLOCK_SIDE = 1536  # px, height and width of a block
BLOCK_OVERLAP = 512  # px that the windows of neighbouring blocks share


def origins(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """Return the first pixels of the tiles that cover one side of an image.

    ``length`` of the side in px, at least ``tile``. Neighbouring tiles share at least ``overlap`` px. Every first pixel is a
    multiple of ``multiple``, so that a network with poolings sees the same pooling cells in every tile. The last tile ends
    where the side ends. Raises ValueError for lengths that cannot be covered like this.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} px cannot overlap by {overlap} px; the overlap must be from 0 to {tile - 1}.")
    if tile - overlap < multiple:
        raise ValueError(f"tiles of {tile} px with {overlap} px of overlap advance by less than {multiple} px, a pooling cell.")
    if length < tile or tile % multiple or length % multiple:
        raise ValueError(f"a side of {length} px and tiles of {tile} px: both must be multiples of {multiple}, side >= tile.")
    last = length - tile
    stride = max(multiple, (tile - overlap) // multiple * multiple)
    return [*range(0, last, stride), last]


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``length``."""
    return -(-length // multiple) * multiple


def pad(image: NDArray, height: int, width: int) -> NDArray:
    """Extend an image (H, W, ...) by reflection at the bottom and the right: (height, width, ...)."""
    extra = [(0, height - image.shape[0]), (0, width - image.shape[1])] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, extra, mode="reflect") if any(after for _, after in extra) else image


def grid(height: int, width: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Return the first pixels (y, x) of the overlapping tiles that cover an image.

    A side shorter than a tile has one tile; ``cut`` pads it.
    """
    rows = origins(max(height, tile), tile, overlap)
    columns = origins(max(width, tile), tile, overlap)
    return list(itertools.product(rows, columns))


def cut(image: NDArray, y: int, x: int, tile: int) -> NDArray:
    """Return the tile of an image that begins at (y, x), padded by reflection where the image ends: (tile, tile, ...)."""
    return pad(image[y : y + tile, x : x + tile], tile, tile)


def windows(
    length: int, tile: int, overlap: int, margin: int, multiple: int, blend: str = "linear"
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return the tiles along one side of an image, with their weights in the blend: [(first pixel, weights (tile,)), ...].

    The weights of all tiles add up to 1 at every pixel. In the ``margin`` px beside a neighbouring tile, the weight is 0: there
    a tile predicts wrongly because it does not see beyond its edge. Farther inside, the weight rises over the rest of the
    overlap, linearly or as a Gaussian. At the border of the image, the weight does not fall.
    """
    starts = origins(length, tile, overlap, multiple)
    shared = tile - starts[1] if len(starts) > 1 else 0
    weights = np.zeros((len(starts), length))
    for row, start in zip(weights, starts, strict=True):
        position = np.arange(tile) + 0.5
        before = np.full(tile, np.inf) if start == 0 else position
        after = np.full(tile, np.inf) if start + tile == length else tile - position
        row[start : start + tile] = _rise(np.minimum(before, after), shared, margin, blend)
    weights /= weights.sum(axis=0)
    return [(start, row[start : start + tile].astype(np.float32)) for start, row in zip(starts, weights, strict=True)]


def _rise(distance, shared, margin, blend):
    margin = min(margin, max(0, shared - 1) / 2)  # smaller if the overlap is small: every pixel needs a tile that counts
    ramp = np.clip((distance - margin) / max(shared - 2 * margin, 1), 0, 1)
    if blend == "linear":
        return ramp
    if blend == "gaussian":
        return np.where(ramp > 0, np.exp(-0.5 * ((1 - ramp) * 3) ** 2), 0)
    raise ValueError(f"blend is {blend!r}, expected 'linear' or 'gaussian'.")


def predict_tiled(
    predict: Callable[[NDArray], NDArray],
    image: NDArray,
    *,
    tile: int,
    overlap: int,
    margin: int,
    multiple: int,
    blend: str = "linear",
) -> NDArray[np.float32]:
    """Apply ``predict`` to overlapping tiles of an image and blend the results: float32 (H, W, K).

    ``image``: (H, W, C), any H and W. ``predict``: (1, h, w, C) -> (1, h, w, K), h and w are multiples of ``multiple``. An
    image that fits into one tile is predicted at once. ``margin``: px at the edge of a tile that are not used.

    Memory holds the padded image, its result and one tile. There are no batches of tiles: one large tile keeps every core
    busy, and batches are not faster (benchmarks/README.md).
    """
    height, width = image.shape[:2]
    padded = [round_up(side, multiple) for side in (height, width)]
    image = pad(image, *padded)
    tile = round_up(tile, multiple)
    sides = [min(tile, side) for side in padded]
    rows, columns = (
        windows(length, side, overlap if side < length else 0, margin, multiple, blend)
        for length, side in zip(padded, sides, strict=True)
    )
    result = None
    places = list(itertools.product(rows, columns))
    bar = progress(places, "Predicting tiles", "tile", leave=False, show=None if len(places) >= MANY else False)
    for (y, down), (x, across) in bar:
        part = slice(y, y + sides[0]), slice(x, x + sides[1])
        predicted = np.asarray(predict(image[part][None]))[0]
        if result is None:
            result = np.zeros((*padded, predicted.shape[-1]), np.float32)
        result[part] += down[:, None, None] * across[:, None] * predicted
    return result[:height, :width]


class Block(NamedTuple):
    """A part of an image and its surroundings; each field is a slice of rows and a slice of columns.

    ``own``: the part itself; these parts cover the image once. ``window``: the region that is segmented; it is larger than
    ``own`` by half the overlap on every side. ``used``: the region that is kept and compared with the neighbours; it is larger
    than ``own`` by a quarter of the overlap, so that it does not contain the edge of the window, where objects are cut off.
    """

    own: tuple
    used: tuple
    window: tuple


def blocks(shape: tuple[int, int], side: int = BLOCK_SIDE, overlap: int = BLOCK_OVERLAP) -> list[Block]:
    """Return the Blocks of an image of ``shape`` (H, W), row by row."""
    sides = ([_spans(start, length, side, overlap) for start in range(0, length, side)] for length in shape)
    return [Block(*zip(*spans, strict=True)) for spans in itertools.product(*sides)]


def _spans(start, length, side, overlap):
    return [slice(max(0, start - more), min(length, start + side + more)) for more in (0, overlap // 4, overlap // 2)]


def block_grid(shape: tuple[int, int], side: int = BLOCK_SIDE) -> tuple[int, int]:
    """Return the number of blocks of an image of ``shape`` (H, W): (rows, columns)."""
    return tuple(-(-length // side) for length in shape)


def neighbouring_blocks(rows: int, columns: int) -> list[tuple[int, int]]:
    """Return the pairs of numbers of blocks that touch, also at a corner, each pair once."""
    steps = [(0, 1), (1, -1), (1, 0), (1, 1)]
    places = itertools.product(range(rows), range(columns), steps)
    pairs = [(row, column, row + down, column + right) for row, column, (down, right) in places]
    inside = [pair for pair in pairs if pair[2] < rows and 0 <= pair[3] < columns]
    return [(row * columns + column, below * columns + right) for row, column, below, right in inside]


def within(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return the window ``inner`` of an image as slices of a larger window, ``outer``, which contains it."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))


def number_in_blocks(
    shape: tuple[int, int],
    number: Callable[[tuple[slice, slice]], NDArray],
    side: int = BLOCK_SIDE,
    overlap: int = BLOCK_OVERLAP,
) -> NDArray[np.int32]:
    """Number the objects of an image of ``shape`` (H, W) block by block: int32 (H, W), 0 is background.

    ``number``: a function of a window (two slices) that returns its objects (h, w), 0 is background. Two parts of an object
    that meet only in a third block may keep different numbers. Numbers are not consecutive.
    """
    labels, count = np.zeros(shape, np.int32), 0
    for block in blocks(shape, side, overlap):
        found = number(block.window)[within(block.used, block.window)].astype(np.int32)
        known, again = same_objects(labels[block.used], found)
        names = np.append(0, count + np.arange(1, found.max(initial=0) + 1)).astype(np.int32)
        count = names[-1] if len(names) > 1 else count
        names[again] = known
        labels[block.used] = names[found]
    return labels


def same_objects(before: NDArray, now: NDArray) -> NDArray:
    """Return the pairs of labels that are the same object in two label images (H, W) of one place: int (2, N).

    Two labels are the same object if each one covers more than half of the other one.
    """
    both = (before > 0) & (now > 0)
    pairs, shared = np.unique(np.stack([before[both], now[both]]).astype(np.int64), axis=1, return_counts=True)
    areas = [np.bincount(labels[both]) for labels in (before, now)]
    return pairs[:, (2 * shared > areas[0][pairs[0]]) & (2 * shared > areas[1][pairs[1]])]
