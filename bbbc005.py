"""BBBC005: segment and count simulated fluorescent cells, in focus and blurred; their true number is known.

Source    Broad Bioimage Benchmark Collection, set BBBC005 v1: 19,200 images of 520x696 px; masks for the 1,200 in focus
          (Lehmussola et al. 2007, Ljosa et al. 2012)
Command   python train_and_predict.py bbbc005
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      12 minutes of training; with simulated images, 143 s in total
Score     simulated images: mean Dice (pixel F1) 0.991 in focus, 0.977 over five focus levels; after the short training
          0.986 and 0.966. Counts on 148 real images, which have no masks: mean absolute error 0.12 cells in focus, 0.25 at
          F23, 1.6 at F48 (stain w1); 12.0 in stain w2, where large cells cover each other; results/bbbc005
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import splits
from config import Config
from data import Predictions, RecipeResult, Sample, Split, evenly, to_channels
from experiment import plots
from objects import Watershed, candidates, find_objects
from readers.images import as_image, read_image
from readers.labels import binary_mask, object_numbers
from readers.published import are_published
from readers.tiff import list_tiffs
from recipe import Recipe
from simulate.particles import particles
from system.progress import progress

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
IMAGES, MASKS = "BBBC005_v1_images", "BBBC005_v1_ground_truth"
OBJECTS = "BBBC005_v1_objects"  # numbers of the cells; only simulated images have them
NAME = re.compile(
    r"SIMCEPImages_(?P<well>[A-P]\d\d)_C(?P<count>\d+)_F(?P<focus>\d+)_s(?P<scene>\d+)_w(?P<stain>\d)\.tiff?", re.IGNORECASE
)
MOST = 1200  # largest number of images without masks that are predicted; they are evenly spaced
MINIMUM_AREA = 100  # px; the smallest whole cell has about 790
KNOWN_IMAGES = 0.005  # share; the digests of 148 of 19,200 published images are known, a little more than this share


class Name(NamedTuple):
    """The parts of a file name: well, true number of cells, focus level (blur in px), scene and stain."""

    well: str
    count: int
    focus: int
    scene: int
    stain: int


def parse_name(name: str | Path) -> Name:
    """Read the parts of ``SIMCEPImages_A01_C1_F1_s01_w1.TIF``. Raises ValueError for other names."""
    match = NAME.fullmatch(Path(name).name)
    if not match:
        raise ValueError(
            f"{name}: is no file name of BBBC005; expected SIMCEPImages_<well>_C<count>_F<focus>_s<scene>_w<stain>.TIF."
        )
    well, *numbers = match.groups()
    return Name(well.upper(), *map(int, numbers))


def find(folder: Path) -> Path | None:
    """Return the data that a user has put into ``datasets/bbbc005``, or None."""
    return folder if (folder / IMAGES).is_dir() else None


def simulate(folder: Path, _config: Config, **sizes) -> Path:
    """Write simulated cells in the same layout; ``sizes``: options of ``simulate.particles.particles``."""
    return particles(folder, **sizes)


def load(source: Path, _config: Config | None = None) -> list[Sample]:
    """Read the images that have a mask, as Samples with gray (H, W, 1) images and masks that number the cells.

    Expects ``BBBC005_v1_images`` and ``BBBC005_v1_ground_truth`` with the same file names in ``source``. The numbers of the
    cells come from ``BBBC005_v1_objects`` if this folder is there; else each connected part of a mask is a cell. Blurred images
    without a mask are left out, because the published set has such images. Raises ValueError that names the file if any other
    image or mask is missing.
    """
    images, masks = _files(source, IMAGES), _files(source, MASKS)
    for name in sorted(set(masks) - set(images)):
        raise ValueError(f"{masks[name]}: mask without image; expected {source / IMAGES / name}.")
    for name in sorted(set(images) - set(masks)):
        if parse_name(name).focus == 1:
            raise ValueError(f"{images[name]}: image in focus without mask; expected {source / MASKS / name}.")
    objects = _files(source, OBJECTS) if (Path(source) / OBJECTS).is_dir() else {}
    return [_read(images[name], masks[name], objects.get(name)) for name in progress(sorted(masks), "Reading images", "image")]


def has_labels(source: Path) -> bool:
    """Return whether there are masks to train with; without masks, training uses simulated images."""
    return (Path(source) / MASKS).is_dir()


def load_unlabelled(source: Path) -> list[Sample]:
    """Read the images of a folder without masks as Samples with masks of zeros; return none if there are masks.

    At most ``MOST`` images are read, evenly spaced.
    """
    if has_labels(source):
        return []
    chosen = evenly(sorted(_files(source, IMAGES).items()), MOST)
    images = {name: _read_gray(path) for name, path in progress(chosen, "Reading images", "image")}
    return [Sample(name, image, np.zeros(image.shape[:2], np.uint16)) for name, image in images.items()]


def split(samples: list[Sample], config: Config) -> Split:
    """Give all images of one scene the same role, and each role an equal share of every focus level."""
    names = [parse_name(sample.name) for sample in samples]
    scenes = {key: number for number, key in enumerate(sorted({(name.count, name.scene) for name in names}))}
    groups = [scenes[name.count, name.scene] for name in names]
    grouped = splits.with_groups(samples, groups, [name.focus for name in names])
    return splits.split_by_group(grouped, config.validation_share, config.test_share, config.seed)


def measure(
    validation: Predictions,
    test: Predictions,
    unlabelled: Predictions,
    _config: Config,
    title: str = "BBBC005 particles",
) -> RecipeResult:
    """Count the cells of the test set. The watershed parameters are fitted on the validation set."""
    watersheds = fit_counts(validation)
    tables = {"counts": count_table(test, watersheds)}
    panels = {"test set": tables["counts"]}
    if unlabelled.samples:
        tables["counts_without_masks"] = count_table(unlabelled, watersheds)
        panels["published images without masks"] = tables["counts_without_masks"]
    scores = {"count_error": float(tables["counts"]["error"].abs().mean())}
    scores["watersheds"] = {stain: how._asdict() for stain, how in watersheds.items()}
    tables |= {f"errors_of_{name}": count_errors(table) for name, table in tables.items()}
    return RecipeResult(scores, tables, {"counts": plots.counts(panels, f"{title}: number of cells")})


def fit_counts(validation: Predictions) -> dict[int, Watershed]:
    """Return {stain: Watershed} with the smallest mean absolute count error on the validation predictions."""
    fitted = {}
    names = [parse_name(sample.name) for sample in validation.samples]
    for stain in sorted({name.stain for name in names}):
        images = zip(validation.masks, validation.probabilities, names, strict=True)
        members = [(mask, probability, name.count) for mask, probability, name in images if name.stain == stain]

        def error(how, members=members):
            counted = [find_objects(mask, probability, how, validation.maps).max(initial=0) for mask, probability, _ in members]
            return np.mean([abs(found - count) for found, (_, _, count) in zip(counted, members, strict=True)])

        fitted[stain] = min(candidates(validation.maps, (MINIMUM_AREA,)), key=error)
    return fitted


def count_table(predictions: Predictions, watersheds: dict[int, Watershed]) -> pd.DataFrame:
    """Count the cells of each image: one row with the parts of its name, ``counted`` cells and ``error`` (counted - true).

    A stain that the validation set does not contain gets the watershed parameters of the first stain that it contains.
    """
    rows = []
    for sample, probability, mask in zip(*predictions[:3], strict=True):
        name = parse_name(sample.name)
        how = watersheds.get(name.stain, next(iter(watersheds.values())))
        counted = int(find_objects(mask, probability, how, predictions.maps).max(initial=0))
        rows.append({**name._asdict(), "counted": counted, "error": counted - name.count})
    return pd.DataFrame(rows)


def count_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per focus level and stain: images, mean absolute and mean relative count error, mean error (bias)."""
    table = table.assign(absolute=table["error"].abs(), relative=table["error"].abs() / table["count"].clip(lower=1))
    return (
        table.groupby(["focus", "stain"])
        .agg(images=("error", "size"), absolute=("absolute", "mean"), relative=("relative", "mean"), bias=("error", "mean"))
        .reset_index()
    )


