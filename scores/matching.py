"""Match predicted objects with true objects, and score how well whole objects are found.

Only pairs of objects that share pixels are stored, so that images may contain many thousands of objects.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import Sample

IOUS = np.round(np.arange(0.5, 1.0, 0.05), 2)  # as in the score of the Data Science Bowl
AT_ONCE = 2**22  # px that are compared together
MOST = 2**32 - 1  # number of an object


class Overlaps(NamedTuple):
    """The objects of two label images, and the pairs of a true and a predicted object that share pixels.

    ``labels``, ``areas``: numbers and areas (px) of the true objects (T,), in rising order of the numbers.
    ``predicted_labels``, ``predicted_areas``: the same for the predicted objects (P,). ``first``, ``second``: for each pair,
    the index of its true object in ``labels`` and of its predicted object in ``predicted_labels`` (K,), sorted by the two.
    ``shared``: pixels that each pair shares (K,).
    """

    labels: NDArray[np.int64]
    areas: NDArray[np.int64]
    predicted_labels: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Return the intersection over union of each pair: (K,), above 0 and up to 1."""
        return self.shared / (self.areas[self.first] + self.predicted_areas[self.second] - self.shared)


def overlaps(truth: NDArray, predicted: NDArray) -> Overlaps:
    """Find the pixels that true and predicted objects share.

    ``truth``, ``predicted``: label images (H, W), 0 is background. Raises ValueError when the shapes differ, and for labels
    that are negative or need more than 32 bits.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the true labels are {truth.shape} px and the predicted {predicted.shape}; they must be equal.")
    for name, labels in (("true", truth), ("predicted", predicted)):
        if labels.min(initial=0) < 0 or labels.max(initial=0) > MOST:
            raise ValueError(f"the {name} labels are {labels.min()} to {labels.max()}; expected numbers from 0 to {MOST}.")
    true, found, pixels = _count_pairs(truth.ravel(), predicted.ravel())
    labels, areas = _areas(true, pixels)
    predicted_labels, predicted_areas = _areas(found, pixels)
    both = (true > 0) & (found > 0)
    places = np.searchsorted(labels, true[both]), np.searchsorted(predicted_labels, found[both])
    return Overlaps(labels, areas, predicted_labels, predicted_areas, *places, pixels[both])


def _count_pairs(truth, predicted):
    """Return every pair of labels that share pixels, with the number of pixels: (true, predicted, pixels), each (K,)."""
    keys, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, truth.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        key = (truth[part].astype(np.uint64) << np.uint64(32)) | predicted[part].astype(np.uint64)
        for values, parts in zip(np.unique(key, return_counts=True), (keys, counts), strict=True):
            parts.append(values)
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    pixels = np.zeros(len(pairs), np.int64)
    np.add.at(pixels, place, np.concatenate(counts))
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(MOST)).astype(np.int64), pixels


def _areas(labels, pixels):
    """Return the labels above 0 of some pairs, and the sum of their pixels."""
    numbers, place = np.unique(labels, return_inverse=True)
    areas = np.zeros(len(numbers), np.int64)
    np.add.at(areas, place, pixels)
    return numbers[numbers > 0], areas[numbers > 0]


def match(truth: NDArray, predicted: NDArray) -> pd.DataFrame:
    """Return one row per true object of two label images (H, W; 0 is background), with its best predicted object.

    ``label``: number of the true object. ``predicted``: number of the predicted object with the highest IoU, 0 if none overlaps
    it. ``iou``: IoU of the two, 0 to 1. ``covering``: number of the predicted object that contains more than half of the true
    object's pixels, 0 if there is none; ``covering_iou``: its IoU, else 0. Raises ValueError if the shapes differ.
    """
    pairs = overlaps(truth, predicted)
    table = pd.DataFrame({"label": pairs.labels, "predicted": 0, "iou": 0.0, "covering": 0, "covering_iou": 0.0})
    iou, labels = pairs.iou, pairs.predicted_labels[pairs.second]
    by_iou = np.lexsort((pairs.second, -iou, pairs.first))  # in a tie, the lowest predicted number
    rows, best = np.unique(pairs.first[by_iou], return_index=True)
    table.loc[rows, "predicted"], table.loc[rows, "iou"] = labels[by_iou][best], iou[by_iou][best]
    covering = pairs.shared > pairs.areas[pairs.first] / 2
    rows = pairs.first[covering]
    table.loc[rows, "covering"], table.loc[rows, "covering_iou"] = labels[covering], iou[covering]
    return table


def match_all(samples: Sequence[Sample], labels: Sequence[NDArray]) -> pd.DataFrame:
    """Return the rows of ``match`` for many images, with each sample's ``name`` and ``stratum``."""
    tables = [
        match(sample.mask, found).assign(name=sample.name, stratum=sample.stratum)
        for sample, found in zip(samples, labels, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def object_scores(matches: pd.DataFrame) -> dict[str, float]:
    """Return scores of the true objects in the rows of ``match``: {name: 0 to 1}.

    ``seg``: the SEG measure of the Cell Tracking Challenge (Maska et al. 2014), the mean IoU with the predicted object that
    covers more than half of the true one, 0 if there is none. ``object_iou``: mean of the highest IoU. ``found``: share of true
    objects with an IoU of at least 0.5.
    """
    return {
        "seg": float(matches["covering_iou"].mean()),
        "object_iou": float(matches["iou"].mean()),
        "found": float((matches["iou"] >= 0.5).mean()),
    }


def mean_seg(samples: Sequence[Sample], labels: Sequence[NDArray]) -> float:
    """Return SEG, the measure of the Cell Tracking Challenge, over all objects of these images; see ``object_scores``."""
    return object_scores(match_all(samples, labels))["seg"]


def count_objects(truth: NDArray, predicted: NDArray) -> dict:
    """Return the counts of one image from which its object scores are computed.

    ``objects``, ``predicted``: number of true and of predicted objects. ``matched``: number of pairs with an IoU above each of
    ``IOUS``: (10,); above 0.5, an object matches at most one other object. ``matched_iou``: sum of the IoUs above 0.5.
    ``splits``: number of true objects that contain two or more predicted objects, each by more than half of its area.
    ``merges``: number of predicted objects that contain two or more true objects in this way.
    """
    pairs = overlaps(truth, predicted)
    iou = pairs.iou
    inside = pairs.first[pairs.shared > 0.5 * pairs.predicted_areas[pairs.second]]  # a predicted object in a true one
    around = pairs.second[pairs.shared > 0.5 * pairs.areas[pairs.first]]
    return {
        "objects": len(pairs.labels),
        "predicted": len(pairs.predicted_labels),
        "matched": np.array([(iou > least).sum() for least in IOUS]),
        "matched_iou": float(iou[iou > IOUS[0]].sum()),
        "splits": int((np.bincount(inside, minlength=1) > 1).sum()),
        "merges": int((np.bincount(around, minlength=1) > 1).sum()),
    }


def detection_scores(objects: int, predicted: int, matched: NDArray, matched_iou: float, **_) -> dict[str, float]:
    """Return the scores of one image from its counts, or of several images from the sum of their counts: {name: 0 to 1}.

    The parameters are the results of ``count_objects``. ``map``: mean over ``IOUS`` of TP / (TP + FP + FN), the score of an
    image in Kaggle's Data Science Bowl 2018. ``ap50``: the same at IoU 0.5 only. ``f1``: 2 TP / (2 TP + FP + FN) at 0.5.
    ``panoptic``: the panoptic quality (Kirillov et al. 2019), F1 times the mean IoU of the matched objects. All scores are 1 if
    there is no object, neither true nor predicted.
    """
    if objects + predicted == 0:
        return dict.fromkeys(("map", "ap50", "f1", "panoptic"), 1.0)
    precision = matched / (objects + predicted - matched)
    return {
        "map": float(precision.mean()),
        "ap50": float(precision[0]),
        "f1": float(2 * matched[0] / (objects + predicted)),
        "panoptic": float(2 * matched_iou / (objects + predicted)),
    }


def detection_table(samples: Sequence[Sample], labels: Sequence[NDArray]) -> pd.DataFrame:
    """Return one row per image: name, group, stratum, counts of objects, splits and merges, and the detection scores."""
    rows = []
    for sample, found in zip(samples, labels, strict=True):
        counts = count_objects(sample.mask, found)
        row = {"name": sample.name, "group": sample.group, "stratum": sample.stratum, **counts, **detection_scores(**counts)}
        rows.append(row | {"matched": int(counts["matched"][0])})
    return pd.DataFrame(rows)


def mean_average_precision(samples: Sequence[Sample], labels: Sequence[NDArray]) -> float:
    """Return the mean of ``map`` over the images, which is the score of Kaggle's Data Science Bowl 2018."""
    return float(detection_table(samples, labels)["map"].mean())


def pooled_detection(table: pd.DataFrame) -> dict[str, float]:
    """Return the detection scores at IoU 0.5 for the objects of all images together: {name: 0 to 1}."""
    counts = table[["objects", "predicted", "matched", "matched_iou"]].sum()
    scores = detection_scores(**(counts.to_dict() | {"matched": np.array([counts["matched"]])}))
    return {name: scores[name] for name in ("ap50", "f1", "panoptic")}
