"""Figures of a run: functions from arrays and tables to a matplotlib Figure; they load, train and show nothing.

Colours are Okabe and Ito's, which people with colour-blindness tell apart.
"""

import itertools

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from skimage.segmentation import find_boundaries

from scores.measurements import QUANTITIES, UNITS, differences

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
MARKERS = "^os"  # of stains
LETTERS = 40  # that fit below a panel of a series
OUTLINES = {"truth": YELLOW, "prediction": SKY}
OVERLAY = {"true positive": SKY, "false positive": VERMILION, "false negative": YELLOW}


def training_curves(history, best, title):
    """Loss and Dice over the epochs from ``history`` (DataFrame), the ``best`` one (from 1) marked.

    The loss of the validation set is left out: its empty tiles and padding make it another scale than the training set's.
    """
    figure, axes = canvas(1, 2, 11, 4.2, title)
    for axis, name, label in zip(axes[0], ("loss", "dice"), ("Loss", "Dice, all pixels"), strict=True):
        axis.plot(history["epoch"], history[name], color=BLUE, label="fit (augmented, with dropout)")
        if name == "dice":
            axis.plot(history["epoch"], history["val_dice"], color=ORANGE, label="validation")
        axis.axvline(best, color="0.5", linestyle=":", label=f"best epoch, {best}")
        axis.set(xlabel="Epoch", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0, 1].legend(frameon=False, loc="lower right")
    return figure


def three_rows(images, truths, predictions, names, title):
    """Image, truth and prediction in three rows, one column per sample; masks are 0/1 or class numbers."""
    figure, axes = canvas(3, len(images), 2.3 * len(images) + 0.4, 6.9 * aspect(images) + 1, title, pictures=True)
    rows = zip(("Image", "Truth", "Prediction"), (images, truths, predictions), strict=True)
    for row, (label, pictures) in enumerate(rows):
        for axis, picture, name in zip(axes[row], pictures, names, strict=True):
            show_image(axis, picture)
            if row == 0:
                axis.set_title(name, fontsize=9)
        axes[row, 0].set_ylabel(label)
    return figure


def overlays(images, truths, predictions, names, title):
    """Where prediction and truth agree and differ, drawn over each image; two classes."""
    figure, axes = picture_grid(images, 3, title)
    for axis, image, truth, predicted, name in zip(axes.flat, images, truths, predictions, names, strict=False):
        axis.imshow(overlay(image, truth, predicted))
        axis.set_title(name, fontsize=9)
    handles = [Line2D([], [], marker="s", linestyle="", color=colour, label=name) for name, colour in OVERLAY.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def overlay(image, truth, predicted):
    """An image as RGB floats (H, W, 3) with true positive, false positive and false negative pixels tinted."""
    gray = stretch(image).mean(axis=-1, keepdims=True)
    picture = np.repeat(0.9 * gray, 3, axis=-1)
    truth, predicted = truth > 0, predicted > 0
    for part, colour in zip((truth & predicted, ~truth & predicted, truth & ~predicted), OVERLAY.values(), strict=True):
        tint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        picture[part] = 0.45 * picture[part] + 0.55 * tint
    return picture


def dice_per_stratum(table, title, kind="cluster"):
    """Every image's Dice as a dot per stratum, with its median; ``table`` as ``metrics.score_table`` gives."""
    figure, axes = canvas(1, 1, 8.5, 4.6, title)
    axis, rng = axes[0, 0], np.random.default_rng(0)
    strata = sorted(table["stratum"].unique())
    for place, stratum in enumerate(strata):
        dice = table.loc[table["stratum"] == stratum, "dice"]
        axis.scatter(place + rng.uniform(-0.2, 0.2, len(dice)), dice, s=16, color=BLUE, alpha=0.6, linewidths=0)
        axis.hlines(dice.median(), place - 0.35, place + 0.35, color=VERMILION, linewidth=2)
    axis.hlines([], 0, 0, color=VERMILION, linewidth=2, label=f"median of the {kind}")
    axis.set_xticks(range(len(strata)), [f"{s}\n{images_of((table['stratum'] == s).sum())}" for s in strata])
    axis.set(xlabel=kind.capitalize(), ylabel="Dice per image", ylim=(min(0.5, table["dice"].min() - 0.02), 1.005))
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False, loc="lower left")
    return figure


