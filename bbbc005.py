"""BBBC005: simulated fluorescent cells whose number is known, in focus and blurred.

Source    Broad Bioimage Benchmark Collection, set BBBC005 v1: 19,200 images of 520x696 px; masks for the 1,200 in focus
          (Lehmussola et al. 2007, Ljosa et al. 2012)
Command   python train_and_predict.py bbbc005
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      12 minutes of training; without images here, 143 s in all on simulated ones
Score     simulated images: mean Dice (pixel F1) 0.991 in focus, 0.977 over five focus levels; after the short training
          0.986 and 0.966. 148 real images, counted without masks: 0.12 cells off in focus, 0.25 at F23, 1.6 at F48 (stain
          w1); 12.0 off in stain w2, whose large cells cover each other; results/bbbc005
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

import figures
import splits
from config import Config
from data import RecipeResult, Sample, evenly, to_channels
from objects import candidates, divide
from readers.images import as_image, binary_mask, read_image
from simulate import particles as simulate_particles

TITLE = "BBBC005 particles"
LICENCE = None  # see the set's page
STRATUM = "focus_level"
MAIN_SCORES = ("dice_mean", "dice_pooled", "count_error")
UNUSED = ("hold_out", "labels")
CONFIG = Config(
    recipe="bbbc005",
    filters=16,
    dropout=0.2,
    augment=0.5,
    validation_share=0.15,
    test_share=0.5,
    epochs=10,
    steps=60,
)
SIMULATED = CONFIG.replace(filters=8, epochs=7, steps=24, learning_rate=3e-3)
PUBLISHED = {
    "settings": {"learning_rate": 1e-5, "schedule": "constant"},
    "scores": {"pixel F1 at learning rate 1e-5": 0.979, "pixel F1 at learning rate 1e-3": 0.972},
}
IMAGES, MASKS = "BBBC005_v1_images", "BBBC005_v1_ground_truth"
OBJECTS = "BBBC005_v1_objects"  # numbers of the cells: of simulated images only
NAME = re.compile(
    r"SIMCEPImages_(?P<well>[A-P]\d\d)_C(?P<count>\d+)_F(?P<focus>\d+)_s(?P<scene>\d+)_w(?P<stain>\d)\.tiff?", re.IGNORECASE
)
MOST = 1200  # images without masks that are predicted
LEAST_AREA = 100  # px; the smallest whole cell has some 790


class Name(NamedTuple):
    """What a file's name says: well, true number of cells, focus level (blur in px), scene and stain."""

    well: str
    count: int
    focus: int
    scene: int
    stain: int


def parse_name(name):
    """Read ``SIMCEPImages_A01_C1_F1_s01_w1.TIF``; raises ValueError for a name that is built otherwise."""
    match = NAME.fullmatch(Path(name).name)
    if not match:
        raise ValueError(
            f"{name}: not a name of BBBC005, which are SIMCEPImages_<well>_C<count>_F<focus>_s<scene>_w<stain>.TIF."
        )
    well, *numbers = match.groups()
    return Name(well.upper(), *map(int, numbers))


def find(folder):
    """The data that a user has put into ``datasets/bbbc005``, or None."""
    return folder if (folder / IMAGES).is_dir() else None


def is_published(source):
    """Whether data is the published set: its images' names say so, but so do the simulated ones', which have a note."""
    return not (source / "simulated.json").exists()


def simulate(folder, **sizes):
    """Simulated cells in the same layout; ``sizes``: of ``simulate_particles.particles``."""
    return simulate_particles.particles(folder, **sizes)


def load(source):
    """Read the images that have a mask, as Samples with gray (H, W, 1) images and masks of 0 and 1.

    Expects ``BBBC005_v1_images`` and ``BBBC005_v1_ground_truth`` with the same file names under ``source``. Masks number
    the cells as ``BBBC005_v1_objects`` does where it is there, else they are 0 and 1. Blurred
    images without a mask are left out, as published. Raises ValueError that names the file for anything else missing.
    """
    images, masks = _files(source, IMAGES), _files(source, MASKS)
    for name in sorted(set(masks) - set(images)):
        raise ValueError(f"{masks[name]}: mask without image; expected {source / IMAGES / name}.")
    for name in sorted(set(images) - set(masks)):
        if parse_name(name).focus == 1:
            raise ValueError(f"{images[name]}: image in focus without mask; expected {source / MASKS / name}.")
    objects = _files(source, OBJECTS) if (Path(source) / OBJECTS).is_dir() else {}
    return [
        _read(images[name], masks[name], objects.get(name))
        for name in tqdm(sorted(masks), desc="Reading images", unit="image", disable=None)
    ]


def has_masks(source):
    """Whether there are masks to train with; without them training is on simulated images."""
    return (Path(source) / MASKS).is_dir()


