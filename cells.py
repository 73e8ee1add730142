"""Low-contrast cells: separate touching cells and measure them, with few labelled images.

Source    Cell Tracking Challenge, DIC-C2DH-HeLa and PhC-C2DH-U373 (Maska et al. 2014, Ulman et al. 2017)
Command   python train_and_predict.py cells --data DIC-C2DH-HeLa --image-scale 0.5
Hardware  2 cores of an AMD EPYC, no GPU; HeLa in float32 without AVX-512, the others in bfloat16
Time      22 minutes of training (HeLa), 14 (U373); simulated cells less than 80 seconds in total
Score     HeLa, frames 17 to 33: SEG 0.890 on 3 gold frames, 0.911 on 14 silver ones. U373, one sequence for the test and the
          other for training: test of 01: SEG 0.923 on 15 gold frames, 0.948 on 100 silver ones; test of 02: 0.841 on 15 and
          0.859 on 65; results/cells. Simulated cells: SEG 0.943, mean absolute error of the equivalent diameter 0.6 px, mean
          error -0.5 px
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

import figures
import splits
from config import Config
from data import Predictions, RecipeResult, Sample, Split, evenly
from experiment import plots
from objects import find_all_objects, fit_watershed
from readers import ctc
from readers.labels import smallest_type
from readers.published import are_published
from recipe import Recipe
from scores.matching import match_all, mean_seg, object_scores
from scores.measurements import agreement, measure_objects
from simulate.cells import low_contrast_cells
from system.names import short_names

BLOCKS = 5  # of neighbouring frames
GAP = 5  # frames that are left out between roles
VALIDATION_FRAMES = 10  # at most; more frames would look nearly the same
CONFIG = Config(recipe="cells", filters=16, dropout=0.2, augment=0.5, border=3, epochs=24, steps=25, tta=8)
SIMULATED = CONFIG.replace(filters=8, tile=128, overlap=32, epochs=16, steps=24, learning_rate=3e-3, tta=1)


def find(folder: Path) -> Path | None:
    """Return the data set that a user has put into ``datasets/cells``, or None. Raises ValueError if there are several."""
    found = ctc.datasets(folder)
    if len(found) > 1:
        raise ValueError(f"{folder}: holds {', '.join(path.name for path in found)}; say which one with --data.")
    return found[0] if found else None


def title_of(source: Path) -> str:
    """Return the title of a published data set in figures."""
    return f"Low-contrast cells, {source.name}"


def simulate(folder: Path, _config: Config, **sizes) -> Path:
    """Write simulated cells in the same layout; ``sizes``: options of ``low_contrast_cells``."""
    return low_contrast_cells(folder, **sizes)


def load(source: Path, config: Config = CONFIG) -> list[Sample]:
    """Read all labelled frames, see ``ctc.load``. Raises ValueError if the folder is no data set of the challenge."""
    if not ctc.is_dataset(source):
        raise ValueError(f"{source}: is no data set of the Cell Tracking Challenge; expected folders 01 and 01_GT in it.")
    return ctc.load(source, config.classes)


def hold_outs(samples: list[Sample]) -> list[str]:
    """Return the names that ``--hold-out`` accepts: the labelled sequences, or the blocks of frames of a single sequence."""
    return sorted(set(_units(samples)))


def split(samples: list[Sample], config: Config) -> Split:
    """Test one sequence, validate on a block of frames of another one and train on the rest, with gaps of ``GAP`` frames.

    If there is a single sequence, one block of its frames is for the test and the next block for validation. Without
    ``config.hold_out``, the sequence or block with most gold labels is for the test (in a tie, the last one).
    """
    samples = ctc.select_labels(samples, config.labels)
    names = hold_outs(samples)
    if config.hold_out not in (None, *names):
        raise ValueError(f"--hold-out {config.hold_out}: not among the data, which has {', '.join(names)}.")
    held = config.hold_out or _most_gold(samples)
    parts = splits.leave_gap(splits.hold_out(samples, _units(samples, held), held), ctc.place, GAP)
    if not any(sample.mask.any() for sample in parts.test):
        raise ValueError(f"--hold-out {held}: no frame in it has a labelled cell; choose another one for the test.")
    return replace(parts, validation=evenly(parts.validation, VALIDATION_FRAMES))


def measure(
    validation: Predictions,
    test: Predictions,
    _unlabelled: Predictions,
    config: Config,
    title: str = "Low-contrast cells",
) -> RecipeResult:
    """Find objects, score them, and compare their sizes and shapes with those of the true cells.

    The watershed parameters are fitted on the validation images. The scores use the gold labels of the test set if it has any,
    else its silver labels. Sizes are compared for cells that do not touch the image border and are found with an IoU of at
    least 0.5.
    """
    how = fit_watershed(validation, mean_seg)
    objects = find_all_objects(test, how)
    matches = match_all(test.samples, objects)
    kinds = pd.DataFrame(
        [
            {"label_kind": ctc.LABELS[kind], "images": part["name"].nunique(), "cells": len(part), **object_scores(part)}
            for kind, part in matches.groupby("stratum")
        ]
    )
    sizes = [config.pixel_size or sample.pixel_size for sample in test.samples]
    true = _measure_all(test.samples, [sample.mask for sample in test.samples], sizes)
    found = _measure_all(test.samples, objects, sizes)
    pairs = compared(matches, true, found)
    tables = {"objects": kinds, "measurements": found, "measurements_of_truth": true}
    pictures = {"objects": _drawn(test.samples, objects, title)}
    if len(pairs[0]) > 1:
        tables["agreement"] = agreement(*pairs)
        pictures["agreement"] = plots.agreement(*pairs, f"{title}: measured on the prediction and on the truth")
    scores = {name: float(kinds[name].iloc[0]) for name in ("seg", "object_iou", "found")}
    scores["watershed"] = how._asdict()
    labels = {f"predictions/{s.name}_objects": smallest_type(n) for s, n in zip(test.samples, objects, strict=True)}
    return RecipeResult(scores, tables, pictures, labels)


def _drawn(samples, objects, title):
    """Draw three images with the outlines of true and predicted cells."""
    shown = evenly(list(zip(samples, objects, strict=True)), 3)
    return figures.outlines(
        [sample.image for sample, _ in shown],
        {"truth": [sample.mask for sample, _ in shown], "prediction": [labels for _, labels in shown]},
        short_names([sample.name for sample, _ in shown]),
        f"{title}: true and predicted cells of the test set",
    )


def compared(matches: pd.DataFrame, true: pd.DataFrame, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of two measurement tables that describe the same whole cells, in the same order: (true, found)."""
    pairs = matches[matches["iou"] >= 0.5][["name", "label", "predicted"]]
    whole = [table[~table["touches_border"].astype(bool)] for table in (true, found)]
    pairs = pairs.merge(whole[0], on=["name", "label"])[["name", "label", "predicted"]]
    pairs = pairs.merge(whole[1].rename(columns={"label": "predicted"})[["name", "predicted"]], on=["name", "predicted"])
    return (
        pairs[["name", "label"]].merge(true, on=["name", "label"]),
        pairs[["name", "predicted"]].merge(found.rename(columns={"label": "predicted"}), on=["name", "predicted"]),
    )


