"""How often the 95 % intervals of scores/intervals.py cover the true value, for few and many groups of images.

python benchmarks/intervals.py
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from metrics import Counts, pixel_ratios
from scores.intervals import MINIMUM_GROUPS_OF_MEDIAN, can_be_median, limits
from system.files import read_json

GROUPS = (3, 5, 8, 15, 50)
ALIKE = (0.0, 0.5, 0.9)  # share of the variance that images of one group have in common
SPREADS = (0.5, 1.0)  # of the logarithm of an image's foreground area
SCORES = {  # mean and standard deviation of a score; None: normal, else the skewed 1 - beta
    "normal, mean 0.75": (0.75, 0.08),
    "1 - beta, mean 0.91": (0.91, 0.08),
    "1 - beta, mean 0.98": (0.98, 0.025),
}
SIZES = ("1 image each", "4 images each", "1 to 40 images", "as results/dsb", "one of 40, others of 1")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000, help="simulated test sets of each setting")
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    rows = []
    for groups in GROUPS:
        for scores in SCORES:
            for sizes in SIZES:
                rows += simulated(rng, repeats, groups, scores, sizes)
        rows += drawn(rng, repeats, groups)
        rows += errors(rng, repeats, groups)
    table = pd.DataFrame(rows, columns=["statistic", "scores", "sizes", "groups", "coverage"])
    lowest = table.groupby(["statistic", "scores", "sizes", "groups"], sort=False)["coverage"].min().unstack("groups")
    print("| statistic | scores | images in a group |", " | ".join(f"{groups} groups" for groups in GROUPS), "|")
    print("|---|---|---|" + "---|" * len(GROUPS))
    for names, row in lowest.iterrows():
        print(f"| {' | '.join(names)} |", " | ".join("none" if np.isnan(value) else f"{value:.1%}" for value in row), "|")
    print(lowest.groupby(level="statistic", sort=False).min().min(axis=1).to_string(float_format="{:.1%}".format))


def simulated(rng, repeats, groups, scores, kind):
    """Coverage for simulated scores: rows of (statistic, scores, sizes, groups, coverage), one for every ``ALIKE``."""
    rows = []
    mean, deviation = SCORES[scores]
    for alike in ALIKE if kind != "1 image each" else ALIKE[:1]:
        sizes = group_sizes(rng, (repeats, groups), kind)
        real = np.arange(sizes.max()) < sizes[..., None]  # (repeats, groups, images), False where a group has fewer
        values = image_scores(rng, real.shape, mean, deviation, alike, scores.startswith("normal"))
        setting = (scores, kind, groups)
        rows.append(("mean", *setting, coverage(*limits((values * real).sum(-1), sizes), mean)))
        if kind == "4 images each":
            rows.append(("mean, bootstrap", *setting, coverage(*bootstrap(rng, values.sum(-1), sizes), mean)))
        for spread in SPREADS:
            areas = np.exp(spread * rng.normal(0, 1, real.shape)) * real
            rows.append(("pooled", *setting, coverage(*limits((areas * values).sum(-1), areas.sum(-1)), mean)))
        if groups >= MINIMUM_GROUPS_OF_MEDIAN:
            middle = np.median(image_scores(rng, (200_000, 1, 1), mean, deviation, alike, scores.startswith("normal")))
            below = ((values < middle) & real).sum(-1)
            rows.append(("median", *setting, can_be_median(below, below, sizes).mean()))
    return rows


def drawn(rng, repeats, groups):
    """Coverage where the groups of results/dsb are all there is, and a test set is drawn from them with replacement."""
    table = pd.read_csv(ROOT / "results/dsb/scores.csv")
    table["map"] = pd.read_csv(ROOT / "results/dsb/objects.csv")["map"]
    number = pd.factorize(table["group"])[0]
    chosen = rng.integers(number.max() + 1, size=(repeats, groups))
    sizes = np.bincount(number)
    rows = []
    for name in ("dice", "iou", "precision", "recall", "accuracy", "map"):
        values, setting = table[name].to_numpy(), ("results/dsb", "as results/dsb", groups)
        rows.append(("mean", *setting, coverage(*limits(np.bincount(number, values)[chosen], sizes[chosen]), values.mean())))
        if groups >= MINIMUM_GROUPS_OF_MEDIAN:
            middle = np.median(values)
            below, up_to = (np.bincount(number, part)[chosen] for part in (values < middle, values <= middle))
            rows.append(("median", *setting, can_be_median(below, up_to, sizes[chosen]).mean()))
    for part, whole in pixel_ratios(*table[list(Counts._fields)].to_numpy().T).values():
        parts, wholes = np.bincount(number, part), np.bincount(number, whole)
        found = limits(parts[chosen], wholes[chosen])
        rows.append(("pooled", *setting, coverage(*found, parts.sum() / wholes.sum())))
    return rows


def errors(rng, repeats, groups):
    """Coverage for a quantity without an upper limit, such as a count error, of runs that differ in their seed."""
    values = rng.exponential(4.0, (repeats, groups))
    found = limits(values, np.ones_like(values), np.inf)
    return [("mean", "exponential, mean 4", "1 image each", groups, coverage(*found, 4.0))]


def group_sizes(rng, shape, kind):
    """Images in each group, (repeats, groups)."""
    if kind == "as results/dsb":
        split = read_json(ROOT / "results/dsb/split.json")
        of_images = [member["group"] for members in split.values() for member in members.values()]
        return rng.choice(np.unique(of_images, return_counts=True)[1], shape)
    if kind == "1 to 40 images":
        return np.clip(np.exp(rng.normal(1.2, 1.1, shape)).round(), 1, 40).astype(int)
    sizes = np.full(shape, 4 if kind == "4 images each" else 1)
    if kind == "one of 40, others of 1":
        sizes[:, 0] = 40
    return sizes


def image_scores(rng, shape, mean, deviation, alike, normal):
    """Scores (repeats, groups, images), of whose variance a share ``alike`` is between groups."""
    of_group = (*shape[:2], 1)
    if normal:
        between, within = deviation * np.sqrt(alike), deviation * np.sqrt(1 - alike)
        return (mean + rng.normal(0, between, of_group) + rng.normal(0, within, shape)).clip(0, 1)
    loss, variance = 1 - mean, deviation**2
    groups = np.full(of_group, loss)
    if alike:
        certainty = loss * mean / (alike * variance) - 1
        groups = rng.beta(loss * certainty, mean * certainty, of_group).clip(1e-9, 1 - 1e-9)
    certainty = (loss * mean - alike * variance) / ((1 - alike) * variance) - 1
    return 1 - rng.beta(groups * certainty, (1 - groups) * certainty, shape)


def bootstrap(rng, parts, wholes, draws=500):
    """Efron's percentile limits of a ratio, by drawing whole groups, for comparison: (repeats, groups) -> (repeats,)."""
    groups = parts.shape[1]
    times = rng.multinomial(groups, np.full(groups, 1 / groups), draws).T  # (groups, draws): how often each one is drawn
    return np.percentile((parts @ times) / (wholes @ times), (2.5, 97.5), axis=1)


def coverage(low, high, truth):
    """Share of the intervals that hold the truth, of those that would be printed."""
    printed = ~np.isnan(low)
    return float(((low <= truth) & (truth <= high))[printed].mean())


if __name__ == "__main__":
    main()