def load_unlabelled(source):
    """Images of a folder that holds no masks, as Samples whose masks are zeros; none where there are masks.

    Of more than ``MOST`` images, so many evenly spaced ones: their probabilities must fit into memory.
    """
    if has_masks(source):
        return []
    chosen = evenly(sorted(_files(source, IMAGES).items()), MOST)
    images = {name: _read_gray(path) for name, path in tqdm(chosen, desc="Reading images", unit="image", disable=None)}
    return [Sample(name, image, np.zeros(image.shape[:2], np.uint16)) for name, image in images.items()]


def split(samples, config):
    """Fit, validation and test: all images of one scene together, every focus level in equal shares."""
    names = [parse_name(sample.name) for sample in samples]
    scenes = {key: number for number, key in enumerate(sorted({(name.count, name.scene) for name in names}))}
    groups = [scenes[name.count, name.scene] for name in names]
    grouped = splits.with_groups(samples, groups, [name.focus for name in names])
    return splits.split_by_group(grouped, config.validation_share, config.test_share, config.seed)


def measure(validation, test, unlabelled, _config, title=TITLE):
    """Count the cells of the Predictions test set; the validation set fits how touching ones are divided."""
    separations = fit_counts(validation)
    tables = {"counts": count_table(test, separations)}
    panels = {"test set": tables["counts"]}
    if unlabelled.samples:
        tables["counts_without_masks"] = count_table(unlabelled, separations)
        panels["published images without masks"] = tables["counts_without_masks"]
    scores = {"count_error": float(tables["counts"]["error"].abs().mean())}
    scores["separations"] = {stain: how._asdict() for stain, how in separations.items()}
    tables |= {f"errors_of_{name}": count_errors(table) for name, table in tables.items()}
    return RecipeResult(scores, tables, {"counts": figures.counts(panels, f"{title}: number of cells")})


def fit_counts(validation):
    """{stain: Watershed} with the smallest mean absolute count error on a Predictions validation set."""
    fitted = {}
    names = [parse_name(sample.name) for sample in validation.samples]
    for stain in sorted({name.stain for name in names}):
        images = zip(validation.masks, validation.probabilities, names, strict=True)
        members = [(mask, probability, name.count) for mask, probability, name in images if name.stain == stain]

        def error(how, members=members):
            return np.mean([abs(divide(mask, probability, how).max(initial=0) - count) for mask, probability, count in members])

        fitted[stain] = min(candidates(validation.probabilities[0], (LEAST_AREA,)), key=error)
    return fitted


def count_table(predicted, separations):
    """One row per image of a Predictions set: what its name says, cells counted, ``error`` (counted - true) (DataFrame).

    A stain that the validation set did not have is divided as the first one that it had.
    """
    rows = []
    for sample, probability, mask in zip(*predicted, strict=True):
        name = parse_name(sample.name)
        how = separations.get(name.stain, next(iter(separations.values())))
        counted = int(divide(mask, probability, how).max(initial=0))
        rows.append({**name._asdict(), "counted": counted, "error": counted - name.count})
    return pd.DataFrame(rows)


def count_errors(table):
    """Per focus level and stain: images, mean absolute and mean relative count error (DataFrame)."""
    table = table.assign(absolute=table["error"].abs(), relative=table["error"].abs() / table["count"].clip(lower=1))
    return (
        table.groupby(["focus", "stain"])
        .agg(images=("error", "size"), absolute=("absolute", "mean"), relative=("relative", "mean"), bias=("error", "mean"))
        .reset_index()
    )


def worst_counts(samples, table):
    """The most miscounted image of every focus level and stain: {"F48 w2, 60 counted of 100": Sample}.

    ``table``: as ``count_table`` has it, also when it was read from its file.
    """
    of = {parse_name(sample.name): sample for sample in samples}
    worst = table.loc[table["error"].abs().groupby([table["focus"], table["stain"]]).idxmax()]
    named = [(Name(*row[list(Name._fields)]), row["counted"]) for _, row in worst.iterrows()]
    return {f"F{name.focus} w{name.stain}, {counted} counted of {name.count}": of[name] for name, counted in named}


def _files(source, kind):
    """{file name: path} of the TIFFs in one of the set's two folders; names are checked."""
    folder = Path(source) / kind
    found = (
        {path.name: path for path in folder.glob("*") if path.suffix.lower() in (".tif", ".tiff")} if folder.is_dir() else {}
    )
    if not found:
        raise ValueError(f"{folder}: holds no TIFF images; expected SIMCEPImages_*.TIF.")
    for path in found.values():
        parse_name(path)
    return found


def _read_gray(path):
    return to_channels(as_image(read_image(path), str(path)), 1, str(path))


def _read(image_path, mask_path, objects_path):
    image = _read_gray(image_path)
    mask = binary_mask(read_image(mask_path), str(mask_path))
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{mask_path}: the mask is {mask.shape} px, its image {image.shape[:2]} px; they must be equal.")
    cells = read_image(objects_path) if objects_path else mask
    return Sample(image_path.name, image, cells.astype(np.uint16))
