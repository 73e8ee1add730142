"""Measure the U-Net: images per second in training and prediction, compared with a plain matrix product; peak memory.

    python benchmarks/network.py                    filters 16, 32, 64; float32 and bfloat16; 256x256 px
    python benchmarks/network.py --filters 16       one of them
    python benchmarks/network.py --xla              compiled by XLA (Keras' jit_compile)

Each row is measured in its own process, so that its peak memory is right. Rates are medians.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SIDE, REPEATS = 256, 7
HEADER = "| filters | precision | batch | train images/s | of matrix product | predict images/s | of matrix product | `predict()`, one image/s | peak GiB |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 32, 64], help="of the networks (default: 16 32 64)")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], help="default: float32 bfloat16")
    parser.add_argument("--batch", type=int, nargs="+", default=[2, 8], help="images in a batch (default: 2 8)")
    parser.add_argument("--xla", action="store_true", help="compile with XLA")
    parser.add_argument("--one", nargs=3, metavar=("FILTERS", "PRECISION", "BATCH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(measure(int(given.one[0]), given.one[1], int(given.one[2]), given.xla))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {SIDE}x{SIDE} px\n\n{HEADER}")
    print("|---" * (HEADER.count("|") - 1) + "|", flush=True)
    for filters in given.filters:
        for precision in given.precision:
            for batch in given.batch:
                row = [sys.executable, __file__, "--one", str(filters), precision, str(batch)]
                finished = subprocess.run(row + ["--xla"] * given.xla, capture_output=True, text=True)
                print(finished.stdout.strip() or finished.stderr[-300:], flush=True)


def measure(filters, precision, batch, xla):
    """Return a row of the table."""
    import numpy as np

    import devices
    import training
    from config import Config
    from system.backend import keras

    devices.set_precision(precision, [])
    product = matrix_product_rate(precision)
    model = training.compiled_unet(Config(filters=filters), on_gpu=xla)
    images = np.random.default_rng(0).random((batch, SIDE, SIDE, 1), dtype=np.float32)
    masks = (images > 0.5).astype(np.uint8)
    train = batch / median_seconds(lambda: model.train_on_batch(images, masks))
    predict = batch / median_seconds(lambda: model.predict_on_batch(images))
    single = 1 / median_seconds(lambda: model.predict(images[:1], verbose=0))
    work = multiplications(model) * 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    shares = 3 * work * train / product, work * predict / product  # the backward pass costs twice the forward one
    keras.backend.clear_session()
    return (
        f"| {filters} | {precision} | {batch} | {train:.1f} | {shares[0]:.0%} | {predict:.1f} | {shares[1]:.0%} "
        f"| {single:.1f} | {peak:.1f} |"
    )


def matrix_product_rate(precision, side=2048):
    """Return the floating-point operations per second of a square matrix product."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.normal((side, side)), precision)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)[0]))
    return 2 * side**3 / median_seconds(lambda: product().numpy())


def multiplications(model):
    """Count the multiplications of all convolutions for one image."""
    total, shapes = 0, {}
    for layer in model.layers:
        before = [shapes[tensor._keras_history.operation.name] for tensor in _inputs(layer)]
        if not before:
            shapes[layer.name] = (1, SIDE, SIDE, model.input_shape[-1])
            continue
        shapes[layer.name] = layer.compute_output_shape(before if len(before) > 1 else before[0])
        if hasattr(layer, "kernel"):
            transposed = type(layer).__name__ == "Conv2DTranspose"
            _, height, width, _ = before[0] if transposed else shapes[layer.name]
            total += int(layer.kernel.shape.num_elements()) * height * width
    return total


def _inputs(layer):
    inputs = layer.input if type(layer).__name__ != "InputLayer" else []
    return inputs if isinstance(inputs, list) else [inputs]


def median_seconds(action):
    """Return the median time of an action, after two runs to warm up."""
    seconds = []
    for _ in range(REPEATS + 2):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[2:])[REPEATS // 2]


if __name__ == "__main__":
    main()