def _most_gold(samples):
    names = hold_outs(samples)
    gold = dict.fromkeys(names, 0)
    for sample, unit in zip(samples, _units(samples), strict=True):
        gold[unit] += sample.stratum == ctc.GOLD
    return max(reversed(names), key=gold.get)


def _units(samples, held=None):
    """Return the name of each sample's unit: its sequence, or its block of frames. All samples of a unit get the same role.

    A single sequence is divided into blocks. With ``held``, the sequences that are not held out are divided, too.
    """
    places = [ctc.place(sample) for sample in samples]
    sequences = sorted({sequence for sequence, _ in places})
    units = []
    for sequence, frame in places:
        frames = [number for name, number in places if name == sequence]
        block = str(frames.index(frame) * BLOCKS // len(frames) + 1)
        divided = f"{sequence} block {block}" if held not in (None, sequence) else sequence
        units.append(block if len(sequences) == 1 else divided)
    return units


def _measure_all(samples, labels, sizes):
    tables = [
        measure_objects(label, size).assign(name=sample.name)
        for sample, label, size in zip(samples, labels, sizes, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


RECIPE = Recipe(
    name="cells",
    title="Low-contrast cells",
    licence=ctc.LICENCE,
    config=CONFIG,
    load=load,
    split=split,
    find=find,
    simulate=simulate,
    simulated=SIMULATED,
    is_published=lambda samples, source: are_published(samples, "ctc"),
    title_of=title_of,
    hold_outs=hold_outs,
    measure=measure,
    stratum="label_kind",
    stratum_names=lambda samples: ctc.LABELS,
    main_scores=("dice_mean", "seg", "object_iou"),
    uses=("hold_out", "labels", "classes"),
    published={
        "settings": {
            "filters": 64,
            "dropout": 0.5,
            "augment": 1.0,
            "border": 0,
            "batch_size": 1,
            "epochs": 100,
            "steps": 10,
            "tile": 512,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "loss": "cross_entropy",
            "normalisation": False,
        },
        "scores": {"IoU on PhC-C2DH-U373": 0.9203, "IoU on DIC-C2DH-HeLa": 0.7756},
    },
)
