"""Pixel scores of predicted masks, for single images and for all pixels together; the best epoch and the best threshold."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from maps import OutputMaps

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
PIXEL_SCORES = ("dice", "iou", "precision", "recall", "f1", "accuracy")


class Counts(NamedTuple):
    """Numbers of pixels of one image, by truth and prediction."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def count_pixels(truth: NDArray, predicted: NDArray) -> Counts:
    """Compare two masks (H, W), in which 0 is background and all else foreground. Raises ValueError if shapes differ."""
    truth, predicted = np.asarray(truth) > 0, np.asarray(predicted) > 0
    if truth.shape != predicted.shape:
        raise ValueError(f"the true mask is {truth.shape} px and the predicted one {predicted.shape}; they must be equal.")
    both = int(np.count_nonzero(truth & predicted))
    false_positive, false_negative = int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(truth)) - both
    return Counts(both, false_positive, false_negative, truth.size - both - false_positive - false_negative)


def pixel_ratios(tp, fp, fn, tn) -> dict[str, tuple]:
    """Return {name: (part, whole)} of ``PIXEL_SCORES`` from numbers of pixels, single ones or arrays."""
    dice = (2 * tp, 2 * tp + fp + fn)
    return {
        "dice": dice,
        "iou": (tp, tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": dice,
        "accuracy": (tp + tn, tp + fp + fn + tn),
    }


def pixel_scores(counts: Counts) -> dict[str, float]:
    """Return {name: score} of ``PIXEL_SCORES`` from Counts, 0 to 1.

    Dice and F1 are two names of the same number. If there is no foreground and none is predicted, each score is 1: nothing is
    missing and nothing is wrong.
    """
    return {name: part / whole if whole else 1.0 for name, (part, whole) in pixel_ratios(*counts).items()}


def class_counts(truth: NDArray, predicted: NDArray, classes: int = 2) -> list[Counts]:
    """Return the Counts of each class of objects in two class maps (H, W), from class 1 on; two classes: of all foreground."""
    if classes == 2:
        return [count_pixels(truth, predicted)]
    return [count_pixels(truth == number, predicted == number) for number in range(1, classes)]


def best_epoch(history: pd.DataFrame, smoothing: int = 1) -> int:
    """Return the number of the best epoch, from 1: the last of the ``smoothing`` epochs with the highest mean ``val_dice``.

    While the learning rate is high, the Dice of a single epoch depends on chance; a mean over several epochs does so less.
    """
    return int(history["val_dice"].rolling(smoothing, min_periods=1).mean().to_numpy().argmax()) + 1


def fit_threshold(probabilities: Sequence[NDArray], masks: Sequence[NDArray], maps: OutputMaps) -> tuple[float, float]:
    """Return the threshold on foreground, one of ``THRESHOLDS``, with the best mean Dice of these images, and this Dice.

    ``probabilities``: (H, W, maps) each; ``masks``: (H, W) each, foreground above 0.
    """
    dice = []
    for probability, mask in zip(probabilities, masks, strict=True):
        shown = maps.foreground(probability)
        dice.append([pixel_scores(count_pixels(mask, shown > threshold))["dice"] for threshold in THRESHOLDS])
    mean = np.mean(dice, axis=0)
    best = int(mean.argmax())
    return float(THRESHOLDS[best]), float(mean[best])


def score_table(samples: Sequence, masks: Sequence[NDArray], classes: int = 2) -> pd.DataFrame:
    """Return one row per image: name, group, stratum, the pixel scores, and the counts of all foreground together.

    With more than two classes the scores are means over the classes of objects, but accuracy is the share of pixels with the
    right class; <score>_class_<number> and <count>_class_<number> stand beside them for each class.
    """
    rows = []
    for sample, mask in zip(samples, masks, strict=True):
        truth = sample.class_map
        row = {"name": sample.name, "group": sample.group, "stratum": sample.stratum}
        each = class_counts(truth, mask, classes)
        row |= pd.DataFrame([pixel_scores(counts) for counts in each]).mean().to_dict()
        row |= count_pixels(truth, mask)._asdict()
        if classes > 2:
            row["accuracy"] = float((truth == mask).mean())
            for number, counts in enumerate(each, 1):
                parts = pixel_scores(counts) | counts._asdict()
                row |= {f"{name}_class_{number}": parts[name] for name in ("dice", "iou", *Counts._fields)}
        rows.append(row)
    return pd.DataFrame(rows)


def pool(counts: NDArray) -> dict[str, float]:
    """Return the pixel scores of all images together: rows of Counts (images, 4) -> {name: score}."""
    return pixel_scores(Counts(*np.sum(counts, axis=0).tolist()))
