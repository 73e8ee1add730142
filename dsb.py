"""DSB 2018: nuclei in fluorescence, bright field and histology.

Source    Data Science Bowl 2018, stage1_train: 664 images, 28,986 nuclei (Caicedo et al. 2019; BBBC038, CC0)
Command   python train_and_predict.py dsb --data stage1_train.zip
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      102 minutes of training (some other work ran beside), 6 minutes of prediction, scores and figures
Score     132 test images: mean Dice 0.912 (95 % 0.892 to 0.929), mean average precision of nuclei 0.534; results/dsb
"""

import contextlib
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

import figures
import splits
from config import Config
from data import RecipeResult, Sample, evenly
from explore import leaks, tables
from metrics import bootstrap_interval
from objects import divide_all, fit_watershed
from readers.archives import open_archive
from readers.pairs import find_pairs, read_pair
from scores.matching import detection_table, mean_average_precision, pooled_detection
from simulate import nuclei as simulate_nuclei
from system.files import digest, written_whole

TITLE = "DSB 2018 nuclei"
LICENCE = "CC0"
CONFIG = Config(recipe="dsb", distance=True, filters=32, dropout=0.2, augment=0.5, epochs=36, smoothing=5, tta=8)
SIMULATED = CONFIG.replace(filters=8, epochs=6, steps=24, learning_rate=3e-3, tta=1)
STRATUM = "cluster"
MAIN_SCORES = ("dice_mean", "dice_pooled", "map", "ap50")
UNUSED = ("hold_out", "labels")
PUBLISHED = {"settings": {"epochs": 5, "steps": 3500, "smoothing": 1, "distance": False}, "scores": {"Dice": 0.602}}
CLUSTERS = 8
CACHE = Path(__file__).parent / "datasets" / "cache"
CACHE_VERSION = 1  # raise it when what is stored changes
CACHE_FROM = 2000  # files; fewer are read in about a second


def find(folder):
    """The data that a user has put into ``datasets/dsb``: the unpacked folder, the zip file, or None.

    Raises ValueError when there are several zip files and none is ``stage1_train.zip``.
    """
    zips = sorted(folder.glob("*.zip"))
    if len(zips) > 1 and folder / "stage1_train.zip" not in zips:
        raise ValueError(f"{folder}: holds {', '.join(z.name for z in zips)}; say which one with --data.")
    for path in (folder / "stage1_train", folder):
        if any(path.glob("*/images/*")) or any(path.glob("images/*")):
            return path
    return folder / "stage1_train.zip" if folder / "stage1_train.zip" in zips else next(iter(zips), None)


def is_published(source):
    """Whether data is the published set, by its name; a user's own images in the same layout are not."""
    return source.name.startswith("stage1_train")


def simulate(folder, **sizes):
    """Simulated nuclei in the same layout; ``sizes``: of ``simulate_nuclei.nuclei``."""
    return simulate_nuclei.nuclei(folder, **sizes)


def load(source, cache=CACHE):
    """Read ``stage1_train.zip``, or its unpacked folder, as a list of Samples in the order of their names.

    Expects ``ImageId/images/<one>.png`` and ``ImageId/masks/<one per nucleus>.png``, or a folder ``images`` and a folder
    ``masks`` with the same names. Images come back as uint8, uint16 or float32, (H, W, 1) where all colours are equal
    and (H, W, 3) otherwise; masks as uint16 numbers of the nuclei. The decoded images are kept in ``cache`` and used
    again only while every file is still the same; None keeps nothing. Raises ValueError that names the file, or the zip
    file and its member, for anything that cannot be used.
    """
    source = Path(source)
    with open_archive(source) as archive:
        of_source, of_files = digest(str(source.resolve())), digest(f"{CACHE_VERSION} {archive.state()}")
        stored = cache and Path(cache) / f"dsb-{of_source}-{of_files}.npz"
        if stored and stored.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):  # damaged: decode again
                return _read_cache(stored)
        samples = _decode(archive)
    if stored and len(archive.names) >= CACHE_FROM:
        try:
            _write_cache(stored, samples)
        except OSError as error:
            warnings.warn(f"The next start will be slow: {error}", stacklevel=2)
    return samples


