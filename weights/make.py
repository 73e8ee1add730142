"""Turn a finished run into a network to ship: weights/<name>.keras, its model card and the split.json of its run.

The model card says how well the flags of ``predict.py`` find bad results.

python weights/make.py runs/dsb/<run> nuclei
"""

import argparse
import json
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from devices import in_precision
from experiment import run_folder
from experiment.reporting import said
from metrics import count_pixels, pixel_scores
from recipe import read_recipe
from results.collect import interval, machine, markdown, roles, scored
from scores import quality
from scores.matching import count_objects, detection_scores
from segmentation import DEFAULT_TTA, open_network, segment
from system.backend import keras
from system.files import read_json, write_json, write_text, written_whole
from system.progress import progress

SCORES = ("dice", "map", "ap50")
BAD = 0.8  # an image with a lower Dice is called bad
TRUE_OF = {  # lowest and highest limit with which the name of a flag is true
    "almost full": (0.5, 1), "saturated": (0.005, 1), "small objects": (0, 0.8), "large objects": (1.25, np.inf),
}  # fmt: skip
MOST_FALSE = 0.1  # largest share of the good images that a flag may mark, because nobody reads a flag that is always there
MINIMUM_GAIN = 0.2  # share of the bad images that a fitted limit marks, minus the share of the good ones
NOT_FOR = (
    "diagnosis of patients; nuclei in three dimensions; counts where nuclei lie on top of each other; images whose outlines "
    "in report.html are wrong"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="name of the network, for what it finds: nuclei")
    options = parser.parse_args()
    target = Path(__file__).parent / f"{options.name}.keras"
    card = read_json(options.run / "model.json") | {"not_for": NOT_FOR}
    write_half(options.run / "model.keras", target)
    shutil.copy(options.run / "split.json", target.with_suffix(".split.json"))
    write_json(target.with_suffix(".json"), card)
    validation, test = segment_both(options.run, target)
    limits = fit_limits(validation)
    worth = worth_of_flags(test, limits)
    card |= {"scores_as_predicted": {name: float(test[name].mean()) for name in SCORES}}
    card |= {"quality_limits": limits, "flags": json.loads(worth.to_json(orient="records"))}
    write_json(target.with_suffix(".json"), card)
    change = largest_change([validation, test], segment_both(options.run, options.run / "model.keras"))
    write_text(target.with_suffix(".md"), "\n".join(readable(options, card, worth, change)) + "\n")


def write_half(source, target):
    """Write a network with its weights rounded to float16 and the file compressed, which halves its size.

    It remains a float32 network that ``keras.saving.load_model`` opens. Raises ValueError for weights that float16 cannot hold.
    """
    model = in_precision(keras.saving.load_model(source, compile=False, safe_mode=True), "float32")
    with np.errstate(over="ignore"):
        rounded = [np.float32(np.float16(weight)) for weight in model.get_weights()]
    if not all(np.isfinite(weight).all() for weight in rounded):
        raise ValueError(f"{source}: holds weights above 65504, which float16 cannot hold; train the network again.")
    model.set_weights(rounded)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "whole.keras")
        whole = zipfile.ZipFile(Path(folder) / "whole.keras")
        with written_whole(target) as temporary, whole, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as small:
            for name in whole.namelist():
                small.writestr(name, whole.read(name))


def largest_change(before, after):
    """Return the largest change of an image's Dice between two results of ``segment_both``."""
    return max(float((a["dice"] - b["dice"]).abs().max()) for a, b in zip(before, after, strict=True))


def segment_both(run, model):
    """Segment the validation and the test images of a run with the network in a file: quality and scores, two DataFrames."""
    network = open_network(model)
    parts = (progress(part, "Segmenting images", "image") for part in read_both(run))
    return [pd.DataFrame([segment_one(sample, network) for sample in part]) for part in parts]


def read_both(run):
    """Read the validation and the test images of a run: two lists of Samples.

    Their roles are those in split.json. Raises ValueError if an image is missing or has changed since the run.
    """
    config, listed = run_folder.read_config(run), read_json(run / "split.json")
    source = Path(read_json(run / "config.json")["source"])
    samples = {sample.name: sample for sample in read_recipe(config.recipe).load(source, config)}
    for role in ("validation", "test"):
        for name, facts in listed[role].items():
            now = samples[name].digests() if name in samples else {}
            if not now or any(facts.get(part, digest) != digest for part, digest in now.items()):
                raise ValueError(
                    f"{source}: image {name} is missing or has changed since {run}; put back the images of the run."
                )
    return [[samples[name] for name in listed[role]] for role in ("validation", "test")]


