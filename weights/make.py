"""Make a network to ship of a finished run: weights/<name>.keras and its model card, with what the flags are worth.

python weights/make.py runs/dsb/<run> nuclei
"""

import argparse
import json
import sys
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiment import run_folder
from metrics import count_pixels, pixel_scores
from results.collect import machine, markdown
from scores import quality
from scores.matching import count_objects, detection_scores
from segmentation import DEFAULT_TTA, open_network, segment
from system.backend import keras
from system.files import read_json, write_json, write_text, written_whole
from system.progress import progress

SCORES = ("dice", "map", "ap50")
BAD = 0.8  # Dice below which a segmentation is better not trusted
TRUE_OF = {"almost full": (0.5, 1), "saturated": (0.005, 1), "small objects": (0, 0.8), "large objects": (1.25, np.inf)}
MOST_FALSE = 0.1  # of good images that a flag may mark: one that stands everywhere is not read
LEAST_GAIN = 0.2  # of bad images flagged over good ones flagged, for a limit to be fitted
NOT_FOR = (
    "diagnosis of patients; nuclei in three dimensions; counting where nuclei lie upon each other; images whose report.html "
    "shows wrong outlines"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="what the network finds: nuclei")
    options = parser.parse_args()
    target = Path(__file__).parent / f"{options.name}.keras"
    card = read_json(options.run / "model.json") | {"not_for": NOT_FOR}
    write_half(options.run / "model.keras", target)
    write_json(target.with_suffix(".json"), card)
    validation, test = look_at_both(options.run, target)
    limits = fit_limits(validation)
    worth = worth_of_flags(test, limits)
    card |= {"scores_as_predicted": {name: float(test[name].mean()) for name in SCORES}}
    card |= {"quality_limits": limits, "flags": json.loads(worth.to_json(orient="records"))}
    write_json(target.with_suffix(".json"), card)
    change = largest_change([validation, test], look_at_both(options.run, options.run / "model.keras"))
    write_text(target.with_suffix(".md"), "\n".join(readable(options, card, worth, change)) + "\n")


def write_half(source, target):
    """Write a network with its weights rounded to float16 and the file deflated, which takes half the space.

    It stays a network of float32 that ``keras.saving.load_model`` opens. Raises ValueError for weights beyond float16.
    """
    model = keras.saving.load_model(source, compile=False, safe_mode=True)
    rounded = [np.float32(np.float16(weight)) for weight in model.get_weights()]
    if not all(np.isfinite(weight).all() for weight in rounded):
        raise ValueError(f"{source}: holds weights above 65504, which float16 does not have.")
    model.set_weights(rounded)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "whole.keras")
        whole = zipfile.ZipFile(Path(folder) / "whole.keras")
        with written_whole(target) as temporary, whole, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as small:
            for name in whole.namelist():
                small.writestr(name, whole.read(name))


def largest_change(before, after):
    """Largest difference of an image's Dice between two tables each of ``look_at_both``."""
    return max(float((a["dice"] - b["dice"]).abs().max()) for a, b in zip(before, after, strict=True))


def look_at_both(run, model):
    """Quality and scores of every image of a run's validation and test set, by the network of a file: two DataFrames."""
    config, network = run_folder.read_config(run), open_network(model)
    recipe = import_module(config.recipe)
    split = recipe.split(recipe.load(Path(read_json(run / "config.json")["source"])), config)
    parts = (progress(part, "Looking at images", "image") for part in (split.validation, split.test))
    return [pd.DataFrame([look_at(sample, network) for sample in part]) for part in parts]


def look_at(sample, network):
    """Quality and ``SCORES`` of one sample, as a dictionary."""
    found = segment(sample.image, network)
    objects = detection_scores(**count_objects(sample.mask, found.objects))
    scores = pixel_scores(count_pixels(sample.mask, found.mask)) | objects
    return {"name": sample.name, **found.quality, **{name: scores[name] for name in SCORES}}


