"""Probabilities for whole images of any size from a trained network, through one compiled call."""

import itertools

import cv2
import numpy as np
from tqdm import tqdm

import tiles
from data import normalise
from system.backend import keras
from unet import reach

TRANSFORMS = list(itertools.product((1, -1), range(4)))  # mirrored or not, quarter turns
OPENVINO_NAMES = {"float32": "f32", "bfloat16": "bf16"}
BLEND_WIDTH = 32  # px over which two tiles fade into each other, beyond what neither can know


def predict_samples(model, samples, originals, config, description="Predicting"):
    """Probabilities of every sample at its original's height and width: list of float32 (H, W, maps).

    ``samples`` are what the network sees (scaled, perhaps), ``originals`` the same images as read.
    """
    predict = predict_function(model)
    probabilities = []
    for sample, original in zip(tqdm(samples, desc=description, unit="image", disable=None), originals, strict=True):
        probability = predict_image(predict, sample.image, sample.limits, config)
        probabilities.append(resize(probability, original.mask.shape))
    return probabilities


def predict_image(predict, image, limits, config):
    """Probabilities of one image (H, W, C) of any size: float32 (H, W, maps).

    ``predict``: see ``predict_function``; ``limits``: see ``data.normalise``. An image larger than
    ``config.prediction_tile`` is predicted in overlapping tiles, which give what one large tile would give. The mean
    over ``config.tta`` of the eight ways to turn and mirror an image.
    """
    total = 0
    for view in predict_transforms(predict, image, limits, config):
        total += view / np.float32(config.tta)
    return total


def predict_transforms(predict, image, limits, config):
    """The probabilities of each of the first ``config.tta`` tta of an image, turned back: a generator, see above."""
    margin = reach(config.depth, config.upsampling)
    for flip, turns in TRANSFORMS[: config.tta]:
        probability = tiles.predict_tiled(
            lambda batch: predict(normalise(batch, limits)),  # tile by tile: whole images in float32 need much memory
            np.rot90(image[::flip], turns),
            tile=config.prediction_tile,
            overlap=2 * margin + BLEND_WIDTH,
            margin=margin,
            multiple=2**config.depth,
            blend=config.blend,
        )
        yield np.rot90(probability, -turns)[::flip]


def predict_function(model):
    """A model as a compiled function of a batch: (N, h, w, C) -> float32 (N, h', w', maps).

    The layers are made anew: a model made for several GPUs would give every replica the whole batch.
    """
    plain = without_normalisation(model)
    if keras.backend.backend() != "tensorflow":
        return lambda batch: np.asarray(plain.predict_on_batch(batch), np.float32)
    import tensorflow as tf

    compiled = _graph(plain)
    return lambda batch: np.asarray(compiled(tf.constant(batch, tf.float32)), np.float32)


def openvino_function(model, precision):
    """As ``predict_function``, of a float32 network, computed by OpenVINO on the CPU in ``precision``.

    Raises ValueError where OpenVINO or TensorFlow, from which it takes the network, is missing.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"--engine openvino takes the network from TensorFlow; KERAS_BACKEND is {keras.backend.backend()}.")
    try:
        import openvino
    except ImportError as error:
        raise ValueError("--engine openvino: OpenVINO is not installed; pip install --no-deps openvino") from error
    # Where the package openvino-telemetry is installed, too, this reports to its makers: hence --no-deps.
    network = openvino.convert_model(_graph(without_normalisation(model)))
    how = {"INFERENCE_PRECISION_HINT": OPENVINO_NAMES[precision], "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(network, "CPU", how)
    return lambda batch: compiled(np.asarray(batch, np.float32))[0].copy()  # the next call overwrites what it returns


def remembering(predict):
    """A function of a batch, such as ``predict_function`` gives, that does not compute the batch again that it had last."""
    last = [None, None]

    def remembered(batch):
        if last[0] is None or not np.array_equal(last[0], batch):
            last[:] = batch, predict(batch)
        return last[1].copy()

    return remembered


def _graph(model):
    """A model as one TensorFlow graph for every size: predict_on_batch would trace many, and warn of it."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.float32)]
    return tf.function(lambda batch: model(batch, training=False), input_signature=signature).get_concrete_function()


def without_normalisation(model):
    """The same network for prediction, with each batch normalisation multiplied into the convolution before it."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = {layer.input._keras_history.operation.name: layer for layer in norms}

    def renew(layer):
        return type(layer).from_config(layer.get_config() | ({"use_bias": True} if layer.name in before else {}))

    def call(layer, *inputs, **options):
        return inputs[0] if isinstance(layer, keras.layers.BatchNormalization) else layer(*inputs, **options)

    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs), clone_function=renew, call_function=call)
    for layer in model.layers:
        weights = [keras.ops.convert_to_numpy(weight) for weight in layer.weights]
        if layer.name in before:
            gamma, beta, mean, variance = (keras.ops.convert_to_numpy(weight) for weight in before[layer.name].weights)
            factor = gamma / np.sqrt(variance + before[layer.name].epsilon)
            bias = weights[1] if len(weights) > 1 else 0
            weights = [weights[0] * factor, beta + (bias - mean) * factor]
        if layer not in norms:
            copy.get_layer(layer.name).set_weights(weights)
    return copy


def check_prediction_tile(config):
    """Raise ValueError when a prediction tile is too small to hold its overlap with both neighbours."""
    least = tiles.round_up(2 * (2 * reach(config.depth, config.upsampling) + BLEND_WIDTH), 2**config.depth)
    if config.prediction_tile < least:
        raise ValueError(f"--prediction-tile {config.prediction_tile} is too small; --depth {config.depth} needs {least}.")


def resize(probability, shape):
    """Probabilities (h, w, maps) at another height and width ``shape``: float32 (H, W, maps)."""
    if probability.shape[:2] == shape:
        return probability
    resized = cv2.resize(probability, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*shape, probability.shape[-1])
