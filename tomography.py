"""Tomography: cells in stacks of slices; whole samples are held out for the test.

Source    simulated samples, and sequences of the Cell Tracking Challenge, each used as a sample; the original data, nine
          samples of soft X-ray tomography with 4,040 slices of 464x464 px, are private
Command   python train_and_predict.py tomography; the real sequences: --hold-out all --image-scale 0.5 --epochs 3
Hardware  2 cores of an AMD EPYC, no GPU; simulated images without AVX-512 in float32, real images in bfloat16
Time      2 minutes 22 seconds in total, on simulated images
Score     simulated images, sample 9: accuracy per slice, median 0.994 and lowest 0.990; mean Dice 0.989. Three sequences of
          the Cell Tracking Challenge, one after the other for the test, trained on another one for 3 epochs: mean of the
          median accuracies 0.882, Dice 0.600; with shuffled slices, which leak, 0.986 and 0.903; results/tomography
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import splits
from config import Config
from data import Sample, Split
from readers import ctc
from readers.images import as_image, read_image, read_stack
from readers.labels import read_objects
from readers.published import are_published
from readers.tiff import list_tiffs
from recipe import Recipe
from simulate.stacks import stacks
from system.progress import progress

CONFIG = Config(recipe="tomography", filters=16, dropout=0.2, augment=0.5, epochs=12, steps=60)
SIMULATED = CONFIG.replace(filters=8, tile=160, overlap=32, epochs=12, steps=30, learning_rate=3e-3)
SLICE = re.compile(r"(?P<sample>.+)_image_(?P<slice>\d+)")


def find(folder: Path) -> Path | None:
    """Return the folder if it holds inp and out, or sequences of the Cell Tracking Challenge; else None."""
    return folder if (folder / "inp").is_dir() or ctc.datasets(folder) else None


def title_of(_source: Path) -> str:
    """Return the title of the published sequences in figures."""
    return "Cell Tracking sequences as samples"


def simulate(folder: Path, _config: Config, **sizes) -> Path:
    """Write simulated slices in the same layout; ``sizes``: options of ``simulate.stacks.stacks``."""
    return stacks(folder, **sizes)


def load(source: Path, config: Config = CONFIG) -> list[Sample]:
    """Read slices in the order of their specimens, as Samples with gray (H, W, C) images and masks that number the cells.

    Expects ``inp/<sample>_image_<slice>.tiff``, or one multi-page ``inp/<sample>.tiff`` for each specimen, and the same names
    in ``out``; or data sets of the Cell Tracking Challenge, in which each labelled sequence is a specimen. ``stratum`` is the
    number of the specimen. Raises ValueError that names the file if an image or mask is missing or the two do not fit.
    """
    source = Path(source)
    read = _load_slices if (source / "inp").is_dir() else _load_sequences
    slices = read(source, config.classes)
    names = list(dict.fromkeys(specimen(sample) for sample in slices))
    return splits.with_groups(slices, [0] * len(slices), [names.index(specimen(sample)) + 1 for sample in slices])


def specimen(sample: Sample) -> str:
    """Return the specimen that the name of a slice contains: "9" for "9_image_0012"."""
    return SLICE.fullmatch(sample.name)["sample"]


def hold_outs(samples: list[Sample]) -> list[str]:
    """Return the names that ``--hold-out`` accepts: the specimens."""
    return list(dict.fromkeys(map(specimen, samples)))


def split(samples: list[Sample], config: Config) -> Split:
    """Test one specimen, validate on another one and train on the rest."""
    return splits.hold_out(samples, list(map(specimen, samples)), config.hold_out)


def stratum_names(samples: list[Sample]) -> dict[int, str]:
    """Return {stratum: name of the specimen}."""
    return {sample.stratum: specimen(sample) for sample in samples}


def _check_names(slices, source):
    """Raise ValueError if names lack the specimen: each slice would count as a specimen, and neighbouring slices would leak."""
    sizes = Counter(map(specimen, slices))
    alone = [name for name, size in sizes.items() if size == 1]
    if len(alone) > max(1, len(sizes) / 2):
        raise ValueError(
            f"{source / 'inp'}: {len(alone)} of {len(sizes)} samples have one slice, for example {alone[0]}; expected names "
            "like <sample>_image_<slice>.tiff, or a multi-page file per sample."
        )
    twice = [name for name, count in Counter(sample.name for sample in slices).items() if count > 1]
    if twice:
        raise ValueError(f"{source / 'inp'}: {twice[0]} exists as a file and in a multi-page file; keep one of them.")


def _load_slices(source, classes):
    images, masks = _files(source / "inp"), _files(source / "out")
    for name in sorted(set(images) - set(masks)):
        raise ValueError(f"{images[name]}: image without label; expected {source / 'out' / images[name].name}.")
    for name in sorted(set(masks) - set(images)):
        raise ValueError(f"{masks[name]}: label without image; expected {source / 'inp' / masks[name].name}.")
    slices = []
    for name in progress(sorted(images, key=_in_order), "Reading slices", "file"):
        slices += _read(name, images[name], masks[name], classes)
    _check_names(slices, source)
    return slices


def _files(folder):
    """Return {name without suffix: path} of the TIFF files in a folder."""
    found = {path.stem: path for path in list_tiffs(folder)}
    if not found:
        raise ValueError(f"{folder}: holds no TIFF images; expected <sample>_image_<slice>.tiff or <sample>.tiff.")
    return found


def _in_order(name):
    """Return a key that sorts the numbers in names as numbers: sample 10 comes after sample 9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _read(name, image_path, mask_path, classes):
    """Read the slices of a pair of files: a single one if the name contains its number, else all pages."""
    if SLICE.fullmatch(name):
        images, masks, names = [read_image(image_path)], [read_image(mask_path)], [name]
    else:
        images, masks = read_stack(image_path), read_stack(mask_path)
        if len(images) != len(masks):
            raise ValueError(f"{mask_path}: has {len(masks)} slices, its image {len(images)}; they must be equal.")
        names = [f"{name}_image_{number:04d}" for number in range(len(images))]
    slices = []
    for image, mask, slice_name in zip(images, masks, names, strict=True):
        mask, object_classes = read_objects(mask, classes, str(mask_path))
        if mask.shape != image.shape[:2]:
            raise ValueError(f"{mask_path}: the label is {mask.shape} px, its image {image.shape[:2]} px; they must be equal.")
        slices.append(Sample(slice_name, as_image(image, str(image_path)), mask, object_classes=object_classes))
    return slices