def worst_counts(samples: list[Sample], table: pd.DataFrame) -> dict[str, Sample]:
    """Return the image with the largest count error for each focus level and stain: {"F48 w2, 60 counted of 100": Sample}.

    ``table``: the result of ``count_table``, or the file of this table.
    """
    of = {parse_name(sample.name): sample for sample in samples}
    worst = table.loc[table["error"].abs().groupby([table["focus"], table["stain"]]).idxmax()]
    named = [(Name(*row[list(Name._fields)]), row["counted"]) for _, row in worst.iterrows()]
    return {f"F{name.focus} w{name.stain}, {counted} counted of {name.count}": of[name] for name, counted in named}


def _files(source, kind):
    """Return {file name: path} of the TIFF files in one of the folders of the set, after checking their names."""
    folder = Path(source) / kind
    found = {path.name: path for path in list_tiffs(folder)}
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
    return Sample(image_path.name, image, object_numbers(cells, str(objects_path or mask_path)))


RECIPE = Recipe(
    name="bbbc005",
    title="BBBC005 particles",
    licence=None,  # the page of the set states none
    config=CONFIG,
    load=load,
    split=split,
    find=find,
    simulate=simulate,
    simulated=SIMULATED,
    is_published=lambda samples, source: are_published(samples, "bbbc005", KNOWN_IMAGES),
    load_unlabelled=load_unlabelled,
    has_labels=has_labels,
    measure=measure,
    stratum="focus_level",
    main_scores=("dice_mean", "dice_pooled", "count_error"),
    published={
        "settings": {"learning_rate": 1e-5, "schedule": "constant"},
        "scores": {"pixel F1 at learning rate 1e-5": 0.979, "pixel F1 at learning rate 1e-3": 0.972},
    },
)
