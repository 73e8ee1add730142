"""Measure what batch normalisation costs at prediction: images of 256x256 px per second, with it and without it.

"Without": it is multiplied into the convolutions, as prediction does it.

python benchmarks/normalisation.py
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import devices
import prediction
from benchmarks.network import SIDE, median_seconds
from maps import OutputMaps
from system.backend import keras
from unet import build_unet


def main():
    import tensorflow as tf

    print("| filters | precision | batch | with it, images/s | without, images/s | ratio |\n|---|---|---|---|---|---|")
    signature = [tf.TensorSpec((None, None, None, 1), tf.float32)]
    for precision in ("float32", "bfloat16"):
        devices.set_precision(precision, [])
        for filters, batch in ((64, 2), (16, 1), (16, 2), (16, 8)):
            model = build_unet(maps=OutputMaps(distance=True), filters=filters)
            plain = keras.Model(model.inputs, model.outputs)
            usual = tf.function(lambda images, plain=plain: plain(images, training=False), input_signature=signature)
            folded = prediction.predict_function(model)
            images = np.random.default_rng(0).random((batch, SIDE, SIDE, 1), dtype=np.float32)
            before = batch / median_seconds(lambda usual=usual, images=images: usual(images).numpy())
            after = batch / median_seconds(lambda folded=folded, images=images: folded(images))
            print(f"| {filters} | {precision} | {batch} | {before:.1f} | {after:.1f} | {after / before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
