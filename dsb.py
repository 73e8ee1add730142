"""DSB 2018: nuclei in fluorescence, bright field and histology.

Source    Data Science Bowl 2018, stage1_train: 664 images, 28,986 nuclei (Caicedo et al. 2019; BBBC038, CC0)
Command   python train_and_predict.py dsb --data stage1_train.zip
Hardware  2 cores of an AMD EPYC with AVX512-BF16, no GPU, bfloat16
Time      102 minutes of training (other work ran at the same time), 6 minutes of prediction, scores and figures
Score     132 test images: mean Dice 0.912 (95 % 0.887 to 0.934), mean average precision of nuclei 0.534; results/dsb
"""

import contextlib
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import figures
import splits
from config import Config
from data import Predictions, RecipeResult, Sample, Split, evenly
from explore import leaks, tables
from objects import classify_objects, find_all_objects, fit_watershed
from readers.archives import open_archive
from readers.labels import smallest_type
from readers.pairs import find_class_maps, find_pairs, read_pair
from readers.published import are_published
from recipe import Recipe
from scores.intervals import mean_interval
from scores.matching import detection_table, match, mean_average_precision, pooled_detection
from simulate.nuclei import nuclei
from system.files import digest, written_whole
from system.names import short_names
from system.paths import WORK
from system.progress import progress

CONFIG = Config(recipe="dsb", distance=True, filters=32, dropout=0.2, augment=0.5, epochs=36, smoothing=5, tta=8)
SIMULATED = CONFIG.replace(filters=8, epochs=6, steps=24, learning_rate=3e-3, tta=1)
CLUSTERS = 8
IMAGES_PER_CLUSTER = 4  # smallest mean: every role needs its share of each cluster
CACHE = WORK / "datasets" / "cache"
CACHE_VERSION = 2  # increase it when the stored arrays change
CACHE_FROM = 2000  # files; fewer files are read in about a second


def find(folder: Path) -> Path | None:
    """Return the data that a user has put into ``datasets/dsb``: the unpacked folder, the zip file, or None.

    Raises ValueError if there are several zip files and none of them is ``stage1_train.zip``.
    """
    zips = sorted(folder.glob("*.zip"))
    if len(zips) > 1 and folder / "stage1_train.zip" not in zips:
        raise ValueError(f"{folder}: holds {', '.join(z.name for z in zips)}; say which one with --data.")
    for path in (folder / "stage1_train", folder):
        if any(path.glob("*/images/*")) or any(path.glob("images/*")):
            return path
    return folder / "stage1_train.zip" if folder / "stage1_train.zip" in zips else next(iter(zips), None)


def simulate(folder: Path, config: Config, **sizes) -> Path:
    """Write simulated nuclei in the same layout; with three classes, two kinds of nuclei. ``sizes``: options of ``nuclei``."""
    if config.classes > 3:
        raise ValueError(f"--classes {config.classes}: simulated nuclei have at most 3 classes; give your images with --data.")
    return nuclei(
        folder if config.classes == 2 else folder.with_name(f"{folder.name}_classes"), **sizes, kinds=config.classes - 1
    )


def load(source: Path, config: Config = CONFIG, cache: Path | None = CACHE) -> list[Sample]:
    """Read ``stage1_train.zip``, its unpacked folder, or other images in the same layout, in the order of their names.

    ``readers.pairs`` describes the layouts. Images are uint8, uint16 or float32, (H, W, 1) if all their pixels are gray, else
    (H, W, 3). Masks number the nuclei; with ``config.classes`` above 2, the nuclei have classes. The decoded images are kept in
    the folder ``cache`` and used again as long as no file changes; None keeps nothing. Raises ValueError for a file, or a
    member of a zip file, that cannot be used; the message names it.
    """
    source = Path(source)
    with open_archive(source) as archive:
        of_source = digest(f"{source.resolve()} {config.classes}")
        of_files = digest(f"{CACHE_VERSION} {archive.state()}")
        stored = cache and Path(cache) / f"dsb-{of_source}-{of_files}.npz"
        if stored and stored.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):  # damaged: decode the images again
                return _read_cache(stored)
        samples = _decode(archive, config.classes)
    if stored and len(archive.names) >= CACHE_FROM:
        try:
            _write_cache(stored, samples)
        except OSError as error:
            warnings.warn(f"The next start will be slow: {error}", stacklevel=2)
    return samples


