"""Pixel scores of predicted masks, their summary over images with bootstrap intervals; which epoch and threshold are best."""

from typing import NamedTuple

import numpy as np
import pandas as pd

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
PIXEL_SCORES = ("dice", "iou", "precision", "recall", "f1", "accuracy")


class Counts(NamedTuple):
    """Pixels of one image by truth and prediction."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def count_pixels(truth, predicted):
    """Compare two masks (H, W), read as background (0) and foreground; raises ValueError when their shapes differ."""
    truth, predicted = np.asarray(truth) > 0, np.asarray(predicted) > 0
    if truth.shape != predicted.shape:
        raise ValueError(f"the true mask is {truth.shape} px and the predicted one {predicted.shape}; they must be equal.")
    both = int(np.count_nonzero(truth & predicted))
    false_positive, false_negative = int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(truth)) - both
    return Counts(both, false_positive, false_negative, truth.size - both - false_positive - false_negative)


def pixel_scores(counts):
    """{name: share} of ``PIXEL_SCORES`` from Counts.

    Dice and F1 are the same number under two names that two literatures use. A ratio of nothing to nothing (no
    foreground, none predicted) is 1: there was nothing to find and nothing was claimed.
    """
    tp, fp, fn, tn = counts

    def share(part, whole):
        return part / whole if whole else 1.0

    dice = share(2 * tp, 2 * tp + fp + fn)
    return {
        "dice": dice,
        "iou": share(tp, tp + fp + fn),
        "precision": share(tp, tp + fp),
        "recall": share(tp, tp + fn),
        "f1": dice,
        "accuracy": share(tp + tn, tp + fp + fn + tn),
    }


def class_scores(truth, predicted, classes):
    """Mean of the pixel scores over the classes above 0, and the Counts added up over them: (dict, Counts)."""
    if classes == 2:
        counts = count_pixels(truth, predicted)
        return pixel_scores(counts), counts
    each = [count_pixels(truth == number, predicted == number) for number in range(1, classes)]
    scores = pd.DataFrame([pixel_scores(counts) for counts in each]).mean().to_dict()
    return scores, Counts(*np.sum(each, axis=0).tolist())


def best_epoch(history, smoothing=1):
    """Number of the best epoch, from 1: the last of those ``smoothing`` epochs whose mean ``val_dice`` is the highest.

    The Dice of a single epoch is luck in part, as long as the learning rate is high. ``history``: DataFrame.
    """
    return int(history["val_dice"].rolling(smoothing, min_periods=1).mean().to_numpy().argmax()) + 1


def foreground(probability):
    """Probability of anything but background, from the maps of ``unet.build_unet``: (H, W, maps) -> (H, W)."""
    return probability[..., 0] if probability.shape[-1] < 3 else 1 - probability[..., 0]


def to_masks(probabilities, threshold, classes=2):
    """``to_mask`` for a list of images."""
    return [to_mask(probability, threshold, classes) for probability in probabilities]


def to_mask(probability, threshold, classes=2):
    """Decide every pixel: (H, W, maps) probabilities -> uint8 (H, W) of 0/1 or class numbers.

    ``threshold`` is for two classes; with more, the most probable class wins.
    """
    if classes == 2:
        return (foreground(probability) > threshold).astype(np.uint8)
    return probability.argmax(axis=-1).astype(np.uint8)


def fit_threshold(probabilities, masks):
    """The threshold of ``THRESHOLDS`` with the best mean per-image Dice on these images, and that Dice.

    ``probabilities``: (H, W, maps) each; ``masks``: (H, W) each, foreground above 0.
    """
    dice = np.array(
        [
            [pixel_scores(count_pixels(mask, foreground(probability) > threshold))["dice"] for threshold in THRESHOLDS]
            for probability, mask in zip(probabilities, masks, strict=True)
        ]
    ).mean(axis=0)
    best = int(dice.argmax())
    return float(THRESHOLDS[best]), float(dice[best])


def bootstrap_interval(values, groups, statistic=np.mean, draws=2000, seed=0):
    """95 % interval of a statistic over images, by drawing whole groups with replacement (Efron's percentiles).

    ``values``: one number, or one row of numbers, per image. Images of one group (crops of one photograph) are not
    independent: drawing single images would make the interval too narrow. With a single group nothing can be said:
    (None, None).
    """
    values, groups = np.asarray(values, float), np.asarray(groups)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    if len(members) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(values[np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])])
        for _ in range(draws)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def score_table(samples, masks, classes=2):
    """One row per image: name, group, stratum, the pixel scores, and the counts they come from (DataFrame)."""
    rows = []
    for sample, mask in zip(samples, masks, strict=True):
        truth = sample.mask > 0 if classes == 2 else sample.mask
        scores, counts = class_scores(truth, mask, classes)
        rows.append({"name": sample.name, "group": sample.group, "stratum": sample.stratum, **scores, **counts._asdict()})
    return pd.DataFrame(rows)


def pool(counts):
    """Pixel scores of all images together: rows of Counts (images, 4) -> {name: share}."""
    return pixel_scores(Counts(*np.sum(counts, axis=0).tolist()))


def summarise(table):
    """Mean, median and worst image, and all pixels pooled, with intervals, for every pixel score."""
    counts = table[list(Counts._fields)].to_numpy()
    pooled = pool(counts)
    return {
        "images": len(table),
        "groups": int(table["group"].nunique()),
        **{
            name: {
                "mean": float(table[name].mean()),
                "mean_interval": bootstrap_interval(table[name], table["group"]),
                "median": float(table[name].median()),
                "median_interval": bootstrap_interval(table[name], table["group"], np.median),
                "worst": float(table[name].min()),
                "pooled": pooled[name],
                "pooled_interval": bootstrap_interval(counts, table["group"], lambda rows, name=name: pool(rows)[name]),
            }
            for name in PIXEL_SCORES
        },
    }


def stratum_table(table, kind="cluster"):
    """One row per stratum, named ``kind``: images, groups, mean Dice with its interval, median Dice, mean IoU (DataFrame)."""
    rows = []
    for stratum, part in table.groupby("stratum"):
        low, high = bootstrap_interval(part["dice"], part["group"])
        rows.append(
            {
                kind: stratum,
                "images": len(part),
                "groups": part["group"].nunique(),
                "dice": part["dice"].mean(),
                "dice_low": low,
                "dice_high": high,
                "dice_median": part["dice"].median(),
                "iou": part["iou"].mean(),
            }
        )
    table = pd.DataFrame(rows)
    for column in ("dice_low", "dice_high"):  # None, not NaN, which JSON does not have
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    return table
