"""Compare engines at prediction: images of 256x256 px per second by the same network, in turns in one process.

    pip install onnx onnxruntime tf2onnx && pip install --no-deps openvino
    python benchmarks/engines.py                    filters 16 and 64

TensorFlow and OpenVINO run as predict.py calls them. ONNX Runtime gets the network that ``keras.Model.export`` writes. In all
of them, batch normalisation is multiplied into the convolutions. OpenVINO is told its precision, because by default it uses
bfloat16 if the processor has it. "error": the largest difference of a probability from TensorFlow's in float32.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import devices
import prediction
from system.backend import keras
from unet import build_unet

SIDE, ROUNDS, STEPS = 256, 5, 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filters", type=int, nargs="+", default=[16, 64], help="of the networks (default: 16 64)")
    parser.add_argument("--batch", type=int, nargs="+", default=[2, 8], help="images in a batch (default: 2 8)")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores\n")
    print(
        "| filters | batch | engine | precision | images/s | of TensorFlow's in that precision | error |\n|---|---|---|---|---|---|---|"
    )
    for filters in given.filters:
        for batch in given.batch:
            measure(filters, batch)


def measure(filters, batch):
    """Print a row for every engine."""
    images = np.random.default_rng(0).random((batch, SIDE, SIDE, 1), dtype=np.float32)
    devices.set_precision("float32", [])
    keras.utils.set_random_seed(0)
    model = build_unet(filters=filters)
    engines = {
        ("TensorFlow", "float32"): prediction.predict_function(model),
        ("TensorFlow", "bfloat16"): prediction.predict_function(devices.in_precision(model, "bfloat16")),
        ("ONNX Runtime", "float32"): onnx_function(devices.without_normalisation(model), images.shape),
        ("OpenVINO", "float32"): prediction.openvino_function(model, "float32"),
        ("OpenVINO", "bfloat16"): prediction.openvino_function(model, "bfloat16"),
    }
    results = {name: predict(images) for name, predict in engines.items()}  # warm
    rates = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, predict in engines.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                predict(images)
            rates[name].append(STEPS * batch / (time.perf_counter() - start))
    for (engine, precision), values in rates.items():
        ratio = np.median(np.divide(values, rates["TensorFlow", precision]))
        error = np.abs(results[engine, precision] - results["TensorFlow", "float32"]).max()
        print(
            f"| {filters} | {batch} | {engine} | {precision} | {np.median(values):.2f} | {ratio:.2f} | {error:.1g} |",
            flush=True,
        )


def onnx_function(model, shape):
    """Return the network as a function of a batch of a fixed shape, computed by ONNX Runtime."""
    import onnxruntime

    signature = [keras.InputSpec(shape=shape, dtype="float32", name="image")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        model.export(path, format="onnx", input_signature=signature, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


if __name__ == "__main__":
    main()
