"""Which images leak into each other: crops of one photograph, near-duplicates.

Two images of one size are neighbouring crops when the last column of one continues in the first column of the other
(or the rows do). What counts as continuing was chosen by looking at the pairs of stage1_train: a true seam
is no rougher than the step between two neighbouring columns inside the images.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from data import evenly

LEAST_CORRELATION = 0.5  # of the two borders; below, nothing is said about them
SMOOTH_SEAM = 1.5  # a seam up to this many times as rough as the images' own steps is a true one ...
ROUGH_SEAM = 2.0  # ... and up to this many (uneven light) if no other border comes near in correlation
CLEAR_LEAD = 0.15
DUPLICATE = 0.9  # correlation of two thumbnails


@dataclass(frozen=True)
class Match:
    """Two images (indices) that leak: ``kind`` is "right", "below" (of the first) or "duplicate"."""

    first: int
    second: int
    kind: str
    correlation: float
    seam: float  # roughness of the seam over that of the images beside it; 0 for duplicates


def leak_groups(images):
    """Group number of every image, int array (images,), and the matches that made the groups.

    ``images``: arrays (H, W, C). An image without a match is a group of its own.
    """
    gray = [image.mean(axis=2, dtype=np.float32) for image in images]
    matches = find_matches(gray)
    pairs = np.array([(match.first, match.second) for match in matches], int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(gray), len(gray)))
    return connected_components(graph, directed=False)[1], matches


def examples(matches, count=2):
    """At most ``count`` matches of every kind, from the highest correlation to the lowest: list."""
    kinds = [[match for match in matches if match.kind == kind] for kind in ("right", "below", "duplicate")]
    return [match for members in kinds for match in evenly(sorted(members, key=lambda match: -match.correlation), count)]


def find_matches(gray):
    """All pairs of gray images (H, W), float32, that are neighbouring crops or near-duplicates: list of Match."""
    by_shape = {}
    for index, image in enumerate(gray):
        by_shape.setdefault(image.shape, []).append(index)
    found = []
    for members in by_shape.values():
        found += _duplicates(members, [gray[i] for i in members])
        found += _neighbours(members, [gray[i] for i in members], "right")
        found += _neighbours(members, [gray[i].T for i in members], "below")
    return found


def _duplicates(members, images):
    thumbnails = np.stack([cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA).ravel() for image in images])
    correlation = _correlate(thumbnails, thumbnails)
    pairs = np.argwhere(np.triu(correlation, 1) > DUPLICATE)
    return [Match(members[i], members[j], "duplicate", float(correlation[i, j]), 0.0) for i, j in pairs]


def _neighbours(members, images, kind):
    """Pairs (i, j) whose borders are each other's best match and whose seam is smooth; crops run along columns."""
    if len(members) < 2:
        return []
    correlation = _correlate(np.stack([image[:, -1] for image in images]), np.stack([image[:, 0] for image in images]))
    np.fill_diagonal(correlation, -1)
    matches = []
    for i, j in enumerate(correlation.argmax(axis=1)):
        best = correlation[i, j]
        if best < LEAST_CORRELATION or correlation[:, j].argmax() != i:
            continue
        lead = best - max(np.delete(correlation[i], j).max(), np.delete(correlation[:, j], i).max())
        seam = _roughness(images[i], images[j])
        if seam < SMOOTH_SEAM or (seam < ROUGH_SEAM and lead > CLEAR_LEAD):
            matches.append(Match(members[i], members[j], kind, float(best), seam))
    return matches


def _correlate(first, second):
    """Pearson correlation of every row of one array with every row of another; constant rows correlate with none."""

    def standardise(rows):
        rows = rows - rows.mean(axis=1, keepdims=True)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, length, out=np.zeros_like(rows), where=length > 1e-3)

    return standardise(first) @ standardise(second).T


def _roughness(left, right):
    """Mean step across the seam over the mean step between the columns on either side of it."""
    seam = np.abs(left[:, -1] - right[:, 0]).mean()
    beside = (np.abs(left[:, -1] - left[:, -2]).mean() + np.abs(right[:, 0] - right[:, 1]).mean()) / 2
    return float(seam / max(beside, 0.1))
