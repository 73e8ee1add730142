"""Number objects window by window; one that reaches from window to window keeps one number."""

import itertools

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tiles import origins

SIDE = 2048  # px of a window
OVERLAP = 512  # px that neighbours share; a quarter of it, where what a window cuts off may be wrong, is not used


def number_in_windows(shape, number, side=SIDE, overlap=OVERLAP):
    """The objects of an image of ``shape`` (H, W), numbered in overlapping windows: int32 (H, W), 0 background.

    ``number``: a function of a window (two slices) that returns its objects (h, w), 0 background. Two windows saw the same
    object when each holds more than half of the other where both looked; arms of one object that meet only in a third window
    may stay apart. Numbers are not consecutive.
    """
    labels, count, same = np.zeros(shape, np.int32), 0, [np.zeros((2, 0), np.int64)]
    for window, used, inside in windows(shape, side, overlap):
        found = number(window)[inside].astype(np.int32)
        found[found > 0] += count
        same.append(same_objects(labels[used], found))
        labels[used] = found
        count = max(count, found.max(initial=0))
    pairs = np.hstack(same)
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), (count + 1, count + 1))
    return connected_components(graph, directed=False)[1].astype(np.int32)[labels]


def windows(shape, side, overlap):
    """Windows of at most ``side`` px that cover ``shape`` (H, W), row by row.

    Yields (the window, the part of the image for which it is used, the same part as seen from the window), two slices each.
    """
    for spans in itertools.product(*(_spans(length, min(side, length), overlap) for length in shape)):
        yield tuple(tuple(slice(*ends) for ends in part) for part in zip(*spans, strict=True))


def _spans(length, side, overlap):
    unused = overlap // 4
    for start in origins(length, side, min(overlap, side - 1)):
        first = start + unused if start else 0
        last = start + side - unused if start + side < length else length
        yield (start, start + side), (first, last), (first - start, last - start)


def same_objects(before, now):
    """Pairs of labels of two label images (H, W) of one place, each of which holds more than half of the other: int (2, N)."""
    both = (before > 0) & (now > 0)
    pairs, shared = np.unique(np.stack([before[both], now[both]]).astype(np.int64), axis=1, return_counts=True)
    areas = [np.bincount(labels[both]) for labels in (before, now)]
    return pairs[:, (2 * shared > areas[0][pairs[0]]) & (2 * shared > areas[1][pairs[1]])]
