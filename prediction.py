"""Predict the probabilities of images of any size with a trained network.

The network becomes one compiled function of a batch. Large images are predicted in overlapping tiles, which are blended.
"""

import itertools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import tiles
from config import Config
from data import Sample, normalise
from devices import fast_precision, in_precision, list_gpus, without_normalisation
from system.arrays import StoredArrays
from system.backend import keras
from system.files import read_json
from system.paths import SHIPPED
from system.progress import progress
from unet import reach

TRANSFORMS = list(itertools.product((1, -1), range(4)))  # for test-time augmentation: (mirrored or not, quarter turns)
OPENVINO_NAMES = {"float32": "f32", "bfloat16": "bf16"}
BLEND_WIDTH = 32  # px over which two tiles are blended, beside the margins that a tile predicts wrongly
NEEDED = ("training", "training_data", "scores")  # parts of a model card
Predict = Callable[[NDArray], NDArray[np.float32]]  # a network as a function of a batch, see ``predict_function``


class Network(NamedTuple):
    """A trained network: a compiled function (see ``prediction.predict_function``), its settings and its model card."""

    predict: Predict
    config: Config
    card: dict


def open_network(path: str | Path, engine: str = "keras") -> Network:
    """Open ``model.keras`` of a run, with the model card ``model.json`` beside it.

    ``path`` of the file, or the name of a shipped network, such as "nuclei". ``engine``: the software that computes the
    network, "keras" or "openvino". No code in the file is executed (Keras's safe mode). Raises ValueError that names the file
    if this program did not write it.
    """
    path = Path(SHIPPED.get(str(path), path))
    card_path = path.with_suffix(".json")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected a network, which is a .keras file. Name the file in this folder.")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ValueError(
                f"{needed}: is not there; a network is a .keras file with its model card (.json) beside it, or the name of "
                f"a shipped one: {', '.join(SHIPPED)}."
            )
    card, config = _read_card(card_path)
    model = _load_model(path)
    ends = [tuple(end.shape) for end in (*model.inputs, *model.outputs)]
    if ends != [(None, None, None, config.channels), (None, None, None, config.maps.count)]:
        raise ValueError(f"{path}: its model card {card_path} describes another network; were the files mixed up?")
    if engine == "openvino":
        return Network(openvino_function(in_precision(model, "float32"), fast_precision([])), config, card)
    return Network(predict_function(in_precision(model, fast_precision(list_gpus("auto")))), config, card)


def _read_card(path):
    """Return a model card and the configuration in it. Raises ValueError if the file holds something else."""
    card = read_json(path)
    complete = isinstance(card, dict) and all(isinstance(card.get(name), dict) for name in NEEDED)
    if not complete or "configuration" not in card["training"] or not isinstance(card.get("threshold"), float):
        raise ValueError(f"{path}: is no model card; train_and_predict.py writes one beside each network.")
    return card, Config.from_json(card["training"]["configuration"], path)


def _load_model(path):
    """Load a Keras model. Raises ValueError that names the file if that fails."""
    cause = "Is the file truncated, or was it not written by Keras?"
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: cannot be opened as a network (it is no .keras file). {cause}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras, HDF5 and zip files have their own exceptions; all mean the same to the user
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: cannot be opened as a network ({reason}). {cause}") from error


def predict_samples(
    model: keras.Model,
    samples: Sequence[Sample],
    originals: Sequence[Sample],
    config: Config,
    description: str = "Predicting",
    folder: Path | None = None,
) -> Sequence[NDArray[np.float32]]:
    """Return the probabilities of every sample at the height and width of its original: list of float32 (H, W, maps), 0 to 1.

    ``samples``: the images that the network sees (perhaps scaled). ``originals``: the same images as they were read.
    ``folder``: where the probabilities are kept, so that memory holds one image; None keeps them in memory.
    """
    predict = predict_function(model)
    probabilities = [] if folder is None else StoredArrays(folder)
    for sample, original in zip(progress(samples, description, "image"), originals, strict=True):
        probability = predict_image(predict, sample.image, sample.limits, config)
        probabilities.append(resize(probability, original.mask.shape))
    return probabilities


