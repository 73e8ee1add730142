"""Which predicted object is which true one, and how well whole objects are found."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

IOUS = np.round(np.arange(0.5, 1.0, 0.05), 2)  # of the Data Science Bowl's score


def overlaps(truth, predicted):
    """Pixels that each true and each predicted object share: (true labels (T,), predicted labels (P,), (T + 1, P + 1)).

    ``truth``, ``predicted``: label images (H, W), 0 background, which is the first row and the first column. Raises
    ValueError when the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the true labels are {truth.shape} px and the predicted {predicted.shape}; they must be equal.")
    numbers, true = np.unique(np.append(0, truth), return_inverse=True)
    labels, found = np.unique(np.append(0, predicted), return_inverse=True)
    ones = np.ones(truth.size)
    shared = coo_array((ones, (true.ravel()[1:], found.ravel()[1:])), (len(numbers), len(labels))).toarray()
    return numbers[1:], labels[1:], shared


def intersection_over_union(shared):
    """IoU of every true with every predicted object, from the pixels of ``overlaps``: (T, P)."""
    return shared[1:, 1:] / (shared[1:].sum(axis=1)[:, None] + shared[:, 1:].sum(axis=0) - shared[1:, 1:])


def match(truth, predicted):
    """One row per true object of two label images (H, W), 0 background: what the prediction has in its place (DataFrame).

    ``label``: of the true object. ``predicted``: the predicted label with the highest IoU, 0 if none meets it. ``iou``:
    of the two, 0 to 1. ``covering``: the label that holds more than half of the true object's pixels, else 0, and
    ``covering_iou``, 0 without one. Raises ValueError when the shapes differ.
    """
    numbers, labels, shared = overlaps(truth, predicted)
    if not len(labels):
        return pd.DataFrame({"label": numbers, "predicted": 0, "iou": 0.0, "covering": 0, "covering_iou": 0.0})
    iou, both, areas = intersection_over_union(shared), shared[1:, 1:], shared[1:].sum(axis=1)
    best, most = iou.argmax(axis=1), both.argmax(axis=1)
    rows = np.arange(len(areas))
    met, covered = iou[rows, best] > 0, both[rows, most] > areas / 2
    return pd.DataFrame(
        {
            "label": numbers,
            "predicted": np.where(met, labels[best], 0),
            "iou": iou[rows, best],
            "covering": np.where(covered, labels[most], 0),
            "covering_iou": np.where(covered, iou[rows, most], 0.0),
        }
    )


def match_all(samples, labels):
    """The rows of ``match`` for many images, with the sample's ``name`` and ``stratum``: DataFrame."""
    tables = [
        match(sample.mask, found).assign(name=sample.name, stratum=sample.stratum)
        for sample, found in zip(samples, labels, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def object_scores(matches):
    """{name: share} over the true objects of ``match``'s rows.

    ``seg``: the Cell Tracking Challenge's measure (Maska et al. 2014): mean IoU with the predicted object that covers
    more than half of the true one, 0 without one. ``object_iou``: mean of the highest IoU. ``found``: share of true
    objects with an IoU of at least 0.5.
    """
    return {
        "seg": float(matches["covering_iou"].mean()),
        "object_iou": float(matches["iou"].mean()),
        "found": float((matches["iou"] >= 0.5).mean()),
    }


def mean_seg(samples, labels):
    """The Cell Tracking Challenge's measure over all objects of these images, see ``object_scores``."""
    return object_scores(match_all(samples, labels))["seg"]


def count_objects(truth, predicted):
    """What the object scores of one image are made of, as a dictionary of numbers.

    ``objects``, ``predicted``: how many there are. ``matched``: how many of them are the same, with an IoU above each of
    ``IOUS``: (10,); above 0.5 an object matches one other at most. ``matched_iou``: sum of the IoUs above 0.5.
    ``splits``: true objects in which two or more predicted ones lie with more than half of their area; ``merges``:
    predicted objects in which two or more true ones do.
    """
    numbers, labels, shared = overlaps(truth, predicted)
    iou = intersection_over_union(shared)
    inside = shared[1:, 1:] > 0.5 * shared[:, 1:].sum(axis=0)  # a predicted object in a true one
    around = shared[1:, 1:] > 0.5 * shared[1:].sum(axis=1)[:, None]
    return {
        "objects": len(numbers),
        "predicted": len(labels),
        "matched": np.array([(iou > least).sum() for least in IOUS]),
        "matched_iou": float(iou[iou > IOUS[0]].sum()),
        "splits": int((inside.sum(axis=1) > 1).sum()),
        "merges": int((around.sum(axis=0) > 1).sum()),
    }


def detection_scores(objects, predicted, matched, matched_iou, **_):
    """{name: share} of one image, or of several whose counts of ``count_objects`` are added up.

    ``map``: mean over ``IOUS`` of TP / (TP + FP + FN), as Kaggle's Data Science Bowl 2018 scores an image. ``ap50``: the
    same at IoU 0.5 only. ``f1``: 2 TP / (2 TP + FP + FN) at 0.5. ``panoptic``: the panoptic quality (Kirillov et al.
    2019), F1 times the mean IoU of the matched objects. Nothing to find and nothing found is 1.
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


def detection_table(samples, labels):
    """One row per image: name, group, stratum, counts of objects, splits and merges, the detection scores (DataFrame)."""
    rows = []
    for sample, found in zip(samples, labels, strict=True):
        counts = count_objects(sample.mask, found)
        row = {"name": sample.name, "group": sample.group, "stratum": sample.stratum, **counts, **detection_scores(**counts)}
        rows.append(row | {"matched": int(counts["matched"][0])})
    return pd.DataFrame(rows)


def mean_average_precision(samples, labels):
    """Mean over the images of ``map``, which is the score of Kaggle's Data Science Bowl 2018."""
    return float(detection_table(samples, labels)["map"].mean())


def pooled_detection(table):
    """The detection scores at IoU 0.5 of all objects of a ``detection_table`` together: {name: share}."""
    counts = table[["objects", "predicted", "matched", "matched_iou"]].sum()
    scores = detection_scores(**(counts.to_dict() | {"matched": np.array([counts["matched"]])}))
    return {name: scores[name] for name in ("ap50", "f1", "panoptic")}
