"""A trained network on images of your own: masks, separate objects and their measurements.

from predict import segment
found = segment(image, "runs/dsb/2026-01-31-120000/model.keras")
found.mask, found.objects, found.probability, found.measurements
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from backend import keras
from config import Config
from data import Sample, prepare
from files import read_json
from images import as_image
from measurements import measure_objects
from metrics import foreground, to_mask
from objects import Separation, divide
from prediction import predict_function, predict_image, resize


class Network(NamedTuple):
    """A trained network: a compiled function (see ``prediction.predict_function``), its settings and its model card."""

    predict: object
    config: Config
    card: dict


class Segmentation(NamedTuple):
    """What is found in an image.

    ``mask``: uint8 (H, W), 0 and 255. ``objects``: int32 (H, W), numbers of the objects, 0 background. ``probability`` of
    foreground: float32 (H, W), 0 to 1. ``measurements``: DataFrame of ``measurements.measure_objects``.
    """

    mask: np.ndarray
    objects: np.ndarray
    probability: np.ndarray
    measurements: pd.DataFrame


def open_network(path):
    """Open ``model.keras`` of a run, with the model card ``model.json`` beside it, as a Network.

    Nothing that the file may carry is executed (Keras's safe mode). Raises ValueError that names the file for one that is
    no network of this program, and for a network with more than two classes, which has no objects to number.
    """
    path = Path(path)
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ValueError(f"{needed}: is not there; a network is a .keras file with its model card (.json) beside it.")
    card = read_json(card_path)
    if "training" not in card:
        raise ValueError(f"{card_path}: not a model card, which train_and_predict.py writes beside each network.")
    config = Config.from_json(card["training"]["configuration"], card_path)
    if config.classes > 2:
        raise ValueError(f"{path}: tells {config.classes} classes apart; objects are found by networks with two.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras, HDF5 and zip files have their own exceptions; all mean the same to the user
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{path}: cannot be opened as a network ({reason}); truncated, or not written by Keras?") from error
    return Network(predict_function(model), config, card)


def segment(image, model, pixel_size=None):
    """Find the objects of an image: a Segmentation.

    ``image``: (H, W) or (H, W, C) of any size, 8 or 16 bits or fractions. ``model``: a Network of ``open_network``, or the
    path of its file. ``pixel_size``: µm per px, for measurements in µm. Raises ValueError for an image of other
    dimensions, and for pixels that are not numbers.
    """
    network = model if isinstance(model, Network) else open_network(model)
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"image: has {image.ndim} dimensions, expected (height, width) or (height, width, channels).")
    sample = Sample("image", as_image(image, "image"), np.zeros(image.shape[:2], np.uint8))
    prepared = prepare(sample, network.config.channels, network.config.image_scale)
    probability = predict_image(network.predict, prepared.image, prepared.limits, network.config)
    probability = resize(probability, image.shape[:2])
    mask = to_mask(probability, network.card["threshold"])
    how = Separation(**network.card["scores"].get("separation") or {"strength": 1.0})
    objects = divide(mask, probability, how)
    return Segmentation(mask * np.uint8(255), objects, foreground(probability), measure_objects(objects, pixel_size))
