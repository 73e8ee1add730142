"""Which predicted object is which true one, and how well whole objects are found."""

import numpy as np
import pandas as pd


def match(truth, predicted):
    """One row per true object of two label images (H, W), 0 background: what the prediction has in its place (DataFrame).

    ``label``: of the true object. ``predicted``: the predicted label with the highest IoU, 0 if none meets it. ``iou``:
    of the two, 0 to 1. ``covering``: the label that holds more than half of the true object's pixels, else 0, and
    ``covering_iou``, 0 without one. Raises ValueError when the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the true labels are {truth.shape} px and the predicted {predicted.shape}; they must be equal.")
    numbers, true = np.unique(truth, return_inverse=True)
    labels, found = np.unique(predicted, return_inverse=True)
    both = np.zeros((len(numbers), len(labels)))
    np.add.at(both, (true.ravel(), found.ravel()), 1)  # pixels in each true and each predicted object
    areas, objects, known = both.sum(axis=1), numbers > 0, labels > 0
    iou = both / (areas[:, None] + both.sum(axis=0) - both)
    both, iou, areas, labels = both[objects][:, known], iou[objects][:, known], areas[objects], labels[known]
    if not len(labels):
        return pd.DataFrame({"label": numbers[objects], "predicted": 0, "iou": 0.0, "covering": 0, "covering_iou": 0.0})
    best, most = iou.argmax(axis=1), both.argmax(axis=1)
    rows = np.arange(len(areas))
    met, covered = iou[rows, best] > 0, both[rows, most] > areas / 2
    return pd.DataFrame(
        {
            "label": numbers[objects],
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