def predict_image(predict: Predict, image: NDArray, limits: tuple[float, float], config: Config) -> NDArray[np.float32]:
    """Return the probabilities of one image (H, W, C) of any size: float32 (H, W, maps), 0 to 1.

    They are the mean over the first ``config.tta`` of the eight ways to turn and mirror an image. An image larger than
    ``config.prediction_tile`` is predicted in overlapping tiles, with the same result as one large tile up to rounding.
    ``predict``: see ``predict_function``. ``limits``: intensities that the network sees as 0 and 1.
    """
    total = 0
    for probability in predict_transforms(predict, image, limits, config):
        total += probability / np.float32(config.tta)
    return total


def predict_transforms(
    predict: Predict, image: NDArray, limits: tuple[float, float], config: Config
) -> Iterator[NDArray[np.float32]]:
    """Yield the probabilities of the first ``config.tta`` ways to turn and mirror an image, turned back to its place."""
    margin = reach(config.depth, config.upsampling)
    for flip, turns in TRANSFORMS[: config.tta]:
        probability = tiles.predict_tiled(
            lambda batch: predict(normalise(batch, limits)),  # tile by tile: a whole image in float32 needs much memory
            np.rot90(image[::flip], turns),
            tile=config.prediction_tile,
            overlap=2 * margin + BLEND_WIDTH,
            margin=margin,
            multiple=2**config.depth,
            blend=config.blend,
        )
        yield np.rot90(probability, -turns)[::flip]


def predict_function(model: keras.Model) -> Predict:
    """Return a model as a compiled function of a batch: (N, h, w, C) -> float32 (N, h', w', maps).

    The function computes on one device. A model made for several GPUs would give every GPU the whole batch, so the layers
    are copied.
    """
    plain = without_normalisation(model)
    if keras.backend.backend() != "tensorflow":
        return lambda batch: np.asarray(plain.predict_on_batch(batch), np.float32)
    import tensorflow as tf

    compiled = _graph(plain)
    return lambda batch: np.asarray(compiled(tf.constant(batch, tf.float32)), np.float32)


def openvino_function(model: keras.Model, precision: str) -> Predict:
    """Return a function like ``predict_function`` for a float32 network; OpenVINO computes it on the CPU in ``precision``.

    Raises ValueError if OpenVINO is missing, or if Keras does not run on TensorFlow, from which OpenVINO reads the network.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"--engine openvino needs Keras on TensorFlow; found KERAS_BACKEND={keras.backend.backend()}. Unset KERAS_BACKEND."
        )
    try:
        import openvino
    except ImportError as error:
        raise ValueError(
            "--engine openvino: OpenVINO is not installed; pip install --no-deps -r requirements-exchange.txt"
        ) from error
    # If the package openvino-telemetry is installed too, OpenVINO sends usage data to its makers: hence --no-deps.
    network = openvino.convert_model(_graph(without_normalisation(model)))
    how = {"INFERENCE_PRECISION_HINT": OPENVINO_NAMES[precision], "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(network, "CPU", how)
    return lambda batch: compiled(np.asarray(batch, np.float32))[0].copy()  # the next call overwrites the returned array


def remembering(predict: Predict) -> Predict:
    """Return the same function of a batch, which returns a stored result if a batch equals the last one."""
    last = [None, None]

    def remembered(batch):
        if last[0] is None or not np.array_equal(last[0], batch):
            last[:] = batch, predict(batch)
        return last[1].copy()

    return remembered


def _graph(model):
    """Return a model as one TensorFlow graph for every size: predict_on_batch would trace many graphs, and warn of it."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.float32)]
    return tf.function(lambda batch: model(batch, training=False), input_signature=signature).get_concrete_function()


def check_prediction_tile(config: Config) -> None:
    """Raise ValueError if a prediction tile is too small for its overlap with the tiles on both sides."""
    least = tiles.round_up(2 * (2 * reach(config.depth, config.upsampling) + BLEND_WIDTH), 2**config.depth)
    if config.prediction_tile < least:
        raise ValueError(f"--prediction-tile {config.prediction_tile} is too small; --depth {config.depth} needs {least}.")


def resize(probability: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return probabilities (h, w, maps) at another height and width ``shape``: float32 (H, W, maps)."""
    if probability.shape[:2] == shape:
        return probability
    resized = cv2.resize(probability, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*shape, probability.shape[-1])