def fit_limits(table):
    """The limits that best tell images with a bad Dice from the others and mark few of these, else the usual ones."""
    bad, limits = table["dice"] < BAD, dict(quality.LIMITS)
    for name, (quantity, below, _) in quality.RULES.items():
        values = pd.to_numeric(table[quantity])
        tried = np.unique(values.dropna())
        if name == "empty" or not bad.any() or bad.all() or len(tried) < 2:
            continue
        middles = [middle for middle in (tried[1:] + tried[:-1]) / 2 if holds(name, middle)]
        if not middles:
            continue
        flagged = [(values < limit) if below else (values > limit) for limit in middles]
        false = [part[~bad].mean() for part in flagged]
        gains = [part[bad].mean() - f if f <= MOST_FALSE else 0 for part, f in zip(flagged, false, strict=True)]
        if max(gains) >= LEAST_GAIN:
            limits[name] = float(middles[int(np.argmax(gains))])
    return limits


def holds(name, limit):
    """Whether what a flag says is true of the images beyond a limit: an image of 15 % foreground is not almost full."""
    lowest, highest = TRUE_OF.get(name, (-np.inf, np.inf))
    return lowest <= limit <= highest


def worth_of_flags(table, limits):
    """How many images each flag marks, and the Dice of those and of the others: DataFrame."""
    marked = table.astype(object).where(table.notna(), None).apply(lambda row: quality.flags(row, limits), axis=1)
    rows = []
    for name in [*quality.RULES, "any flag"]:
        flagged = marked.map(bool) if name == "any flag" else marked.map(lambda names, name=name: name in names)
        rows.append(
            {
                "flag": name,
                "limit": limits.get(name),
                "limit from": None
                if name not in limits
                else "guess"
                if limits[name] == quality.LIMITS[name]
                else "validation set",
                "images": int(flagged.sum()),
                f"with Dice below {BAD}": int((table.loc[flagged, "dice"] < BAD).sum()),
                "mean Dice of these": float(table.loc[flagged, "dice"].mean()) if flagged.any() else None,
                "of the others": float(table.loc[~flagged, "dice"].mean()) if not flagged.all() else None,
            }
        )
    return pd.DataFrame(rows)


def readable(options, card, worth, change):
    """The model card for people, as lines of Markdown; ``change`` of an image's Dice by rounding."""
    data, scores, settings = card["training_data"], card["scores"], card["training"]["configuration"]
    dice, precision, at_half = (card["scores_as_predicted"][name] for name in SCORES)
    low, high = scores["dice"]["mean_interval"]
    roles = ", ".join(f"{len(members)} to {role}" for role, members in read_json(options.run / "split.json").items())
    sizes = data["object_diameter"]
    return [
        f"# {options.name}.keras", "",
        f"For nuclei in two dimensions, in fluorescence and stained. Not for: {card['not_for']}.", "",
        f"Trained on {data['title']}, licence {data['licence']}: {roles}; crops of one photograph have one role "
        f"([results/{settings['recipe']}](../results/{settings['recipe']}/README.md): who has which, figures). Nine of ten "
        f"nuclei there are {sizes['low']:.0f} to {sizes['high']:.0f} px across. {machine(options.run)} Settings and scores "
        f"are in {options.name}.json.", "",
        f"Test set, {scores['images']} images of {scores['groups']} photographs, {settings['tta']} tta of each: "
        f"mean Dice {scores['dice']['mean']:.3f} (95 % {low:.3f} to {high:.3f}), mean average precision over IoU 0.5 to 0.95 "
        f"{scores['map']:.3f}, at IoU 0.5 {scores['ap50']:.3f}. Per cluster, Dice:", "",
        markdown(pd.DataFrame(scores["clusters"])), "",
        f"As `predict.py` segments the same images, with {DEFAULT_TTA} tta, scaled after a first look: mean Dice "
        f"{dice:.3f}, mean average precision {precision:.3f}, at IoU 0.5 {at_half:.3f}.", "",
        f"The weights are rounded to float16, which changes the Dice of an image by {change:.4f} at most (validation and test "
        f"set, {DEFAULT_TTA} tta).", "",
        "What the flags of `predict.py` are worth, counted on these images. A limit is fitted where it tells bad images of the "
        "validation set from good ones; the others are guesses, of which these images say nothing where none is marked.", "",
        markdown(worth), "",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