def split(samples, config):
    """Fit, validation and test: equal shares of eight clusters of images, crops of one photograph kept together."""
    if config.classes != 2:
        raise ValueError(f"--classes is {config.classes}, but the masks of dsb number nuclei: objects and background are 2.")
    groups, _ = leaks.leak_groups([sample.image for sample in samples])
    strata = tables.cluster(tables.image_table(samples), CLUSTERS)
    return splits.split_by_group(
        splits.with_groups(samples, groups, strata), config.validation_share, config.test_share, config.seed
    )


def measure(validation, test, _unlabelled, _config, title=TITLE):
    """Separate nuclei and how well they are found: in the mean per image, per cluster, and all nuclei together.

    How touching ones are divided is fitted on the validation set, by ``map``, whose value there is ``validation_map``.
    """
    how = fit_watershed(validation, mean_average_precision, len(validation.samples))
    objects = divide_all(test, how)
    table = detection_table(test.samples, objects)
    scores = {name: float(table[name].mean()) for name in ("map", "ap50")}
    scores["map_interval"] = bootstrap_interval(table["map"], table["group"])
    scores |= {f"{name}_pooled": value for name, value in pooled_detection(table).items()}
    scores |= {name: int(table[name].sum()) for name in ("objects", "splits", "merges")}
    fluorescent = table[[is_fluorescence(sample) for sample in test.samples]]
    if len(fluorescent):
        scores["images_fluorescence"] = len(fluorescent)
        scores |= {f"{name}_fluorescence": float(fluorescent[name].mean()) for name in ("map", "ap50")}
        scores["ap50_fluorescence_pooled"] = pooled_detection(fluorescent)["ap50"]
    scores["validation_map"] = mean_average_precision(validation.samples, divide_all(validation, how))
    scores["separation"] = how._asdict()
    clusters = table.groupby("stratum").agg(
        images=("name", "size"), objects=("objects", "sum"), map=("map", "mean"), ap50=("ap50", "mean"),
        splits=("splits", "sum"), merges=("merges", "sum"),
    )  # fmt: skip
    shown = sorted(zip(test.samples, objects, table["map"], strict=True), key=lambda row: row[2])
    shown = evenly(shown, 6)
    drawn = figures.outlines(
        [sample.image for sample, _, _ in shown],
        {"truth": [sample.mask for sample, _, _ in shown], "prediction": [labels for _, labels, _ in shown]},
        [f"{sample.name[:8]}\nmean AP {score:.3f}" for sample, _, score in shown],
        f"{title}: nuclei of the test set, from the worst to the best mean average precision",
    )
    names = [f"predictions/{sample.name}_objects" for sample in test.samples]
    labels = {name: numbers.astype(np.uint16) for name, numbers in zip(names, objects, strict=True)}
    tables = {"objects": table, "objects_per_cluster": clusters.reset_index().rename(columns={"stratum": "cluster"})}
    return RecipeResult(scores, tables, {"objects": drawn}, labels)


def is_fluorescence(sample):
    """Whether a sample is a gray image with a dark background, as fluorescence is."""
    low, high = sample.limits
    return sample.image.shape[2] == 1 and np.median(sample.image) < (low + high) / 2


def _decode(archive):
    pairs = find_pairs(archive)
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(read_pair, archive, name, *files) for name, files in pairs.items()]
        try:
            return [job.result() for job in tqdm(jobs, desc="Reading images", unit="image", disable=None)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_cache(path, samples):
    for old in path.parent.glob(path.name.rsplit("-", 1)[0] + "-*.npz"):  # of this source, before it changed
        old.unlink()
    arrays = {f"image{i}": sample.image for i, sample in enumerate(samples)}
    arrays |= {f"mask{i}": sample.mask for i, sample in enumerate(samples)}
    with written_whole(path) as temporary:
        np.savez(temporary, names=np.array([sample.name for sample in samples]), **arrays)


def _read_cache(path):
    with np.load(path, allow_pickle=False) as stored:
        return [Sample(str(n), stored[f"image{i}"], stored[f"mask{i}"]) for i, n in enumerate(stored["names"])]
