"""What the notebooks share: the quick mode, which images are there, short calls for training and for showing results.

With UNET_QUICK=1 in the environment, a notebook uses few images and short trainings; nothing else changes. A user's own images
are used in the quick mode, too.
"""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
from IPython import get_ipython
from IPython.display import Image, clear_output
from matplotlib.figure import Figure

import train_and_predict
from data import evenly
from experiment.images import find_source, read_images, simulate
from metrics import PIXEL_SCORES
from system.files import read_json
from system.names import readable

QUICK = os.environ.get("UNET_QUICK") == "1"
ROOT = Path(__file__).parents[1]
SMALL = {  # simulated images in the quick mode
    "dsb": {"photographs": 16, "side": 256},
    "bbbc005": {"scenes": 3},
    "cells": {"frames": 12, "side": 160},
    "tomography": {"samples": 3, "slices": 6, "side": 64},
    "isbi": {"slices": 10, "side": 160},
}
SHORT = {"epochs": 1, "steps": 2, "batch_size": 2, "tta": 1, "workers": 0} if QUICK else {}
DPI, WIDTH = 80, 1100  # of figures, px


def small_png(figure):
    """Return a matplotlib Figure as PNG with 256 colours (bytes), so that notebooks stay small."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    return _few_colours(PIL.Image.open(drawn))


def _few_colours(picture):
    small = io.BytesIO()
    picture.convert("RGB").quantize(256, PIL.Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


if get_ipython():
    get_ipython().display_formatter.formatters["image/png"].for_type(Figure, small_png)


def size(full, quick):
    """Return ``full``, or ``quick`` in the quick mode."""
    return quick if QUICK else full


def simulated(recipe):
    """Return the folder of a recipe's simulated images; in the quick mode few and small ones."""
    if QUICK:
        return recipe.simulate(ROOT / "datasets/simulated/quick" / recipe.name, recipe.settings(True), **SMALL[recipe.name])
    return simulate(recipe, recipe.settings(True))


def read(recipe, mine=None):
    """Read the images of a recipe and say which ones they are. Return (path, ``experiment.images.Images``).

    These are the images at the path ``mine``, else those in ``datasets/<recipe>``, else simulated ones.
    """
    source = find_source(recipe, {"data": mine} if mine else {})
    if source.path is None:
        source = source._replace(path=simulated(recipe))
    images = read_images(recipe, recipe.settings(source.simulated), source)
    mode = "quick mode (UNET_QUICK=1): few images, short trainings" if QUICK else "full size; UNET_QUICK=1 makes it quick"
    print(f"{images.title}\n{source.path.name}\n{mode}")
    return source.path, images


def subset(samples, quick):
    """Return the samples; in the quick mode ``quick`` of them, evenly spaced."""
    return evenly(samples, quick) if QUICK else samples


def train(recipe, source, **settings):
    """Make one run of the training script on the images at ``source``, and return its folder (Path).

    ``settings``: those that differ from the recipe's.
    """
    folder = train_and_predict.run(recipe.name, {"data": str(source), **SHORT, **_output(), **settings})
    clear_output(wait=True)
    return folder


def series(recipe, source, values, **settings):
    """Make a run for each combination of ``values`` {setting: [values]}; return the folder of the series (Path)."""
    given = {"data": str(source), **SHORT, **_output(), **settings}
    folder = train_and_predict.run_series(recipe.name, given, values)
    clear_output(wait=True)
    return folder


def _output():
    """Return a folder for a run of the quick mode, so that it does not lie among those that count."""
    return {"output": tempfile.mkdtemp(prefix="unet-") + "/run"} if QUICK else {}


def scores(folder):
    """Return the pixel scores of a finished run's test set: DataFrame, one row for each score."""
    summary = read_json(folder / "scores.json")
    rows = {name: {key: summary[name][key] for key in ("mean", "median", "worst", "pooled")} for name in PIXEL_SCORES}
    return pd.DataFrame(rows).T.round(3)


def summary(folder, recipe):
    """Return the main scores of a finished series, with a 95 % interval of the mean where runs were repeated: DataFrame."""
    table = pd.read_csv(folder / "summary.csv")
    shown = table[["run", "runs"]].copy()
    for name in (name for name in recipe.main_scores if name in table):
        rows = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        texts = [f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in rows]
        shown[readable(name)] = texts
    return shown


def picture(path):
    """Return a PNG of a run, as wide as a notebook and with 256 colours (IPython Image)."""
    large = PIL.Image.open(path).convert("RGB")
    large.thumbnail((WIDTH, 10 * WIDTH))
    return Image(_few_colours(large))
