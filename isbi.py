"""ISBI 2012: membranes in electron microscopy.

Source    ISBI 2012 segmentation challenge, Drosophila larva ventral nerve cord, 30 slices of 512x512 px, 4x4x50 nm
          (Arganda-Carreras et al. 2015)
Command   python train_and_predict.py isbi --data isbi2012 --hold-out all
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      9 to 12 minutes of training for each of the five blocks; simulated images 47 seconds in total
Score     five blocks of slices, one after the other for the test, at the best threshold: V_rand 0.972 (standard deviation
          0.012, lowest 0.961), V_info 0.983; at the threshold fitted on other slices V_rand 0.969; results/isbi. Simulated
          images: V_rand 0.994
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import splits
from config import Config
from data import Predictions, RecipeResult, Sample, Split
from experiment import plots
from readers.images import as_image, read_stack
from readers.labels import binary_mask
from readers.published import are_published
from recipe import Recipe
from scores.partitions import cells_after_thinning, cells_of_truth, close_gaps, v_info, v_rand
from simulate.membranes import membranes as write_membranes
from system.progress import progress

BLOCKS = 5  # of neighbouring slices, one for the test and one for validation
GAP = 1  # slices that are left out between roles
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))  # as in the script of the challenge
HEIGHTS = (None, 0.2, 0.15, 0.1, 0.07, 0.05)  # values of h of ``close_gaps``; None leaves gaps open
KNOWN_SLICES = 0.8  # share of the published slices whose digests are known: 25 of 30
CONFIG = Config(recipe="isbi", filters=16, dropout=0.2, augment=0.5, epochs=24, steps=25, tta=8)
SIMULATED = CONFIG.replace(filters=8, tile=128, overlap=32, epochs=8, steps=24, learning_rate=3e-3, tta=1)
IMAGES, LABELS, TEST = "train-volume.tif", "train-labels.tif", "test-volume.tif"


def find(folder: Path) -> Path | None:
    """Return the data that a user has put into ``datasets/isbi``, or None."""
    return folder if (folder / IMAGES).exists() else None


def simulate(folder: Path, _config: Config, **sizes) -> Path:
    """Write simulated membranes in the same layout; ``sizes``: options of ``simulate.membranes.membranes``."""
    return write_membranes(folder, **sizes)


def load(source: Path, _config: Config = CONFIG) -> list[Sample]:
    """Read ``train-volume.tif`` and ``train-labels.tif`` as Samples, one per slice, whose masks number the cells.

    Images are (H, W, 1) as read. In the file of labels, cells are above 0 and membranes are 0. Raises ValueError that names
    the file if the two differ in the number or size of their slices, or if one is no stack of gray slices.
    """
    images, labels = _read(source, IMAGES), _read(source, LABELS)
    if len(images) != len(labels):
        raise ValueError(f"{source / LABELS}: has {len(labels)} slices, {IMAGES} has {len(images)}; they must be equal.")
    if labels.shape != images.shape:
        raise ValueError(f"{source / LABELS}: slices of {labels.shape[1:]} px, {IMAGES} has {images.shape[1:]} px.")
    masks = [cells_of_truth(binary_mask(label, f"{source / LABELS}, slice {i}")) for i, label in enumerate(labels)]
    for number, mask in enumerate(masks):
        if not mask.any():
            raise ValueError(f"{source / LABELS}, slice {number}: holds no cell, only membrane; remove or correct this slice.")
    pairs = enumerate(zip(images, masks, strict=True))
    return [Sample(f"slice_{i:03d}", as_image(image, IMAGES), mask) for i, (image, mask) in pairs]


def load_unlabelled(source: Path) -> list[Sample]:
    """Read the slices of ``test-volume.tif`` as Samples with masks of zeros; return none if there is no such file."""
    if not (Path(source) / TEST).exists():
        return []
    stack = _read(source, TEST)
    return [Sample(f"test_{i:03d}", as_image(image, TEST), np.zeros(image.shape, np.uint16)) for i, image in enumerate(stack)]


def hold_outs(_samples: list[Sample]) -> list[str]:
    """Return the names that ``--hold-out`` accepts: the blocks, from 1."""
    return [str(block + 1) for block in range(BLOCKS)]


def split(samples: list[Sample], config: Config) -> Split:
    """Test one block of neighbouring slices, validate on the next one and train on the others, with gaps of ``GAP`` slices."""
    if len(samples) < BLOCKS:
        raise ValueError(f"{IMAGES}: has {len(samples)} slices; {BLOCKS} blocks of neighbouring ones need at least {BLOCKS}.")
    blocks = [number for number, part in enumerate(np.array_split(range(len(samples)), BLOCKS), 1) for _ in part]
    grouped = splits.with_groups(samples, blocks, blocks)
    parts = splits.hold_out(grouped, list(map(str, blocks)), config.hold_out)
    return splits.leave_gap(parts, place, GAP)


def place(sample: Sample) -> tuple[str, int]:
    """Return the place of a slice: ("volume", its number)."""
    return "volume", int(sample.name.split("_")[1])


def measure(
    validation: Predictions,
    test: Predictions,
    unlabelled: Predictions,
    _config: Config,
    title: str = "ISBI 2012 membranes",
) -> RecipeResult:
    """Compute the challenge's scores for the test set and, if there is a test volume, the file to submit for it.

    The parameter that closes gaps in membranes is fitted on the validation set. ``v_rand`` and ``v_info`` are the best values
    over ``THRESHOLDS``, as the challenge defines them. ``<score>_at_fitted_threshold`` uses the best threshold of the
    validation set. ``v_rand_with_gaps`` is the best value without closing gaps. ``pixel_error`` is the share of wrong pixels.
    """
    h, fitted = fit_membranes(validation)
    table = threshold_table(test.samples, membranes(test, h))
    honest = table.set_index("threshold").loc[fitted]
    scores = {
        "v_rand": float(table["v_rand"].max()),
        "v_info": float(table["v_info"].max()),
        "v_rand_with_gaps": float(threshold_table(test.samples, membranes(test, None))["v_rand"].max()),
        "gap_h": h,
        "membrane_threshold": fitted,
        **{f"{name}_at_fitted_threshold": float(honest[name]) for name in ("v_rand", "v_info", "pixel_error")},
    }
    curves = plots.scores_over_threshold(table, fitted, f"{title}: scores of the test set over the threshold")
    volumes = {"submission": 1 - np.stack(membranes(unlabelled, h))} if unlabelled.samples else {}
    return RecipeResult(scores, {"thresholds": table}, {"v_rand": curves}, volumes)


def fit_membranes(validation: Predictions) -> tuple[float | None, float]:
    """Return the h of ``close_gaps`` and the threshold with the best V_rand on the validation predictions: (h, threshold).

    The best h has the highest mean V_rand over all thresholds. An h that is good at many thresholds is more likely to work for
    other slices than an h that is best at a single threshold.
    """
    found = {
        h: threshold_table(validation.samples, membranes(validation, h)).set_index("threshold")["v_rand"]
        for h in progress(HEIGHTS, "Fitting the membranes", "setting")
    }
    h = max(found, key=lambda h: found[h].mean())
    return h, float(found[h].idxmax())


def membranes(predictions: Predictions, h: float | None) -> list[NDArray[np.float32]]:
    """Return the probability of membrane of each image, (H, W), 0 to 1; gaps are closed unless ``h`` is None."""
    found = [1 - predictions.maps.foreground(probability) for probability in predictions.probabilities]
    return found if h is None else [close_gaps(membrane, h) for membrane in found]


def threshold_table(samples: list[Sample], found: list[NDArray]) -> pd.DataFrame:
    """Return V_rand, V_info and pixel error (means over the slices) for each of ``THRESHOLDS``, one row each."""
    rows = []
    for threshold in THRESHOLDS:
        scores = [_slice_scores(sample.mask, membrane > threshold) for sample, membrane in zip(samples, found, strict=True)]
        rows.append([threshold, *np.mean(scores, axis=0)])
    return pd.DataFrame(rows, columns=["threshold", "v_rand", "v_info", "pixel_error"])


def _slice_scores(truth, membrane):
    cells = cells_after_thinning(membrane)
    return v_rand(truth, cells), v_info(truth, cells), float(((truth == 0) != membrane).mean())


def _read(source, name):
    path = Path(source) / name
    if not path.exists():
        raise ValueError(f"{path}: is not there; expected {IMAGES} and {LABELS}; {TEST} is optional.")
    return read_stack(path)


RECIPE = Recipe(
    name="isbi",
    title="ISBI 2012 membranes",
    licence="the challenge's own terms (research); cite Arganda-Carreras et al. 2015",
    config=CONFIG,
    load=load,
    split=split,
    find=find,
    simulate=simulate,
    simulated=SIMULATED,
    is_published=lambda samples, source: are_published(samples, "isbi", KNOWN_SLICES),
    load_unlabelled=load_unlabelled,
    hold_outs=hold_outs,
    measure=measure,
    stratum="block",
    main_scores=("v_rand", "v_info", "v_rand_at_fitted_threshold"),
    uses=("hold_out",),
    published={
        "settings": {
            "filters": 64,
            "tile": 512,
            "batch_size": 2,
            "steps": 300,
            "epochs": 200,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "loss": "cross_entropy",
            "normalisation": False,
            "tta": 1,
        },
        "scores": {
            "V_rand": 0.97276,
            "V_info": 0.98662,
            "best Keras network V_rand": 0.9641,
            "best Keras network V_info": 0.9805,
            "best of all V_rand": 0.98680,
            "best of all V_info": 0.99144,
        },
    },
)
