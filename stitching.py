"""Number objects block by block; one that reaches from block to block keeps one number."""

import itertools
from typing import NamedTuple

import numpy as np

SIDE = 1536  # px of a block
OVERLAP = 512  # px that the windows of neighbouring blocks share


class Block(NamedTuple):
    """A part of an image, and how far one looks around it: two slices each, of rows and of columns.

    ``own``: the blocks of an image cover it once. ``window``: what is looked at, half the overlap further on every side.
    ``used``: a quarter further: there, what the window's edge cuts off does not matter, and neighbours are compared.
    """

    own: tuple
    used: tuple
    window: tuple


def blocks(shape, side=SIDE, overlap=OVERLAP):
    """The Blocks of an image of ``shape`` (H, W), row by row: list."""
    sides = ([_spans(start, length, side, overlap) for start in range(0, length, side)] for length in shape)
    return [Block(*zip(*spans, strict=True)) for spans in itertools.product(*sides)]


def _spans(start, length, side, overlap):
    return [slice(max(0, start - more), min(length, start + side + more)) for more in (0, overlap // 4, overlap // 2)]


def grid(shape, side=SIDE):
    """How many blocks an image of ``shape`` (H, W) has: (rows, columns)."""
    return tuple(-(-length // side) for length in shape)


def neighbours(rows, columns):
    """Pairs of the numbers of blocks that touch, also at a corner, each pair once: list."""
    steps = [(0, 1), (1, -1), (1, 0), (1, 1)]
    places = itertools.product(range(rows), range(columns), steps)
    pairs = [(row, column, row + down, column + right) for row, column, (down, right) in places]
    inside = [pair for pair in pairs if pair[2] < rows and 0 <= pair[3] < columns]
    return [(row * columns + column, below * columns + right) for row, column, below, right in inside]


def within(inner, outer):
    """Two slices of an image as two slices of a part of it that contains them."""
    return tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))


def number_in_blocks(shape, number, side=SIDE, overlap=OVERLAP):
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
