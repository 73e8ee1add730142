"""Compare the loaders that `batches.py` could use, in batches per second: the main process, grain, PyDataset, tf.data.

    python benchmarks/loaders.py [--workers 2]

All of them make the same batches (8 augmented 256x256 tiles) from the same 400 images.
"""

import argparse
import contextlib
import itertools
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import batches
import dsb
from config import Config
from data import Sample
from system.backend import keras

BATCHES = 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare batches (default: 2)")
    workers = parser.parse_args().workers
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (360, 360, 1), dtype=np.uint8)
    samples = [Sample(f"image{i}", image.copy(), (image[..., 0] > 200).astype(np.uint16)) for i in range(400)]
    config = Config(batch_size=8, steps=BATCHES, workers=workers)
    print(f"{workers} workers, {os.cpu_count()} cores\n\n| loader | first batch, s | batches/s | tiles/s |\n|---|---|---|---|")
    measure("main process", (batches.make_batch(samples, config, number) for number in range(BATCHES)))
    with contextlib.closing(batches.TrainingBatches(samples, config)) as stream:
        measure("grain", (stream[number] for number in range(BATCHES)))
    for multiprocessing in (True, False):
        kind = "processes" if multiprocessing else "threads"
        measure(f"keras.utils.PyDataset, {kind}", py_dataset(samples, config, multiprocessing))
    measure("tf.data, numpy_function", tf_data(samples, config))
    measure(f"what training consumes (filters {dsb.CONFIG.filters})", training_steps(samples, config))


def measure(name, stream):
    """Print a row of the table: the time of the first batch, and the rate of the batches after it."""
    start = time.perf_counter()
    stream = iter(stream)
    next(stream)
    first = time.perf_counter()
    count = sum(1 for _ in itertools.islice(stream, BATCHES - 2))
    rate = count / (time.perf_counter() - first)
    print(f"| {name} | {first - start:.2f} | {rate:.1f} | {rate * 8:.1f} |", flush=True)


def py_dataset(samples, config, multiprocessing):
    """Return the batches as Keras' own loader prepares them for ``fit``."""
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return BATCHES

        def __getitem__(self, number):
            return batches.make_batch(samples, config, number)

    dataset = Batches(workers=config.workers, use_multiprocessing=multiprocessing, max_queue_size=8)
    return PyDatasetAdapter(dataset, shuffle=False).get_tf_dataset()


def training_steps(samples, config):
    """Train the network of the recipe dsb; yield after each batch."""
    import devices
    import training

    devices.set_precision("auto", devices.list_gpus())
    model = training.compiled_unet(dsb.CONFIG, bool(devices.list_gpus()))
    batch = batches.make_batch(samples, config.replace(distance=dsb.CONFIG.distance), 0)
    for _ in range(12):
        yield model.train_on_batch(*batch)


def tf_data(samples, config):
    """Return the batches as threads of tf.data prepare them."""
    import tensorflow as tf

    def make(number):
        types = (tf.float32, tf.uint8)
        return tf.numpy_function(lambda n: batches.make_batch(samples, config, int(n)), [number], types)

    return tf.data.Dataset.range(BATCHES).map(make, num_parallel_calls=config.workers).prefetch(8)


if __name__ == "__main__":
    main()