def segment_one(sample, network):
    """Segment one sample and return its quality and ``SCORES`` as a dictionary."""
    found = segment(sample.image, network)
    objects = detection_scores(**count_objects(sample.mask, found.objects))
    scores = pixel_scores(count_pixels(sample.mask, found.mask)) | objects
    return {"name": sample.name, **found.quality, **{name: scores[name] for name in SCORES}}


def fit_limits(table):
    """Return {flag: limit}: fitted, if a limit separates bad images from good ones; else as in ``quality.LIMITS``."""
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
        if max(gains) >= MINIMUM_GAIN:
            limits[name] = float(middles[int(np.argmax(gains))])
    return limits


def holds(name, limit):
    """Return whether a limit suits the name of a flag: an image with 15 % foreground is not almost full."""
    lowest, highest = TRUE_OF.get(name, (-np.inf, np.inf))
    return lowest <= limit <= highest


def worth_of_flags(table, limits):
    """Return how many images each flag marks, and the mean Dice of these and of the others: DataFrame."""
    marked = table.astype(object).where(table.notna(), None).apply(lambda row: quality.flags(row, limits), axis=1)
    rows = []
    for name in [*quality.RULES, "any flag"]:
        flagged = marked.map(bool) if name == "any flag" else marked.map(lambda names, name=name: name in names)
        rows.append(
            {
                "flag": name,
                "limit": limits.get(name),
                "limit from": _origin(name, limits),
                "images": int(flagged.sum()),
                f"with Dice below {BAD}": int((table.loc[flagged, "dice"] < BAD).sum()),
                "mean Dice of these": float(table.loc[flagged, "dice"].mean()) if flagged.any() else None,
                "of the others": float(table.loc[~flagged, "dice"].mean()) if not flagged.all() else None,
            }
        )
    return pd.DataFrame(rows)


def _origin(name, limits):
    """Say where the limit of a flag comes from; None for one without a limit."""
    if name not in limits:
        return None
    return "guess" if limits[name] == quality.LIMITS[name] else "validation set"


def readable(options, card, worth, change):
    """Return the model card for people as lines of Markdown. ``change``: the largest change of Dice by rounding the weights."""
    data, scores, settings = card["training_data"], card["scores"], card["training"]["configuration"]
    dice, precision, at_half = (card["scores_as_predicted"][name] for name in SCORES)
    kind = read_recipe(settings["recipe"]).stratum
    sizes = data["object_diameter"]
    return [
        f"# {options.name}.keras", "",
        f"For nuclei in two dimensions, in fluorescence and stained images. Not for: {card['not_for']}.", "",
        f"Trained on {data['title']} (licence {data['licence']}). Images: {roles(read_json(options.run / 'split.json'))}. All "
        f"crops of one photograph have the same role; {options.name}.split.json lists the role of each image, and "
        f"[results/{settings['recipe']}](../results/{settings['recipe']}/README.md) shows figures. Nine of ten nuclei have a "
        f"diameter of {sizes['low']:.0f} to {sizes['high']:.0f} px. {machine(options.run)} Settings and scores are in "
        f"{options.name}.json.", "",
        f"{scored(scores, settings['tta'], 'photograph')}: mean Dice {scores['dice']['mean']:.3f} (95 % interval "
        f"{interval(scores['dice']['mean_interval'])}), mean average precision over IoU 0.5 to 0.95 {scores['map']:.3f} (95 % "
        f"interval {interval(scores['map_interval'])}), at IoU 0.5 {scores['ap50']:.3f}. Dice of each {said(kind)}, with its "
        "95 % interval if it has three groups (photographs) or more:", "",
        markdown(pd.DataFrame(scores[f"{kind}s"])), "",
        f"With `predict.py`, {DEFAULT_TTA}-fold test-time augmentation and an estimated scale, the same images "
        f"have: mean Dice {dice:.3f}, mean average precision {precision:.3f}, at IoU 0.5 {at_half:.3f}.", "",
        f"The weights are rounded to float16. This changes the Dice of an image by {change:.4f} at most (validation and test "
        f"set, {DEFAULT_TTA}-fold test-time augmentation).", "",
        "The table shows how well the flags of `predict.py` find bad results among these images. A limit from the validation "
        "set separates the bad images of that set from its good ones. The other limits are guesses. If a flag marks no image, "
        "these images do not show whether its limit is right.", "",
        markdown(worth), "",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
