"""What a run leaves behind for people: predictions, scores, the model card, figures, and the closing lines."""

import imageio.v3 as iio
import numpy as np
import tifffile

import augment
import figures
from data import evenly, normalise, target
from experiment.run_folder import save_figure
from explore import figures_eda
from metrics import best_epoch, foreground, score_table, stratum_table, summarise
from system.files import write_json, write_text, written_whole
from unet import reach

OF_EVERY_RUN = ("threshold", "validation_dice", "pixel_size")  # numbers among the scores that no recipe has for itself


def write_predictions(folder, samples, probabilities, masks, classes=2):
    """Write <name>_mask.png and <name>_probability.png (0 to 255 for 0 to 1) of every image.

    Masks are 0/255 for two classes and class numbers for more; the probability is that of any foreground.
    """
    for sample, probability, mask in zip(samples, probabilities, masks, strict=True):
        shown = (foreground(probability) * 255).round().astype(np.uint8)
        pictures = {"mask": mask * 255 if classes == 2 else mask, "probability": shown}
        for kind, picture in pictures.items():
            with written_whole(folder / f"{sample.name}_{kind}.png") as temporary:
                iio.imwrite(temporary, picture)


def score(samples, masks, config, data, fitted, kind="cluster", strata=None):
    """Score the test set: (DataFrame with one row per image, summary as scores.json holds it, with every stratum).

    ``data``: what the images are; ``fitted``: what the validation set decided, kept beside the scores; ``kind``: what a
    stratum is; ``strata``: {stratum: its name} where it has one.
    """
    table = score_table(samples, masks, config.classes)
    table["stratum"] = table["stratum"].map(lambda stratum: (strata or {}).get(stratum, stratum))
    rows = stratum_table(table, kind).to_dict("records")
    return table, {**data, **fitted, **summarise(table), f"{kind}s": rows}


def write_scores(folder, table, summary):
    """Write scores.csv (one row per image) and scores.json (summary)."""
    write_text(folder / "scores.csv", table.to_csv(index=False))
    write_json(folder / "scores.json", summary)


def write_measured(folder, measured):
    """Write what a recipe measured: <table>.csv, figures/<figure>.png and <name>.tif."""
    for name, table in measured.tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    for name, figure in measured.figures.items():
        save_figure(figure, folder / "figures" / f"{name}.png")
    for name, array in measured.tiffs.items():
        with written_whole(folder / f"{name}.tif") as temporary:
            tifffile.imwrite(temporary, array, imagej=True)


def write_model_card(folder, config, data, summary, history, precision):
    """Write model.json: what someone must know who uses model.keras."""
    card = {
        "axes": "YXC",
        "channels": config.channels,
        "classes": config.classes,
        "normalisation": {"kind": "percentiles of each whole image to 0 and 1", "low": 1.0, "high": 99.8},
        "image_scale": config.image_scale,
        "pixel_size_um": data["pixel_size"],
        "border_px": config.border,
        "size_multiple": 2**config.depth,
        "halo_px": reach(config.depth, config.upsampling),
        "threshold": summary["threshold"],
        "training_data": data,
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


def write_figures(folder, originals, masks, table, history, title, config, kind="cluster", strata=None):
    """Draw and write every figure of a run as PNG; ``kind`` and ``strata`` as in ``score``."""
    names = table["name"].map(_short) + "\nDice " + table["dice"].map("{:.3f}".format)
    images, truths = [s.image for s in originals.test], [target(s.mask, config.classes) for s in originals.test]

    def pick(places):
        return [[column[i] for i in places] for column in (images, truths, masks, list(names))]

    order = table["dice"].to_numpy().argsort(kind="stable")
    middle = len(order) // 2
    ranks = {"worst": order[:4], "median": order[max(0, middle - 2) : middle + 2], "best": order[::-1][:4]}
    spread = evenly(order, 6)
    everything = [*originals.train, *originals.validation, *originals.test]
    drawn = {
        "training_curves": figures.training_curves(history, best_epoch(history, config.smoothing), f"{title}: training"),
        "image_truth_prediction": figures.three_rows(*pick(spread), f"{title}: test set, from the worst to the best Dice"),
        "overlays": figures.overlays(*pick(spread), f"{title}: test set, from the worst to the best Dice"),
        f"dice_per_{kind}": figures.dice_per_stratum(table, f"{title}: Dice of every test image", said(kind)),
        f"{kind}s": figures_eda.stratum_examples(
            [s.image for s in everything],
            [(strata or {}).get(s.stratum, s.stratum) for s in everything],
            f"{title}: the {said(kind)}s, with examples",
        ),
    }
    first = originals.train[0]
    changed = augment.examples(normalise(first.image, first.limits), first.mask)
    drawn["augmentations"] = figures_eda.augmentations(changed, f"{title}: what augmentation does")
    for rank, places in ranks.items():
        drawn[rank] = figures.overlays(*pick(places), f"{title}: the {rank} of the test set")
    for name, figure in drawn.items():
        save_figure(figure, folder / f"{name}.png")


def _short(name):
    """An image's name as it fits above a picture: the beginning of a hash, else the end."""
    return name[:8] if len(name) >= 40 else name[-20:]


def said(kind):
    """The name of a kind of stratum as people write it."""
    return kind.replace("_", " ")


def describe(summary, title, kind="cluster"):
    """The scores as a few lines for the terminal."""
    lines = [f"{title}: {summary['images']} images in the test set, threshold {summary['threshold']}"]
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
    return "\n".join([*lines, f"  Dice per {said(kind)}  {strata}"])
