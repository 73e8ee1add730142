"""Peak memory of reading, the leak search, the workers of training, prediction with scores, and the matching of objects.

python benchmarks/memory.py
git worktree add /tmp/before b774b5c; python benchmarks/memory.py --before /tmp/before; git worktree remove /tmp/before

Each part runs in a process of its own, with drawn images. The peak is the highest sum over this process and its workers; memory
that several processes share counts once (Linux's proportional set size, looked at every 20 ms). --before: a checkout of an
older version, which is measured beside this one.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

ROOT = Path(__file__).parents[1]
SIDE, BATCHES, WORKERS = 512, 40, 2
DENSE = 4_900  # objects; a table of all pairs of 30,000 would need 21 GB
PARTS = {
    "reading": "read {images} images and masks from a folder",
    "leaks": "search {images} images for leaks",
    "training": "{workers} workers that draw batches from {images} images",
    "prediction": "predict {images} images, half validation and half test; threshold; match objects",
    "matching": "match {dense:,} objects with {dense:,} in an image of 6000x6000 px",
    "large matching": "match 30,000 objects with 30,000 in an image of 6000x6000 px",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="number of images of 512x512 px (default: %(default)s)")
    parser.add_argument("--before", type=Path, help="folder of an older version")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts to measure (default: all)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # what a process of its own does
    parser.add_argument("--tree", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        sys.path.insert(0, str(given.tree))
        return ACTIONS[given.part](given.images, given.folder)
    trees = [given.before, ROOT] if given.before else [ROOT]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {given.images} images\n")
    print("| peak memory, MiB (seconds) |" + " before |" * (len(trees) - 1) + " now |\n|---|" + "---|" * len(trees), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for part in given.only:
            if part == "reading":
                write_images(Path(folder), given.images)
            cells = [measure(part, tree, given.images, folder) for tree in trees]
            text = PARTS[part].format(images=given.images, workers=WORKERS, dense=DENSE)
            print(f"| {text} | {' | '.join(cells)} |", flush=True)


def measure(part, tree, images, folder):
    """Run a part with the modules of a folder: peak memory and time as text."""
    if part == "large matching" and tree != ROOT:
        return "not run"
    command = [sys.executable, __file__, "--part", part, "--tree", tree, "--images", images, "--folder", folder]
    start, peak = time.perf_counter(), 0
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(list(map(str, command)), stderr=errors, env=environment)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.02)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{part}, {tree}: {errors.read()[-2000:]}")
    return f"{peak / 1024:,.0f} ({time.perf_counter() - start:.0f})"


def memory(process):
    """Proportional set size of a process and its descendants, KiB."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = [c for task in Path(f"/proc/{process}/task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return 0
    own = sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return own + sum(memory(child) for child in children)


def draw(number):
    """An image of noise and some 128 squares, uint8 (512, 512), and their numbers, uint16."""
    rng = np.random.default_rng(number)
    numbers = np.arange(1, 257, dtype=np.uint16).reshape(16, 16) * rng.integers(2, size=(16, 16), dtype=np.uint16)
    mask = np.kron(numbers, np.pad(np.ones((20, 20), np.uint16), 6))
    noise = rng.integers(0, 100, (SIDE, SIDE), dtype=np.uint8)
    return noise + np.uint8(120) * (mask > 0), mask


def drawn_samples(images):
    from data import Sample

    pairs = map(draw, range(images))
    return [Sample(f"image{number}", image[..., None], mask) for number, (image, mask) in enumerate(pairs)]


def module(folder, name):
    """A module of this version's folder, or of an older version without folders."""
    try:
        return importlib.import_module(f"{folder}.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(name)


def write_images(folder, images):
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for number in range(images):
        for kind, array in zip(("images", "masks"), draw(number), strict=True):
            tifffile.imwrite(folder / kind / f"{number}.tif", array)


def read(images, folder):
    pairs = module("readers", "pairs")
    with module("readers", "archives").open_archive(folder) as archive:
        samples = [pairs.read_pair(archive, name, *files) for name, files in pairs.find_pairs(archive).items()]
    assert len(samples) == images


def search(images, _):
    module("explore", "leaks").leak_groups([draw(number)[0][..., None] for number in range(images)])


def train(images, _):
    import batches
    from config import Config

    config = Config(workers=WORKERS, steps=BATCHES, epochs=1)
    stream = batches.TrainingBatches(drawn_samples(images), config)
    for number in range(BATCHES):
        stream[number]
    stream.close()


def predict(images, folder):
    import metrics
    import prediction
    import training
    from config import Config

    config = Config(filters=2, depth=2, distance=True, precision="float32")
    samples = drawn_samples(images)
    validation, test = samples[: images // 2], samples[images // 2 :]
    model = training.compiled_unet(config)
    if hasattr(prediction, "StoredArrays"):
        from experiment.predictions import predict_roles

        roles = {"validation": (validation, validation), "test": (test, test), "unlabelled": ([], [])}
        masks = predict_roles(model, config, roles, folder)[0]["test"].masks
    else:
        chosen = prediction.predict_samples(model, validation, validation, config)
        threshold, _ = metrics.fit_threshold(chosen, [sample.mask for sample in validation])
        probabilities = prediction.predict_samples(model, test, test, config)
        to_masks = vars(metrics)["to_masks"]  # only older versions have it
        masks = to_masks(probabilities, threshold, config.classes)
        to_masks(chosen, threshold, config.classes)
    module("scores", "matching").detection_table(test, (ndimage.label(mask)[0] for mask in masks))


def match(objects):
    """Match squares in a grid with the same ones, moved by 3 px."""
    side = int(np.ceil(np.sqrt(objects)))
    square = 6000 // side
    truth = np.kron(np.arange(1, side**2 + 1, dtype=np.int32).reshape(side, side), np.ones((square, square), np.int32))
    counts = module("scores", "matching").count_objects(truth, np.roll(truth, 3, axis=1))
    assert counts["objects"] == side**2


ACTIONS = {
    "reading": read,
    "leaks": search,
    "training": train,
    "prediction": predict,
    "matching": lambda *_: match(DENSE),
    "large matching": lambda *_: match(30_000),
}

if __name__ == "__main__":
    main()
