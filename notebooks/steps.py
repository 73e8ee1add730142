"""What the notebooks share: the quick mode, the project's folder, the images that are there.

With UNET_QUICK=1 in the environment a notebook takes few images and short trainings, and nothing else changes. Where a
user has images, they are these, also then.
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
from experiment import run_folder
from metrics import PIXEL_SCORES
from system.files import read_json

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
    """A matplotlib Figure as PNG of 256 colours (bytes): how notebooks show figures, so that they stay small."""
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
    """``full``, or ``quick`` in the quick mode."""
    return quick if QUICK else full


def simulated(recipe):
    """The folder of a recipe's simulated images, few and small ones in the quick mode."""
    name, folder = recipe.CONFIG.recipe, ROOT / "datasets/simulated"
    return recipe.simulate(folder / "quick" / name, **SMALL[name]) if QUICK else recipe.simulate(folder / name)


def find(recipe, mine=None):
    """(folder or zip file, what figures call its images): ``mine``, else those in ``datasets``, else simulated ones."""
    found = mine or recipe.find(ROOT / "datasets" / recipe.CONFIG.recipe) or simulated(recipe)
    source, drawn = run_folder.find_data(recipe, {"data": found}, None, ROOT / "datasets")
    mode = "quick mode (UNET_QUICK=1): few images, short trainings" if QUICK else "full size; UNET_QUICK=1 makes it quick"
    title = train_and_predict.title_of(recipe, source, recipe.is_published(source), drawn)
    print(f"{title}\n{source.name}\n{mode}")
    return source, title


def subset(samples, quick):
    """The samples, or ``quick`` evenly spaced ones of them in the quick mode."""
    return evenly(samples, quick) if QUICK else samples


def train(recipe, source, **settings):
    """One run of the script on ``source``, with the recipe's settings but for those given; returns its folder (Path)."""
    folder = train_and_predict.run(recipe.CONFIG.recipe, {"data": str(source), **SHORT, **_output(), **settings})
    clear_output(wait=True)
    return folder


def series(recipe, source, values, **settings):
    """A run for every combination of ``values`` {setting: [values]}; returns the series' folder (Path)."""
    given = {"data": str(source), **SHORT, **_output(), **settings}
    folder = train_and_predict.run_series(recipe.CONFIG.recipe, given, values)
    clear_output(wait=True)
    return folder


def _output():
    """Where the runs of the quick mode go, so that they do not lie among those that count."""
    return {"output": tempfile.mkdtemp(prefix="unet-") + "/run"} if QUICK else {}


def scores(folder):
    """The pixel scores of a finished run's test set: DataFrame, one row per score."""
    summary = read_json(folder / "scores.json")
    rows = {name: {key: summary[name][key] for key in ("mean", "median", "worst", "pooled")} for name in PIXEL_SCORES}
    return pd.DataFrame(rows).T.round(3)


def summary(folder, recipe):
    """The recipe's main scores in a finished series, in the mean, with 95 % intervals where runs were repeated: DataFrame."""
    table = pd.read_csv(folder / "summary.csv")
    shown = table[["run", "runs"]].copy()
    for name in (name for name in recipe.MAIN_SCORES if name in table):
        rows = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        texts = [f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in rows]
        shown[name.replace("_", " ")] = texts
    return shown


def picture(path):
    """A PNG of a run, as wide as a notebook and of 256 colours (IPython Image)."""
    large = PIL.Image.open(path).convert("RGB")
    large.thumbnail((WIDTH, 10 * WIDTH))
    return Image(_few_colours(large))
