"""Find images that leak into each other: crops of one photograph, and near-duplicates.

Two images of the same size are neighbouring crops if the last column of one continues in the first column of the other; rows
are compared in the same way. The limits were chosen by looking at pairs of stage1_train: a true seam is no rougher than the
step between two neighbouring columns inside the images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data import evenly

LEAST_CORRELATION = 0.5  # of the two borders; with a lower one they are no match
SMOOTH_SEAM = 1.5  # largest roughness of a true seam, as a multiple of the steps inside the images ...
ROUGH_SEAM = 2.0  # ... and the largest one (uneven light) if the correlation is higher than any other by CLEAR_LEAD
CLEAR_LEAD = 0.15
DUPLICATE = 0.9  # correlation of two thumbnails
THUMBNAIL = (48, 48)  # px
AT_ONCE = 1024  # images that are compared with all others together


@dataclass(frozen=True, slots=True)
class Match:
    """Two images (indices) that leak: ``kind`` is "right", "below" (of the first) or "duplicate"."""

    first: int
    second: int
    kind: str
    correlation: float
    seam: float  # roughness of the seam over that of the images beside it; 0 for duplicates


class _Sketch(NamedTuple):
    """The stored parts of an image, float32: a thumbnail, and its first two and last two columns (4, H) and rows (4, W)."""

    shape: tuple[int, int]
    thumbnail: NDArray
    columns: NDArray
    rows: NDArray


def leak_groups(images: Iterable[NDArray]) -> tuple[NDArray[np.int32], list[Match]]:
    """Return the group number of every image (images,), and the matches that made the groups.

    ``images``: arrays (H, W, C), read one by one. An image without a match is a separate group.
    """
    sketches = [_sketch(image) for image in images]
    matches = _find(sketches)
    pairs = np.array([(match.first, match.second) for match in matches], int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(sketches), len(sketches)))
    return connected_components(graph, directed=False)[1], matches


def examples(matches: Sequence[Match], count: int = 2) -> list[Match]:
    """Return at most ``count`` matches of every kind, evenly spaced from the highest correlation to the lowest."""
    kinds = [[match for match in matches if match.kind == kind] for kind in ("right", "below", "duplicate")]
    return [match for members in kinds for match in evenly(sorted(members, key=lambda match: -match.correlation), count)]


def find_matches(images: Iterable[NDArray]) -> list[Match]:
    """Return all pairs of images (H, W) or (H, W, C) that are neighbouring crops or near-duplicates."""
    return _find([_sketch(image) for image in images])


def _sketch(image):
    gray = image.mean(axis=2, dtype=np.float32) if image.ndim == 3 else image.astype(np.float32, copy=False)
    height, width = gray.shape
    rows, columns = ([0, min(1, side - 1), max(0, side - 2), side - 1] for side in (height, width))
    thumbnail = cv2.resize(gray, THUMBNAIL, interpolation=cv2.INTER_AREA).ravel()
    return _Sketch(gray.shape, thumbnail, gray[:, columns].T.copy(), gray[rows])


def _find(sketches):
    by_shape = {}
    for index, sketch in enumerate(sketches):
        by_shape.setdefault(sketch.shape, []).append(index)
    found = []
    for members in by_shape.values():
        found += _duplicates(members, [sketches[i].thumbnail for i in members])
        found += _neighbours(members, [sketches[i].columns for i in members], "right")
        found += _neighbours(members, [sketches[i].rows for i in members], "below")
    return found


def _duplicates(members, thumbnails):
    matches = []
    for start, correlation in _correlations(thumbnails, thumbnails):
        pairs = np.argwhere(np.triu(correlation, start + 1) > DUPLICATE)
        matches += [Match(members[start + i], members[j], "duplicate", float(correlation[i, j]), 0.0) for i, j in pairs]
    return matches


def _neighbours(members, borders, kind):
    """Return a Match for each pair of images whose borders are each other's best match and whose seam is smooth.

    ``borders``: first, second, last but one and last line of each image, (4, length).
    """
    count = len(members)
    if count < 2:
        return []
    right, left = np.empty(count, int), np.empty(count, int)  # the best match of each image on its right, on its left
    best, next_right = np.empty(count), np.empty(count)
    best_left, next_left = np.full(count, -np.inf), np.full(count, -np.inf)
    for start, correlation in _correlations([lines[3] for lines in borders], [lines[0] for lines in borders]):
        part = np.arange(start, start + len(correlation))
        correlation[part - start, part] = -1  # no image continues in itself
        right[part] = correlation.argmax(axis=1)
        best[part], next_right[part] = _two_highest(correlation.T)
        here, (highest, second) = correlation.argmax(axis=0), _two_highest(correlation)
        next_left = np.maximum(np.minimum(highest, best_left), np.maximum(second, next_left))
        left = np.where(highest > best_left, start + here, left)
        best_left = np.maximum(highest, best_left)
    matches = []
    for i, j in enumerate(right):
        if best[i] < LEAST_CORRELATION or left[j] != i:
            continue
        lead = best[i] - max(next_right[i], next_left[j])
        seam = _roughness(borders[i], borders[j])
        if seam < SMOOTH_SEAM or (seam < ROUGH_SEAM and lead > CLEAR_LEAD):
            matches.append(Match(members[i], members[j], kind, float(best[i]), seam))
    return matches


def _two_highest(values):
    """Return the highest and the second highest value of each column (-inf where there is only one)."""
    if len(values) == 1:
        return values[0], np.full(values.shape[1], -np.inf)
    second, highest = np.partition(values, (-2, -1), axis=0)[-2:]
    return highest, second


def _correlations(first, second):
    """Yield the Pearson correlations of n rows of ``first`` with all N rows of ``second``: (index of the first row, (n, N)).

    The correlation of a constant row is 0.
    """

    def standardise(rows):
        rows = np.stack(rows)
        rows -= rows.mean(axis=1, keepdims=True)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)

    first, second = standardise(first), standardise(second).T
    for start in range(0, len(first), AT_ONCE):
        yield start, first[start : start + AT_ONCE] @ second


def _roughness(left, right):
    """Return the mean step across the seam, divided by the mean step between the two lines on each side of it."""
    seam = np.abs(left[3] - right[0]).mean()
    beside = (np.abs(left[3] - left[2]).mean() + np.abs(right[0] - right[1]).mean()) / 2
    return float(seam / max(beside, 0.1))