def _load_sequences(source, classes):
    """Read each labelled sequence of Cell Tracking data sets as a specimen, with gold labels where they exist, else silver."""
    if not ctc.datasets(source):
        raise ValueError(f"{source}: holds neither inp and out nor sequences of the Cell Tracking Challenge.")
    slices = []
    for folder in ctc.datasets(source):
        for sample in ctc.select_labels(ctc.load(folder, classes), "both"):
            sequence, frame = ctc.place(sample)
            name = f"{folder.name}-{sequence}_image_{frame:04d}"
            slices.append(replace(sample, name=name))
    return slices


RECIPE = Recipe(
    name="tomography",
    title="Tomography",
    licence=ctc.LICENCE,  # of the sequences; the original samples are private
    config=CONFIG,
    load=load,
    split=split,
    find=find,
    simulate=simulate,
    simulated=SIMULATED,
    is_published=lambda samples, source: are_published(samples, "ctc"),
    title_of=title_of,
    hold_outs=hold_outs,
    stratum="sample",
    stratum_names=stratum_names,
    main_scores=("accuracy_median", "accuracy_worst", "dice_mean"),
    uses=("hold_out", "classes"),
    published={
        "settings": {
            "filters": 64,
            "dropout": 0.5,
            "augment": 1.0,
            "batch_size": 4,
            "epochs": 20,
            "steps": 900,
            "tile": 464,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "loss": "cross_entropy",
        },
        "scores": {"median pixel accuracy": 0.993, "worst pixel accuracy": 0.981},
    },
)
