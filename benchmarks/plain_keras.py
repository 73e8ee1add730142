"""Compare the U-Net with 31 million parameters as this repository runs it with the same network in plain Keras, float32.

python benchmarks/plain_keras.py

Tiles of 256x256 px, batches of 2, both in turns in one process. Plain Keras: its layers, Adam and cross-entropy,
``train_on_batch`` and ``predict_on_batch``, without XLA, which is slower on a CPU. Here: ``training.compiled_unet`` and
``prediction.predict_function`` with the loss and the metrics of a run, in the precision of --precision auto.
"""

import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import devices
import prediction
import training
from benchmarks.network import matrix_product_rate, multiplications
from config import Config
from system.backend import keras
from unet import build_unet

BATCH, SIDE, ROUNDS, STEPS = 2, 256, 5, 3


def main():
    images = np.random.default_rng(0).random((BATCH, SIDE, SIDE, 1), dtype=np.float32)
    masks = (images > 0.5).astype(np.uint8)
    devices.set_precision("float32", [])
    plain = build_unet()
    plain.compile(keras.optimizers.Adam(), "binary_crossentropy", jit_compile=False)
    precision = devices.set_precision("auto", [])
    ours = training.compiled_unet(Config(filters=64))
    predict = prediction.predict_function(ours)
    actions = {
        ("train", "plain"): lambda: plain.train_on_batch(images, masks),
        ("train", "here"): lambda: ours.train_on_batch(images, masks),
        ("predict", "plain"): lambda: plain.predict_on_batch(images),
        ("predict", "here"): lambda: predict(images),
    }
    rates = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(ROUNDS):
        for name, action in actions.items():
            rates[name].append(rate(action))
    product = {name: round(matrix_product_rate(name) / 1e9) for name in dict.fromkeys(("float32", precision))}
    print(f"{platform.processor() or platform.machine()}, here in {precision}; matrix products: {product} GFLOP/s\n")
    print("| | plain Keras float32, images/s | of the matrix product | here, images/s | of the matrix product | ratio |")
    print("|---" * 6 + "|")
    for kind, work in (("train", 6), ("predict", 2)):  # operations per multiplication; a backward pass costs two forward ones
        before, after = (float(np.median(rates[kind, name])) for name in ("plain", "here"))
        shares = [work * multiplications(plain) * r / product[p] / 1e9 for r, p in ((before, "float32"), (after, precision))]
        ratios = np.divide(rates[kind, "here"], rates[kind, "plain"])
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        print(f"| {kind} | {before:.2f} | {shares[0]:.0%} | {after:.2f} | {shares[1]:.0%} | {spread} |")


def rate(action):
    """Return the images per second of an action."""
    start = time.perf_counter()
    for _ in range(STEPS):
        action()
    return STEPS * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
