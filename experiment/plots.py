"""Figures of a run's numbers: functions from tables to a matplotlib Figure. Figures that show images are in ``figures``."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from figures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, canvas, name_ticks
from scores.measurements import QUANTITIES, differences
from system.names import images_of, readable

MARKERS = "^os"  # of stains


def training_curves(history: pd.DataFrame, best: int, title: str, smoothing: int = 1) -> Figure:
    """Draw loss and Dice over the epochs from ``history`` (DataFrame), and mark the ``best`` epoch (counted from 1).

    ``smoothing``: number of epochs over which the validation Dice was averaged to choose the best epoch; this mean is drawn,
    too. The validation loss is not drawn: because of empty tiles and padding, it cannot be compared with the training loss.
    """
    figure, axes = canvas(1, 2, 11, 4.2, title)
    few = {"marker": "o", "markersize": 4} if len(history) < 12 else {}
    for axis, name, said in zip(axes[0], ("loss", "dice"), ("Loss", "Dice, all pixels together"), strict=True):
        axis.plot(history["epoch"], history[name], color=BLUE, label="train (augmented, with dropout)", **few)
        if name == "dice":
            faint = {"alpha": 0.4} if smoothing > 1 else {}
            axis.plot(history["epoch"], history["val_dice"], color=ORANGE, label="validation", **few, **faint)
        if name == "dice" and smoothing > 1:
            mean = history["val_dice"].rolling(smoothing, min_periods=1).mean()
            axis.plot(
                history["epoch"], mean, color=ORANGE, linewidth=2.2, label=f"validation, mean of the last {smoothing} epochs"
            )
        axis.axvline(best, color="0.5", linestyle=":", label=f"best epoch, {best}")
        axis.set(xlabel="Epoch", ylabel=said)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0, 1].legend(frameon=False, loc="lower right")
    return figure


def dice_per_stratum(table: pd.DataFrame, title: str, kind: str = "stratum") -> Figure | None:
    """Draw the Dice of each image as a dot, by stratum, with the median of the stratum. Return None for a single stratum.

    ``table``: the result of ``metrics.score_table``. ``kind``: word for a stratum.
    """
    strata = sorted(table["stratum"].unique(), key=lambda stratum: (isinstance(stratum, str), stratum))
    if len(strata) < 2:
        return None
    width = max(8.5, 1.1 * len(strata))
    figure, axes = canvas(1, 1, width, 4.6, title)
    axis, rng = axes[0, 0], np.random.default_rng(0)
    for place, stratum in enumerate(strata):
        dice = table.loc[table["stratum"] == stratum, "dice"]
        axis.scatter(place + rng.uniform(-0.2, 0.2, len(dice)), dice, s=16, color=BLUE, alpha=0.6, linewidths=0)
        axis.hlines(dice.median(), place - 0.35, place + 0.35, color=VERMILION, linewidth=2)
    axis.hlines([], 0, 0, color=VERMILION, linewidth=2, label=f"median of the {kind}")
    name_ticks(axis, strata, width - 1, [images_of((table["stratum"] == stratum).sum()) for stratum in strata])
    axis.set(xlabel=kind.capitalize(), ylabel="Dice per image", ylim=(min(0.5, table["dice"].min() - 0.02), 1.005))
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, loc="lower left")
    return figure


def counts(tables: dict[str, pd.DataFrame], title: str) -> Figure:
    """Draw counted over true numbers of cells: a panel for each {title: DataFrame with count, counted, focus, stain}."""
    figure, axes = canvas(1, len(tables), 5.2 * len(tables), 5, title)
    colours = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        for colour, (focus, part) in zip(itertools.cycle(colours), table.groupby("focus")):
            axis.scatter([], [], color=colour, label=f"focus F{focus}")
            for stain, rows in part.groupby("stain"):
                style = {"marker": MARKERS[stain % len(MARKERS)], "s": 22, "alpha": 0.7, "linewidths": 0}
                axis.scatter(rows["count"], rows["counted"], color=colour, **style)
        for stain in sorted(table["stain"].unique()):
            axis.scatter([], [], color="0.5", marker=MARKERS[stain % len(MARKERS)], label=f"stain w{stain}")
        end = 1.05 * max(table["count"].max(), table["counted"].max())
        axis.plot([0, end], [0, end], color="0.5", linestyle=":", label="all counted right")
        axis.set(
            xlabel="True number of cells", ylabel="Counted cells", title=name, xlim=(0, end), ylim=(0, end), aspect="equal"
        )
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, loc="upper left", fontsize=8)
    return figure


def agreement(true: pd.DataFrame, measured: pd.DataFrame, title: str) -> Figure:
    """Draw the differences of two measurements over their mean (Bland and Altman 1986), a panel for each quantity.

    The limits of agreement hold 95 % of the differences if these are normally distributed.
    ``true``, ``measured``: tables of ``measure_objects`` whose rows are the same objects.
    """
    figure, axes = canvas(2, 4, 16, 7.2, title)
    for axis in axes.flat[len(QUANTITIES) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, QUANTITIES, strict=False):
        difference = differences(true, measured, name)
        bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
        axis.scatter(true[name] + difference / 2, difference, s=14, color=BLUE, alpha=0.6, linewidths=0)
        axis.axhline(bias, color=VERMILION, label=f"mean difference {bias:.3g}")
        for limit in (bias - spread, bias + spread):
            axis.axhline(limit, color=VERMILION, linestyle="--")
        limits = f"limits of agreement {bias - spread:.3g} to {bias + spread:.3g}"
        axis.plot([], [], color=VERMILION, linestyle="--", label=limits)
        axis.set_title(readable(name), fontsize=10)
        axis.set(xlabel="Mean of truth and prediction", ylabel="Prediction − truth")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.18))
    return figure


def scores_over_threshold(table: pd.DataFrame, fitted: float, title: str) -> Figure:
    """Draw V_rand and V_info over the threshold, and mark ``fitted``; ``table`` has columns threshold, v_rand, v_info."""
    figure, axes = canvas(1, 1, 7.5, 4.6, title)
    axis = axes[0, 0]
    for name, colour in (("v_rand", BLUE), ("v_info", ORANGE)):
        said = f"{readable(name)}, best {table[name].max():.3f}"
        axis.plot(table["threshold"], table[name], color=colour, marker="o", label=said)
    axis.axvline(fitted, color="0.5", linestyle=":", label=f"threshold fitted on the validation set, {fitted:.2g}")
    axis.set(xlabel="Threshold on the probability of membrane", ylabel="Score")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def series(table: pd.DataFrame, scores: dict[str, pd.DataFrame], setting: str, title: str) -> Figure:
    """Draw the scores of several runs over the varied setting: a dot for each run, the mean and its 95 % interval.

    ``table``: one row for each value of the setting, with the columns ``run`` (this value), <score>, <score>_low and
    <score>_high (NaN where there is no interval). ``scores``: {score: DataFrame of single runs with ``run`` and this score}.
    ``setting``: name of the setting, or several names separated by commas.
    """
    width = max(5.0, 0.5 * len(table))
    figure, axes = canvas(1, len(scores), width * len(scores), 4.4, title)
    places = {value: place for place, value in enumerate(table["run"])}
    for axis, (name, runs) in zip(axes[0], scores.items(), strict=True):
        axis.scatter(runs["run"].map(places), runs[name], s=18, color=BLUE, alpha=0.6, linewidths=0, label="one run")
        line = "-" if table["run"].dtype.kind in "iuf" else ""  # names have no order
        several = len(runs) > len(table)  # else each mean is the score of one run
        mean = {"marker": "_", "markersize": 14, "label": "mean"} if several else {}
        axis.plot(range(len(table)), table[name], color=VERMILION, linestyle=line, **mean)
        known = table[f"{name}_low"].notna().to_numpy()
        low, high = (table.loc[known, f"{name}_{end}"].astype(float) for end in ("low", "high"))
        interval = {"label": "95 % interval of the mean"} if known.any() else {}
        axis.vlines(np.flatnonzero(known), low, high, color=VERMILION, linewidth=1.5, **interval)
        name_ticks(axis, table["run"], width - 1)
        axis.set(xlabel=", ".join(map(readable, setting.split(", "))), ylabel=readable(name))
        axis.margins(x=0.12)
        axis.grid(alpha=0.3)
    if several:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside lower center")
    return figure