def counts(tables, title):
    """Counted against true number of objects, a panel per {title: DataFrame with count, counted, focus, stain}."""
    figure, axes = canvas(1, len(tables), 5.2 * len(tables), 5, title)
    colours = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
    for axis, (name, table) in zip(axes[0], tables.items(), strict=True):
        for colour, (focus, part) in zip(itertools.cycle(colours), table.groupby("focus")):
            axis.scatter([], [], color=colour, label=f"F{focus}")
            for stain, rows in part.groupby("stain"):
                style = {"marker": MARKERS[stain % len(MARKERS)], "s": 22, "alpha": 0.7, "linewidths": 0}
                axis.scatter(rows["count"], rows["counted"], color=colour, **style)
        for stain in sorted(table["stain"].unique()):
            axis.scatter([], [], color="0.5", marker=MARKERS[stain % len(MARKERS)], label=f"stain w{stain}")
        end = 1.05 * max(table["count"].max(), table["counted"].max())
        axis.plot([0, end], [0, end], color="0.5", linestyle=":")
        axis.set(xlabel="True number of cells", ylabel="Counted", title=name, xlim=(0, end), ylim=(0, end), aspect="equal")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, loc="upper left")
    return figure


def outlines(images, layers, names, title):
    """The outlines of objects over each image; ``layers``: {"truth" or "prediction": one label image per image}."""
    figure, axes = picture_grid(images, 4.6, title)
    for place, (axis, image, name) in enumerate(zip(axes.flat, images, names, strict=False)):
        show_image(axis, image)
        for layer, labels in layers.items():
            picture = np.zeros((*labels[place].shape, 4))
            picture[find_boundaries(labels[place], mode="inner")] = to_rgba(OUTLINES[layer])
            axis.imshow(picture, interpolation="nearest")
        axis.set_title(name)
    handles = [Line2D([], [], color=OUTLINES[layer], label=layer) for layer in layers]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def outlined(image, labels, most=None):
    """An image (H, W, C) as RGB uint8 (H, W, 3) with the outlines of its objects; at most ``most`` px wide and high."""
    step = 1 if most is None else -(-max(labels.shape) // most)
    picture = stretch(image[::step, ::step])
    picture = picture[..., :3] if picture.shape[2] >= 3 else np.repeat(picture[..., :1], 3, axis=2)
    colour = VERMILION if np.median(picture) > 0.4 else YELLOW
    picture[find_boundaries(labels[::step, ::step], mode="inner")] = to_rgba(colour)[:3]
    return (picture * 255).round().astype(np.uint8)


def agreement(true, measured, title):
    """Differences of two measurements over their mean (Bland and Altman), a panel per quantity.

    ``true``, ``measured``: tables of ``measure_objects`` whose rows are the same objects.
    """
    figure, axes = canvas(2, 4, 16, 7.2, title)
    for axis in axes.flat[len(QUANTITIES) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, QUANTITIES, strict=False):
        difference = differences(true, measured, name)
        bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
        axis.scatter(true[name] + difference / 2, difference, s=14, color=BLUE, alpha=0.6, linewidths=0)
        axis.axhline(bias, color=VERMILION, label=f"bias {bias:.3g}")
        for limit in (bias - spread, bias + spread):
            axis.axhline(limit, color=VERMILION, linestyle="--")
        axis.plot([], [], color=VERMILION, linestyle="--", label=f"limits {bias - spread:.3g}, {bias + spread:.3g}")
        unit = UNITS.get(name, "px")
        axis.set_title(f"{name.replace('_', ' ')}{f', {unit}' if unit else ''}", fontsize=10)
        axis.set(xlabel="mean of both", ylabel="prediction - truth")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return figure


def scores_over_threshold(table, fitted, title):
    """V_rand and V_info over the threshold, and the fitted threshold; ``table`` with those columns."""
    figure, axes = canvas(1, 1, 7.5, 4.6, title)
    axis = axes[0, 0]
    for name, label, colour in (("v_rand", "V_rand", BLUE), ("v_info", "V_info", ORANGE)):
        axis.plot(table["threshold"], table[name], color=colour, marker="o", label=f"{label}, best {table[name].max():.3f}")
    axis.axvline(fitted, color="0.5", linestyle=":", label="threshold fitted on the validation set")
    axis.set(xlabel="Threshold on the membrane's probability", ylabel="Score")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def series(table, scores, label, title):
    """Scores of several runs over the setting that they vary: a dot per run, the mean and its 95 % interval.

    ``table``: one row per value of the setting, which stands in ``run``, with <score>, <score>_low and <score>_high,
    NaN where there is no interval. ``scores``: {score: DataFrame of single runs with ``run`` and that score}.
    """
    figure, axes = canvas(1, len(scores), 5.0 * len(scores), 4.4, title)
    places = {value: place for place, value in enumerate(table["run"])}
    for axis, (name, runs) in zip(axes[0], scores.items(), strict=True):
        axis.scatter(runs["run"].map(places), runs[name], s=18, color=BLUE, alpha=0.6, linewidths=0, label="one run")
        line = "-" if table["run"].dtype.kind in "iuf" else ""  # names have no order
        several = len(runs) > len(table)  # else the mean is the run
        mean = {"marker": "_", "markersize": 14, "label": "mean"} if several else {}
        axis.plot(range(len(table)), table[name], color=VERMILION, linestyle=line, **mean)
        known = table[f"{name}_low"].notna().to_numpy()
        low, high = (table.loc[known, f"{name}_{end}"].astype(float) for end in ("low", "high"))
        axis.vlines(np.flatnonzero(known), low, high, color=VERMILION, linewidth=1.5)
        names = [str(value) for value in table["run"]]
        crowded = sum(map(len, names)) > LETTERS
        axis.set_xticks(range(len(table)), names, rotation=30 * crowded, ha="right" if crowded else "center")
        axis.set(xlabel=label.replace("_", " "), ylabel=name.replace("_", " "))
        axis.grid(alpha=0.3)
        if several:
            axis.legend(frameon=False)
    return figure


def stretch(image):
    """An image (H, W, C) of any bit depth as floats in [0, 1], its 0.5th to 99.8th percentile stretched."""
    low, high = np.percentile(image, (0.5, 99.8))
    return np.clip((image.astype(float) - low) / max(high - low, 1e-9), 0, 1)


def aspect(images):
    """Height over width of the tallest of the images: what a row of them needs."""
    return max(image.shape[0] / image.shape[1] for image in images)


def images_of(count):
    return "1 image" if count == 1 else f"{count} images"


def show_image(axis, picture):
    """Draw an image (H, W, C) of any bit depth, or a mask (H, W), on an axis."""
    picture = stretch(picture) if picture.ndim == 3 else picture
    colour = picture.ndim == 3 and picture.shape[2] == 3
    picture = picture if colour else picture.reshape(picture.shape[:2])
    axis.imshow(picture, cmap=None if colour else "gray", vmin=0, vmax=max(1, picture.max()))


def picture_grid(images, side, title):
    """A Figure with an axis of ``side`` inches for each image, in rows of three if there are more than four; and its axes."""
    columns = len(images) if len(images) <= 4 else 3
    rows = -(-len(images) // columns)
    height = rows * (side * aspect(images) + 0.4) + 0.9
    figure, axes = canvas(rows, columns, side * columns, height, title, pictures=True)
    for axis in axes.flat[len(images) :]:
        axis.set_axis_off()
    return figure, axes


def canvas(rows, columns, width, height, title, pictures=False):
    """A Figure of ``width`` x ``height`` inches with a title, and its (rows, columns) axes, for ``pictures`` without ticks."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.suptitle(title, fontsize=12)
    if pictures:
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set_visible(False)
    return figure, axes
