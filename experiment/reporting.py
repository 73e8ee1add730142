"""Write the results of a run: predictions, scores, model card and figures. Describe the scores for the terminal."""

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import tifffile

import augment
import figures
from config import Config
from data import Predictions, RecipeResult, Split, evenly, normalise
from experiment import plots
from experiment.run_folder import save_figure
from explore import figures_eda
from metrics import best_epoch, score_table
from recipe import Recipe
from scores.intervals import MINIMUM_GROUPS, class_table, stratum_table, summarise
from system.files import write_json, write_text, written_whole
from system.names import short_names
from unet import reach

OF_EVERY_RUN = ("threshold", "validation_dice", "pixel_size")  # numbers in the summary of every recipe


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write <name>_mask.png and <name>_probability.png (0 to 255 for 0 to 1) of every image.

    With two classes, masks hold 0 and 255; with more classes, they hold class numbers. The probability is the probability of
    foreground, the sum over all classes of objects.
    """
    maps = predictions.maps
    for sample, probability, mask in zip(*predictions[:3], strict=True):
        shown = (maps.foreground(probability) * 255).round().astype(np.uint8)
        pictures = {"mask": mask * 255 if maps.classes == 2 else mask, "probability": shown}
        for kind, picture in pictures.items():
            with written_whole(folder / f"{sample.name}_{kind}.png") as temporary:
                iio.imwrite(temporary, picture)


def score(
    predictions: Predictions, config: Config, facts: dict, fitted: dict, recipe: Recipe, strata: dict
) -> tuple[pd.DataFrame, dict]:
    """Score the test set: (one row per image, summary for scores.json, with every stratum and every class).

    ``fitted``: values fitted on the validation set, which are added to the summary. ``strata``: {number: name}; {} if there are
    no names.
    """
    table = with_names(score_table(predictions.samples, predictions.masks, config.classes), strata)
    summary = {**facts, **fitted, **summarise(table)}
    summary[f"{recipe.stratum}s"] = stratum_table(table, recipe.stratum).to_dict("records")
    if config.classes > 2:
        summary["classes"] = class_table(table, config.classes).to_dict("records")
    return table, summary


def with_names(table: pd.DataFrame, strata: dict, columns: Sequence[str] = ("stratum",)) -> pd.DataFrame:
    """Return a copy of a table with names of strata instead of numbers in ``columns``; missing columns are ignored."""
    named = {name: table[name].map(lambda stratum: strata.get(stratum, stratum)) for name in columns if name in table}
    return table.assign(**named)


def write_scores(folder: Path, table: pd.DataFrame, summary: dict) -> None:
    """Write scores.csv (one row per image) and scores.json (summary)."""
    write_text(folder / "scores.csv", table.to_csv(index=False))
    write_json(folder / "scores.json", summary)


def write_result(folder: Path, result: RecipeResult, recipe: Recipe, strata: dict) -> None:
    """Write the result of a recipe: <table>.csv, figures/<figure>.png and <name>.tif; ``strata`` as in ``score``."""
    for name, table in result.tables.items():
        write_text(folder / f"{name}.csv", with_names(table, strata, ("stratum", recipe.stratum)).to_csv(index=False))
    for name, figure in result.figures.items():
        save_figure(figure, folder / "figures" / f"{name}.png")
    for name, array in result.tiffs.items():
        with written_whole(folder / f"{name}.tif") as temporary:
            tifffile.imwrite(temporary, array, imagej=array.dtype != np.uint32)  # ImageJ does not know uint32


def write_model_card(folder: Path, config: Config, facts: dict, summary: dict, history: pd.DataFrame, precision: str) -> None:
    """Write model.json: everything that a user of model.keras must know, with or without this program."""
    card = {
        "input": describe_input(config),
        "outputs": config.maps.describe(),
        "post_processing": describe_post_processing(config),
        "maps": config.maps.to_json(),
        "image_scale": config.image_scale,
        "pixel_size_um": facts["pixel_size"],
        "border_px": config.border,
        "halo_px": reach(config.depth, config.upsampling),
        "threshold": summary["threshold"],
        "training_data": facts,
        "training": {
            "epochs": len(history),
            "best_epoch": best_epoch(history, config.smoothing),
            "minutes": float(history["minutes"].iloc[-1]),
            "precision": precision,
            "configuration": {key: value for key, value in config.to_json().items() if key not in ("data", "output")},
        },
        "scores": summary,
    }
    write_json(folder / "model.json", card)


def describe_input(config: Config) -> dict:
    """Describe for the model card the images that the network expects."""
    colour = (
        "gray; a colour image becomes gray by 0.299 red + 0.587 green + 0.114 blue, or by its brightest channel if all its "
        "pixels have one tint; alpha is ignored"
        if config.channels == 1
        else f"{config.channels} channels; a gray image is repeated"
    )
    return {
        "axes": "batch, y, x, channel",
        "channels": config.channels,
        "colour": colour,
        "normalisation": {
            "kind": "percentiles of each whole image to 0 and 1",
            "low": 1.0,
            "high": 99.8,
            "formula": "(image - p1) / (p99.8 - p1), float32, not clipped, after the conversion to channels and the scaling",
        },
        "scaling": f"height and width times {config.image_scale:g}",
        "size_multiple": 2**config.depth,
        "padding": "by reflection at the bottom and the right, to multiples of size_multiple; cut off from the output",
    }


def describe_post_processing(config: Config) -> list[str]:
    """Describe for the model card, step by step, how outputs become probabilities, masks and objects."""
    maps = config.maps
    foreground = "map 0" if maps.single else "1 - map 0"
    mask = f"mask: foreground > threshold; foreground = {foreground}"
    if maps.classes > 2:
        mask += f"; the class of a pixel is the largest of maps 1 to {maps.classes - 1}"
    if maps.border:
        objects = (
            f"objects: watershed from markers, connected places of the mask where the sum of maps 1 to {maps.classes - 1} "
            "is above scores.watershed.marker_threshold"
        )
    else:
        surface = f"map {maps.class_count}, smoothed by 0.7 px" if maps.distance else "the distance to the background in px"
        objects = f"objects: watershed on {surface}, inside the mask, with the h-maxima for h = scores.watershed.h as markers"
    dropped = "objects below scores.watershed.minimum_area px or with a mean foreground below minimum_confidence are dropped"
    classes = ["each object gets the class of most of its pixels"] if maps.classes > 2 else []
    return [mask, objects, dropped, *classes]


def write_figures(
    folder: Path, recipe: Recipe, config: Config, originals: Split, masks: list, table: pd.DataFrame, history, title: str,
    strata: dict,
) -> None:  # fmt: skip
    """Draw and write the figures of every run as PNG; ``strata`` as in ``score``."""
    names = short_names(table["name"])
    names = [f"{name}\nDice {dice:.3f}" for name, dice in zip(names, table["dice"], strict=True)]
    images, truths = [s.image for s in originals.test], [s.class_map for s in originals.test]

    def pick(places):
        return [[column[i] for i in places] for column in (images, truths, masks, names)]

    order = table["dice"].to_numpy().argsort(kind="stable")
    middle = len(order) // 2
    ranks = {"worst": order[:4], "median": order[max(0, middle - 2) : middle + 2], "best": order[::-1][:4]}
    spread = evenly(order, 6)
    examples = figures_eda.stratum_examples(
        [s.image for s in originals],
        [strata.get(s.stratum, s.stratum) for s in originals],
        f"{title}: the {said(recipe.stratum)}s, with examples",
    )
    best, classes = best_epoch(history, config.smoothing), [f"class {number}" for number in range(1, config.classes)]
    ordered = f"{title}: test set, from the worst to the best Dice"
    drawn = {
        "training_curves": plots.training_curves(history, best, f"{title}: training", config.smoothing),
        "image_truth_prediction": figures.three_rows(*pick(spread), ordered, classes),
        "overlays": figures.overlays(*pick(spread), ordered, classes),
        f"{recipe.stratum}s": examples,
    }
    if table["stratum"].nunique() > 1:
        kind = said(recipe.stratum)
        drawn[f"dice_per_{recipe.stratum}"] = plots.dice_per_stratum(table, f"{title}: Dice of every test image", kind)
    first = originals.train[0]
    changed = augment.examples(normalise(first.image, first.limits), first.mask)
    drawn["augmentations"] = figures_eda.augmentations(changed, f"{title}: examples of augmentation")
    for rank, places in ranks.items():
        drawn[rank] = figures.overlays(*pick(places), f"{title}: the {rank} of the test set", classes)
    for name, figure in drawn.items():
        save_figure(figure, folder / f"{name}.png")


def said(kind: str) -> str:
    """Return the name of a kind of stratum as people write it: "kmeans_cluster" -> "k-means cluster"."""
    return kind.replace("_", " ").replace("kmeans", "k-means")


def describe(summary: dict, title: str, kind: str) -> str:
    """Return the scores as a few lines for the terminal."""
    lines = [f"{title}: test set of {summary['images']} images, threshold {summary['threshold']}"]
    if summary["groups"] < MINIMUM_GROUPS:
        lines.append(f"  no 95 % intervals: independent groups of images: {summary['groups']}, needed: {MINIMUM_GROUPS}")
    for name in ("dice", "iou", "precision", "recall", "accuracy"):
        score = summary[name]
        low, high = score["mean_interval"]
        interval = f" (95 % {low:.3f} to {high:.3f})" if low is not None else ""
        lines.append(
            f"  {name:9s}  mean per image {score['mean']:.3f}{interval}   "
            f"median {score['median']:.3f}   worst {score['worst']:.3f}   all pixels together {score['pooled']:.3f}"
        )
    own = [f"{said(k)} {value:.3f}" for k, value in summary.items() if isinstance(value, float) and k not in OF_EVERY_RUN]
    lines += [f"  {'  '.join(own)}"] if own else []
    strata = "  ".join(f"{row[kind]}: {row['dice']:.3f}" for row in summary[f"{kind}s"])
    lines += [f"  Dice per {said(kind)}  {strata}"]
    for row in summary.get("classes", ()):
        lines.append(f"  class {row['class']}  mean Dice {row['dice']:.3f}  mean IoU {row['iou']:.3f}")
    return "\n".join(lines)
