"""Tiles of an image, and blocks of a label image.

Where tiles begin, cutting, padding, and blending predictions: one formula for training and prediction. Blocks are larger:
objects are numbered block by block, and one that reaches from block to block keeps one number.
"""

import itertools
from typing import NamedTuple

import numpy as np

from system.progress import progress

MANY = 36  # tiles, which take so long that a bar is shown
BLOCK_SIDE = 1536  # px of a block
BLOCK_OVERLAP = 512  # px that the windows of neighbouring blocks share


def origins(length, tile, overlap, multiple=1):
    """First pixels of the tiles that cover one side, as a list of int.

    ``length``: pixels of the side, at least ``tile``. Neighbouring tiles share at least ``overlap`` pixels, and every
    origin is a multiple of ``multiple``: a network with poolings sees the same pooling cells in every tile only then.
    The last tile ends with the side. Raises ValueError for lengths that cannot be covered so.
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


def round_up(length, multiple):
    """The smallest multiple of ``multiple`` that is at least ``length``."""
    return -(-length // multiple) * multiple


def pad(image, height, width):
    """Extend (H, W, ...) at the bottom and the right by reflection to (height, width, ...); the rest is untouched."""
    extra = [(0, height - image.shape[0]), (0, width - image.shape[1])] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, extra, mode="reflect") if any(after for _, after in extra) else image


def grid(height, width, tile, overlap):
    """(y, x) of the overlapping tiles that cover an image; smaller sides count as one tile (they are padded)."""
    rows = origins(max(height, tile), tile, overlap)
    columns = origins(max(width, tile), tile, overlap)
    return list(itertools.product(rows, columns))


def cut(image, y, x, tile):
    """The (tile, tile, ...) piece of an image that begins at (y, x), padded by reflection where the image ends."""
    return pad(image[y : y + tile, x : x + tile], tile, tile)


def windows(length, tile, overlap, margin, multiple, blend="linear"):
    """[(origin, weights), ...] along one side: float32 weights of shape (tile,) that add up to 1 at every pixel.

    Towards a neighbouring tile the weight is zero for ``margin`` pixels (what the tile cannot know there) and rises
    over the rest of the overlap, linearly or as a Gaussian; at the image's own border it stays.
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
    margin = min(margin, max(0, shared - 1) / 2)  # too little overlap: every pixel must count in one tile at least
    ramp = np.clip((distance - margin) / max(shared - 2 * margin, 1), 0, 1)
    if blend == "linear":
        return ramp
    if blend == "gaussian":
        return np.where(ramp > 0, np.exp(-0.5 * ((1 - ramp) * 3) ** 2), 0)
    raise ValueError(f"blend is {blend!r}, expected 'linear' or 'gaussian'.")


def predict_tiled(predict, image, *, tile, overlap, margin, multiple, blend="linear"):
    """Apply ``predict`` to overlapping tiles of an image and blend the results.

    ``image``: (H, W, C), any H and W. ``predict``: (1, h, w, C) -> (1, h, w, K), h and w multiples of
    ``multiple``. An image that fits into one tile is predicted at once. ``margin``: px at a tile's border that are
    not used. Returns float32 (H, W, K). Memory beyond a padded image and its result: one tile, for a large tile keeps
    every core busy, and batches of them are not faster (benchmarks/README.md).
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
    """A part of an image, and how far one looks around it: two slices each, of rows and of columns.

    ``own``: the blocks of an image cover it once. ``window``: what is looked at, half the overlap further on every side.
    ``used``: a quarter further: there, what the window's edge cuts off does not matter, and neighbours are compared.
    """

    own: tuple
    used: tuple
    window: tuple


def blocks(shape, side=BLOCK_SIDE, overlap=BLOCK_OVERLAP):
    """The Blocks of an image of ``shape`` (H, W), row by row: list."""
    sides = ([_spans(start, length, side, overlap) for start in range(0, length, side)] for length in shape)
    return [Block(*zip(*spans, strict=True)) for spans in itertools.product(*sides)]


def _spans(start, length, side, overlap):
    return [slice(max(0, start - more), min(length, start + side + more)) for more in (0, overlap // 4, overlap // 2)]


def block_grid(shape, side=BLOCK_SIDE):
    """How many blocks an image of ``shape`` (H, W) has: (rows, columns)."""
    return tuple(-(-length // side) for length in shape)


def neighbouring_blocks(rows, columns):
    """Pairs of the numbers of blocks that touch, also at a corner, each pair once: list."""
    steps = [(0, 1), (1, -1), (1, 0), (1, 1)]
    places = itertools.product(range(rows), range(columns), steps)
    pairs = [(row, column, row + down, column + right) for row, column, (down, right) in places]
    inside = [pair for pair in pairs if pair[2] < rows and 0 <= pair[3] < columns]
    return [(row * columns + column, below * columns + right) for row, column, below, right in inside]


def within(inner, outer):
    """Two slices of an image as two slices of a part of it that contains them."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))


def number_in_blocks(shape, number, side=BLOCK_SIDE, overlap=BLOCK_OVERLAP):
    """The objects of an image of ``shape`` (H, W), numbered block by block: int32 (H, W), 0 background.

    ``number``: a function of a window (two slices) that returns its objects (h, w), 0 background. Arms of one object that
    meet only in a third block may stay apart. Numbers are not consecutive.
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


def same_objects(before, now):
    """Pairs of labels of two label images (H, W) of one place, each of which holds more than half of the other: int (2, N)."""
    both = (before > 0) & (now > 0)
    pairs, shared = np.unique(np.stack([before[both], now[both]]).astype(np.int64), axis=1, return_counts=True)
    areas = [np.bincount(labels[both]) for labels in (before, now)]
    return pairs[:, (2 * shared > areas[0][pairs[0]]) & (2 * shared > areas[1][pairs[1]])]