def split(samples: list[Sample], config: Config) -> Split:
    """Give each role an equal share of every k-means cluster of images; crops of one photograph get one role."""
    groups, _ = leaks.leak_groups([sample.image for sample in samples])
    count = max(1, min(CLUSTERS, len(samples) // IMAGES_PER_CLUSTER))
    strata = tables.kmeans_clusters(tables.image_table(samples), count)
    return splits.split_by_group(
        splits.with_groups(samples, groups, strata), config.validation_share, config.test_share, config.seed
    )


def stratum_names(samples: list[Sample]) -> dict[int, str]:
    """Return {number of a k-means cluster: a few words that describe its images}."""
    return tables.cluster_names(tables.image_table(samples), [sample.stratum for sample in samples])


def measure(
    validation: Predictions,
    test: Predictions,
    _unlabelled: Predictions,
    config: Config,
    title: str = "DSB 2018 nuclei",
) -> RecipeResult:
    """Find the nuclei and score them: mean over images, for each k-means cluster, and for all nuclei together.

    The watershed parameters are those with the highest mean average precision on the validation images, ``validation_map``.
    """
    how = fit_watershed(validation, mean_average_precision, len(validation.samples))
    objects = find_all_objects(test, how)
    table = detection_table(test.samples, objects)
    scores = _detection_summary(table, [is_fluorescence(sample) for sample in test.samples])
    if config.classes > 2:
        scores["class_accuracy"] = class_accuracy(test, objects)
    scores["validation_map"] = mean_average_precision(validation.samples, find_all_objects(validation, how))
    scores["watershed"] = how._asdict()
    clusters = table.groupby("stratum").agg(
        images=("name", "size"), objects=("objects", "sum"), map=("map", "mean"), ap50=("ap50", "mean"),
        splits=("splits", "sum"), merges=("merges", "sum"),
    )  # fmt: skip
    written = {"objects": table, "objects_per_kmeans_cluster": clusters.reset_index(names="kmeans_cluster")}
    labels = {f"predictions/{s.name}_objects": smallest_type(found) for s, found in zip(test.samples, objects, strict=True)}
    return RecipeResult(scores, written, {"objects": _drawn(test.samples, objects, table["map"], title)}, labels)


def _detection_summary(table, fluorescent):
    """Return the object scores of all images and of the fluorescence images, with intervals."""
    scores = {name: float(table[name].mean()) for name in ("map", "ap50")}
    scores["map_interval"] = mean_interval(table["map"], table["group"])
    scores |= {f"{name}_pooled": value for name, value in pooled_detection(table).items()}
    scores |= {name: int(table[name].sum()) for name in ("objects", "splits", "merges")}
    part = table[fluorescent]
    if len(part):
        scores["images_fluorescence"] = len(part)
        scores |= {f"{name}_fluorescence": float(part[name].mean()) for name in ("map", "ap50")}
        scores["ap50_fluorescence_pooled"] = pooled_detection(part)["ap50"]
    return scores


def class_accuracy(test: Predictions, objects: list[NDArray]) -> float | None:
    """Return the share of objects with the right class among those found with an IoU of at least 0.5; None if none is."""
    right, total = 0, 0
    for sample, found, probability in zip(test.samples, objects, test.probabilities, strict=True):
        rows = match(sample.mask, found)
        rows = rows[rows["iou"] >= 0.5]
        predicted = classify_objects(found, test.maps.pixel_classes(probability))
        right += int((sample.object_classes[rows["label"]] == predicted[rows["predicted"]]).sum())
        total += len(rows)
    return right / total if total else None


def _drawn(samples, objects, scores, title):
    """Draw six images from the worst to the best, with the outlines of true and predicted nuclei."""
    shown = evenly(sorted(zip(samples, objects, scores, strict=True), key=lambda row: row[2]), 6)
    names = short_names([sample.name for sample, _, _ in shown])
    return figures.outlines(
        [sample.image for sample, _, _ in shown],
        {"truth": [sample.mask for sample, _, _ in shown], "prediction": [labels for _, labels, _ in shown]},
        [f"{name}\nmean AP {score:.3f}" for name, (_, _, score) in zip(names, shown, strict=True)],
        f"{title}: nuclei of the test set, from the worst to the best mean average precision",
    )


def is_fluorescence(sample: Sample) -> bool:
    """Return whether a sample looks like fluorescence: a gray image with a dark background."""
    low, high = sample.limits
    return sample.image.shape[2] == 1 and np.median(sample.image) < (low + high) / 2


def _decode(archive, classes):
    pairs, class_maps = find_pairs(archive), find_class_maps(archive) if classes > 2 else {}
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(read_pair, archive, name, *files, classes, class_maps.get(name)) for name, files in pairs.items()]
        try:
            return [job.result() for job in progress(jobs, "Reading images", "image")]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_cache(path, samples):
    for old in path.parent.glob(path.name.rsplit("-", 1)[0] + "-*.npz"):  # of this source, before it changed
        old.unlink()
    arrays = {}
    for i, sample in enumerate(samples):
        arrays |= {f"image{i}": sample.image, f"mask{i}": sample.mask}
        arrays |= {} if sample.object_classes is None else {f"classes{i}": sample.object_classes}
    with written_whole(path) as temporary:
        np.savez(temporary, names=np.array([sample.name for sample in samples]), **arrays)


def _read_cache(path):
    with np.load(path, allow_pickle=False) as stored:
        return [
            Sample(str(n), stored[f"image{i}"], stored[f"mask{i}"], object_classes=stored.get(f"classes{i}"))
            for i, n in enumerate(stored["names"])
        ]


RECIPE = Recipe(
    name="dsb",
    title="DSB 2018 nuclei",
    licence="CC0",
    config=CONFIG,
    load=load,
    split=split,
    find=find,
    simulate=simulate,
    simulated=SIMULATED,
    is_published=lambda samples, source: are_published(samples, "dsb"),
    measure=measure,
    stratum="kmeans_cluster",
    stratum_names=stratum_names,
    main_scores=("dice_mean", "dice_pooled", "map", "ap50"),
    uses=("validation_share", "test_share", "classes"),
    published={
        "settings": {"epochs": 5, "steps": 3500, "smoothing": 1, "distance": False},
        "scores": {"Dice": 0.602},
    },
)
