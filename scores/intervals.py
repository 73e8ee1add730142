"""Compute 95 % intervals of scores over images that belong to groups, and summaries of scores with these intervals.

Images of one group (crops of one photograph, frames of one sequence) are not independent. So the width of an interval depends
on the number of groups, not on the number of images. ``benchmarks/intervals.py`` measures how often the intervals contain the
true value. ``MINIMUM_GROUPS`` and ``MINIMUM_GROUPS_OF_MEDIAN`` follow from it: with fewer groups there is no interval.

The intervals do not include failures that are so rare that no group of the test set shows one.

A bootstrap that draws whole groups (Efron 1979) is not used: with few groups, its percentile intervals are too narrow.

Bell and McCaffrey 2002, Survey Methodology 28:169. Cameron and Miller 2015, Journal of Human Resources 50:317. Efron 1979,
Annals of Statistics 7:1. Imbens and Kolesár 2016, Review of Economics and Statistics 98:701. Woodruff 1952, Journal of the
American Statistical Association 47:635.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from metrics import PIXEL_SCORES, Counts, pixel_ratios, pool

MINIMUM_GROUPS = 3
MINIMUM_GROUPS_OF_MEDIAN = 5
LEVEL = 0.95

Interval = tuple[float, float] | tuple[None, None]


def mean_interval(values: ArrayLike, groups: ArrayLike, upper: float = 1.0) -> Interval:
    """Return the interval of a mean over images: (low, high), or (None, None) in the cases that ``ratio_interval`` names.

    ``values``: one score per image, from 0 to ``upper``. ``groups``: the group of each image.
    """
    return ratio_interval(values, np.ones(len(np.asarray(values))), groups, upper)


def ratio_interval(parts: ArrayLike, wholes: ArrayLike, groups: ArrayLike, upper: float = 1.0) -> Interval:
    """Return the interval of sum(parts) / sum(wholes) over images, for example the Dice of all pixels together.

    ``parts``, ``wholes``: one number per image, 0 or more. ``upper``: the largest possible ratio; infinity for a quantity
    such as a count error. The interval is (None, None) with fewer than ``MINIMUM_GROUPS`` groups, and if all groups have the
    same ratio, because they show no variation. Raises ValueError for ratios outside 0 to ``upper``.
    """
    parts, wholes = np.asarray(parts, float), np.asarray(wholes, float)
    largest = np.inf if np.isinf(upper) else upper * wholes + 1e-9
    if not ((wholes >= 0) & (parts >= 0) & (parts <= largest)).all():
        raise ValueError(f"an interval needs scores from 0 to {upper:g}; found {parts.min():g} to {parts.max():g}.")
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    parts, wholes = np.bincount(numbers, parts), np.bincount(numbers, wholes)
    counted = wholes > 0
    if counted.sum() < MINIMUM_GROUPS:
        return None, None
    low, high = limits(parts[counted], wholes[counted], upper)
    return (None, None) if np.isnan(low) else (float(low), float(high))


def median_interval(values: ArrayLike, groups: ArrayLike) -> Interval:
    """Return the interval of the median over images: (low, high), or (None, None).

    The interval contains every value that can be the median: a value for which one half lies in the interval of the share of
    images below it (Woodruff 1952). The interval is (None, None) with fewer than ``MINIMUM_GROUPS_OF_MEDIAN`` groups, and if
    all images have the same value.
    """
    values, groups = np.asarray(values, float), np.asarray(groups)
    each = [np.sort(values[groups == group]) for group in np.unique(groups)]
    tried = np.unique(values)
    if len(each) < MINIMUM_GROUPS_OF_MEDIAN or len(tried) == 1:
        return None, None
    sizes = np.array([len(part) for part in each])
    below, up_to = (np.stack([np.searchsorted(part, tried, side) for part in each], axis=-1) for side in ("left", "right"))
    at_value, above_it = can_be_median(below, up_to, sizes), can_be_median(up_to, up_to, sizes)  # (values,) each
    first = np.flatnonzero(at_value | above_it)[0]
    last = np.flatnonzero(at_value | np.append(False, above_it[:-1]))[-1]
    return float(tried[first]), float(tried[last])


def can_be_median(below: NDArray, up_to: NDArray, sizes: NDArray) -> NDArray[np.bool_]:
    """Return whether values can be the median: bool (...,).

    ``below``, ``up_to``: for each value, the number of images of each group below it and up to it (..., groups). ``sizes``:
    number of images of each group (groups,).
    """
    lowest, highest = limits(below, sizes)[0], limits(up_to, sizes)[1]
    lowest, highest = (  # without variation, the limit is the share itself
        np.where(np.isnan(limit), counts.sum(axis=-1) / sizes.sum(axis=-1), limit)
        for limit, counts in ((lowest, below), (highest, up_to))
    )
    return (lowest <= 0.5) & (highest >= 0.5)


def limits(parts: NDArray, wholes: NDArray, upper: float = 1.0) -> tuple[NDArray, NDArray]:
    """Return the limits of sum(parts) / sum(wholes) over groups: (..., groups) -> (...), NaN where no group differs.

    The method is Student's t with the cluster-robust standard error CR2 and Satterthwaite's degrees of freedom (Bell and
    McCaffrey 2002). Both assume that the groups differ in their ratio, independently of their size (the model of Imbens and
    Kolesár 2016). If one group has most of the images, few degrees of freedom are left. Cameron and Miller (2015) explain why
    few groups need this method.

    Good scores lie close to 1, and a few bad groups make their distribution skewed. So the limits are computed twice, from the
    ratio and from its logit (its logarithm if ``upper`` is infinite). The wider limits are returned.
    """
    ratio = parts.sum(axis=-1) / wholes.sum(axis=-1)
    weights = wholes / wholes.sum(axis=-1, keepdims=True)
    factors, freedom = _cr2(weights)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error = np.sqrt((factors * (parts / wholes - ratio[..., None]) ** 2).sum(axis=-1))
        half = stdtrit(freedom, (1 + LEVEL) / 2) * error
        share = ratio / upper
        stretch = np.exp(half / (ratio * (1 - share)))
        low = np.minimum(ratio - half, ratio / (share + (1 - share) * stretch))
        high = np.maximum(ratio + half, ratio / (share + (1 - share) / stretch))
    differs = error > 1e-9 * ratio
    return tuple(np.where(differs, np.clip(limit, 0, upper), np.nan) for limit in (low, high))


def _cr2(weights):
    """Return the factors of the squared deviations in the variance, (..., groups), and its degrees of freedom, (...,).

    Deviations are e = (I - 1 w') r for ratios r of equal variance, so that E[e_g^2] is proportional to 1 - 2 w_g + w'w. The
    variance is r' M r with M = (I - 1 w')' diag(factors) (I - 1 w'), and has tr(M)^2 / tr(M M) degrees of freedom. tr(M) is
    w'w; tr(M M) is written out, without a matrix of groups times groups.
    """
    square = (weights**2).sum(axis=-1)
    factors = weights**2 / (1 - 2 * weights + square[..., None])
    total, mixed = factors.sum(axis=-1), (factors * weights).sum(axis=-1)
    trace_of_square = (
        (factors**2 * (1 + 2 * square[..., None] - 4 * weights)).sum(axis=-1)
        + 2 * total * (factors * weights**2).sum(axis=-1)
        + 2 * mixed**2
        + (total * square) ** 2
        - 4 * total * mixed * square
    )
    return factors, square**2 / trace_of_square


def summarise(table: pd.DataFrame) -> dict:
    """Return mean, median and worst image, and all pixels together, with intervals, for every pixel score.

    ``table``: one row per image, from ``metrics.score_table``. With more than two classes, the scores of all pixels together
    are means over the classes, without an interval.
    """
    counts = table[list(Counts._fields)].to_numpy()
    pooled, ratios, groups = pool(counts), pixel_ratios(*counts.T), table["group"]
    several = "dice_class_1" in table
    if several:
        pooled = _pooled_over_classes(table)
    return {
        "images": len(table),
        "groups": int(groups.nunique()),
        **{
            name: {
                "mean": float(table[name].mean()),
                "mean_interval": mean_interval(table[name], groups),
                "median": float(table[name].median()),
                "median_interval": median_interval(table[name], groups),
                "worst": float(table[name].min()),
                "pooled": pooled[name],
                "pooled_interval": (None, None) if several else ratio_interval(*ratios[name], groups),
            }
            for name in PIXEL_SCORES
        },
    }


def _pooled_over_classes(table):
    """Return the scores of all pixels together, as means over the classes; accuracy is the share of correct pixels."""
    numbers = [name.rpartition("_")[2] for name in table if name.startswith("dice_class_")]
    each = [pool(table[[f"{field}_class_{number}" for field in Counts._fields]].to_numpy()) for number in numbers]
    pixels = table[list(Counts._fields)].sum(axis=1)
    return pd.DataFrame(each).mean().to_dict() | {"accuracy": float((table["accuracy"] * pixels).sum() / pixels.sum())}


def stratum_table(table: pd.DataFrame, kind: str = "kind") -> pd.DataFrame:
    """Return one row per stratum, named ``kind``: images, groups, mean Dice with its interval, median Dice, mean IoU.

    Where there is no interval, ``dice_low`` and ``dice_high`` are None and not NaN, because JSON has no NaN.
    """
    rows = []
    for stratum, part in table.groupby("stratum"):
        low, high = mean_interval(part["dice"], part["group"])
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
    strata = pd.DataFrame(rows)
    for column in ("dice_low", "dice_high"):
        strata[column] = strata[column].astype(object).where(strata[column].notna(), None)
    return strata


def class_table(table: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Return one row per class of objects of a ``score_table``: class, mean Dice with its interval, mean IoU."""
    rows = []
    for number in range(1, classes):
        low, high = mean_interval(table[f"dice_class_{number}"], table["group"])
        means = {name: float(table[f"{name}_class_{number}"].mean()) for name in ("dice", "iou")}
        rows.append({"class": number, **means, "dice_low": low, "dice_high": high})
    return pd.DataFrame(rows).astype(object).where(lambda frame: frame.notna(), None)
