"""Find where the time of a training step goes: images per second with one part changed or left out.

    python benchmarks/parts.py                      filters 64 in batches of 2, filters 16 in batches of 8

Images have 256x256 px, the precision is that of --precision auto. The steps take turns in one process, with a batch that is
ready in memory (``loaders.py`` measures how batches are made). The ratio is the median, over the rounds, of the rate divided by
the rate of the unchanged step in the same round.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import devices
import prediction
import training
from config import Config
from system.backend import keras
from unet import PixelLoss

SIDE, ROUNDS, STEPS = 256, 5, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, nargs="+", default=[64, 16], help="of the networks (default: 64 16)")
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[2, 8], help="images in a batch, for each network (default: 2 8)"
    )
    given = parser.parse_args()
    precision = devices.set_precision("auto", [])
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {precision}\n")
    print("| filters | batch | step | images/s | ratio |\n|---|---|---|---|---|")
    for filters, batch in zip(given.filters, given.batch, strict=True):
        measure(Config(filters=filters), batch)


def measure(config, batch):
    """Print a row for each variant of a training step."""
    images = np.random.default_rng(0).random((batch, SIDE, SIDE, 1), dtype=np.float32)
    masks = (images > 0.5).astype(np.uint8)
    steps = {name: make(config) for name, make in VARIANTS.items()}
    rates = {name: [] for name in steps}
    for step in steps.values():
        step(images, masks)
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step(images, masks)
            rates[name].append(STEPS * batch / (time.perf_counter() - start))
    for name, values in rates.items():
        ratio = np.median(np.divide(values, rates["as it is"]))
        print(f"| {config.filters} | {batch} | {name} | {np.median(values):.2f} | {ratio:.2f} |", flush=True)


def as_it_is(config, **changes):
    """Return a training step of the network of a configuration with some ``changes``."""
    return training.compiled_unet(config.replace(**changes)).train_on_batch


def keras_normalisation(config):
    return training.compiled_unet(config, fused=False).train_on_batch


def compiled_otherwise(config, optimizer=None, **options):
    """Return a training step with another optimiser, or with other options of ``compile``."""
    model = training.compiled_unet(config)
    options = {"optimizer": optimizer or keras.optimizers.Adam(1e-3), "loss": PixelLoss(), "jit_compile": False} | options
    model.compile(**options)
    return model.train_on_batch


def forward_only(config):
    predict = prediction.predict_function(training.compiled_unet(config))
    return lambda images, masks: predict(images)


VARIANTS = {
    "as it is": as_it_is,
    "Keras's own normalisation": keras_normalisation,
    "no normalisation": lambda config: as_it_is(config, normalisation=False),
    "nearest instead of transposed": lambda config: as_it_is(config, upsampling="nearest"),
    "no dropout": lambda config: as_it_is(config, dropout=0.0),
    "no Dice and IoU while training": compiled_otherwise,
    "… and SGD instead of Adam": lambda config: compiled_otherwise(config, keras.optimizers.SGD(1e-3)),
    "… and Adam every fourth batch": lambda config: compiled_otherwise(
        config, keras.optimizers.Adam(1e-3, gradient_accumulation_steps=4)
    ),
    "… and compiled by XLA": lambda config: compiled_otherwise(config, jit_compile=True),
    "prediction only": forward_only,
}

if __name__ == "__main__":
    main()
