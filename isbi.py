"""ISBI 2012: membranes in electron microscopy.

Source    ISBI 2012 segmentation challenge, Drosophila larva ventral nerve cord, 30 slices of 512x512 px, 4x4x50 nm
          (Arganda-Carreras et al. 2015)
Command   python train_and_predict.py isbi --data isbi2012 --hold-out all
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      9 to 12 minutes of training for each of the five blocks; simulated images 47 seconds in all
Score     five blocks of slices, each held out in turn, best over thresholds: V_rand 0.972 (standard deviation 0.012, lowest
          0.961), V_info 0.983; at the threshold fitted on other slices V_rand 0.969; results/isbi. Simulated images: V_rand
          0.994
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

import figures
import splits
from config import Config
from data import RecipeResult, Sample
from metrics import foreground
from readers.images import as_image, binary_mask, read_stack
from scores.partitions import cells_after_thinning, cells_of_truth, close_gaps, v_info, v_rand
from simulate import membranes as simulate_membranes

TITLE = "ISBI 2012 membranes"
LICENCE = "the challenge's own terms (research); cite Arganda-Carreras et al. 2015"
STRATUM = "block"
UNUSED = ("validation_share", "test_share", "labels")
MAIN_SCORES = ("v_rand", "v_info", "v_rand_at_fitted_threshold")
BLOCKS = 5  # of neighbouring slices, one each to test and to validation
GAP = 1  # slices left out between roles
SIDE = (512, 512)  # px, of the published slices
THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))  # as the challenge's script
DEPTHS = (None, 0.2, 0.15, 0.1, 0.07, 0.05)  # of ``close_gaps``; None leaves gaps open
CONFIG = Config(recipe="isbi", filters=16, dropout=0.2, augment=0.5, epochs=24, steps=25, tta=8)
SIMULATED = CONFIG.replace(filters=8, tile=128, overlap=32, epochs=8, steps=24, learning_rate=3e-3, tta=1)
PUBLISHED = {
    "settings": {"filters": 64, "tile": 512, "batch_size": 2, "steps": 300, "epochs": 200, "learning_rate": 1e-4,
                 "schedule": "constant", "loss": "cross_entropy", "normalisation": False, "tta": 1},
    "scores": {"V_rand": 0.97276, "V_info": 0.98662, "best Keras network V_rand": 0.9641, "best Keras network V_info": 0.9805,
               "best of all V_rand": 0.98680, "best of all V_info": 0.99144},
}  # fmt: skip
IMAGES, LABELS, TEST = "train-volume.tif", "train-labels.tif", "test-volume.tif"


def find(folder):
    """The data that a user has put into ``datasets/isbi``, or None."""
    return folder if (folder / IMAGES).exists() else None


def is_published(source):
    """Whether data is the published set, by the size of its slices, or simulated: other volumes have the same names."""
    return read_stack(source / IMAGES).shape[1:] == SIDE and not (source / "simulated.json").exists()


def simulate(folder, **sizes):
    """Simulated membranes in the same layout; ``sizes``: of ``simulate_membranes.membranes``."""
    return simulate_membranes.membranes(folder, **sizes)


def load(source):
    """Read ``train-volume.tif`` and ``train-labels.tif`` as Samples, one per slice, whose masks number the cells.

    Images are (H, W, 1) as read; labels are above 0 inside cells and 0 on membranes. Raises ValueError that names the
    file when the two have other numbers of slices, or one is not a stack of gray slices.
    """
    images, labels = _read(source, IMAGES), _read(source, LABELS)
    if len(images) != len(labels):
        raise ValueError(f"{source / LABELS}: has {len(labels)} slices, {IMAGES} has {len(images)}; they must be equal.")
    if labels.shape != images.shape:
        raise ValueError(f"{source / LABELS}: slices of {labels.shape[1:]} px, {IMAGES} has {images.shape[1:]} px.")
    masks = [cells_of_truth(binary_mask(label, f"{source / LABELS}, slice {i}")) for i, label in enumerate(labels)]
    for number, mask in enumerate(masks):
        if not mask.any():
            raise ValueError(f"{source / LABELS}, slice {number}: holds no cell, only membrane; remove the slice or mend it.")
    pairs = enumerate(zip(images, masks, strict=True))
    return [Sample(f"slice_{i:03d}", as_image(image, IMAGES), mask) for i, (image, mask) in pairs]


def load_unlabelled(source):
    """The slices of ``test-volume.tif`` as Samples whose masks are zeros; none where there is no such file."""
    if not (Path(source) / TEST).exists():
        return []
    stack = _read(source, TEST)
    return [Sample(f"test_{i:03d}", as_image(image, TEST), np.zeros(image.shape, np.uint16)) for i, image in enumerate(stack)]


def hold_outs(_samples):
    """The names that ``--hold-out`` takes: the blocks, from 1."""
    return [str(block + 1) for block in range(BLOCKS)]


def split(samples, config):
    """One block of neighbouring slices to test, the next one to validation, the others to fit, with gaps of ``GAP``."""
    if len(samples) < BLOCKS:
        raise ValueError(f"{IMAGES}: has {len(samples)} slices; {BLOCKS} blocks of neighbouring ones need at least {BLOCKS}.")
    blocks = [number for number, part in enumerate(np.array_split(range(len(samples)), BLOCKS), 1) for _ in part]
    grouped = splits.with_groups(samples, blocks, blocks)
    parts = splits.hold_out(grouped, list(map(str, blocks)), config.hold_out)
    return splits.leave_gap(parts, place, GAP)


def place(sample):
    """Where a slice lies: ("volume", its number)."""
    return "volume", int(sample.name.split("_")[1])


def measure(validation, test, unlabelled, config, title=TITLE):
    """The challenge's scores of the test set, and its submission for the test volume.

    How deep gaps are closed is fitted on the validation set. ``v_rand`` and ``v_info`` are the best over
    ``THRESHOLDS``, as the challenge takes them; beside them stand those at the threshold that is best on the validation set,
    and ``v_rand_with_gaps``, the best without closing any. ``pixel_error`` is the share of wrong pixels.
    """
    depth, fitted = fit_membranes(validation)
    table = threshold_table(test.samples, membranes(test, depth))
    honest = table.set_index("threshold").loc[fitted]
    scores = {
        "v_rand": float(table["v_rand"].max()),
        "v_info": float(table["v_info"].max()),
        "v_rand_with_gaps": float(threshold_table(test.samples, membranes(test, None))["v_rand"].max()),
        "gap_depth": depth,
        "membrane_threshold": fitted,
        **{f"{name}_at_fitted_threshold": float(honest[name]) for name in ("v_rand", "v_info", "pixel_error")},
    }
    curves = figures.scores_over_threshold(table, fitted, f"{title}: scores of the test set over the threshold")
    volumes = {"submission": 1 - np.stack(membranes(unlabelled, depth))} if unlabelled.samples else {}
    return RecipeResult(scores, {"thresholds": table}, {"v_rand": curves}, volumes)


def fit_membranes(validation):
    """The (depth, threshold) for which V_rand is best on a Predictions validation set.

    The depth is the best in the mean over all thresholds: one whose score hardly depends on the threshold is more likely
    to serve other slices than one that is best at a single threshold.
    """
    tables = {
        depth: threshold_table(validation.samples, membranes(validation, depth)).set_index("threshold")["v_rand"]
        for depth in tqdm(DEPTHS, desc="Fitting the membranes", unit="setting", disable=None)
    }
    depth = max(tables, key=lambda depth: tables[depth].mean())
    return depth, float(tables[depth].idxmax())


def membranes(predicted, depth):
    """Probability of membrane (H, W) float32 in each image of a Predictions set, its gaps closed unless ``depth`` is None."""
    found = [1 - foreground(probability) for probability in predicted.probabilities]
    return found if depth is None else [close_gaps(membrane, depth) for membrane in found]


def threshold_table(samples, found):
    """Mean per slice of V_rand, V_info and pixel error at each of ``THRESHOLDS`` on the membrane's probability: DataFrame."""
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
        raise ValueError(f"{path}: is not there; expected {IMAGES} and {LABELS}, and {TEST} if you have it.")
    return read_stack(path)
