"""A trained network on images of your own: masks, separate objects and their measurements.

from segmentation import segment
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
from images import as_image, to_channels
from measurements import measure_objects
from metrics import foreground, to_mask
from objects import Separation, divide
from prediction import predict_function, predict_views, resize
from quality import measure_quality

SCALES = (0.125, 8)  # by which images are scaled at most


class Network(NamedTuple):
    """A trained network: a compiled function (see ``prediction.predict_function``), its settings and its model card."""

    predict: object
    config: Config
    card: dict


class Segmentation(NamedTuple):
    """What is found in an image.

    ``mask``: uint8 (H, W), 0 and 255. ``objects``: int32 (H, W), numbers of the objects, 0 background. ``probability`` of
    foreground: float32 (H, W), 0 to 1. ``measurements``: DataFrame of ``measurements.measure_objects``. ``quality``:
    dictionary of ``quality.measure_quality``, with ``scale``, the factor by which the image was enlarged for the network.
    """

    mask: np.ndarray
    objects: np.ndarray
    probability: np.ndarray
    measurements: pd.DataFrame
    quality: dict


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


def segment(image, model, *, pixel_size=None, diameter=None, views=2):
    """Find the objects of an image: a Segmentation.

    ``image``: (H, W) or (H, W, C) of any size, 8 or 16 bits or fractions. ``model``: a Network of ``open_network``, or the
    path of its file. ``pixel_size``: µm per px, for measurements in µm. ``diameter``: expected diameter of the objects in
    px, to which the image is scaled; "auto" takes it from a first segmentation. ``views``: 1 to 8 mirrored and turned views
    of the image whose mean is taken. Raises ValueError for an image of other dimensions, and for pixels that are not
    numbers.
    """
    network = model if isinstance(model, Network) else open_network(model)
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"image: has {image.ndim} dimensions, expected (height, width) or (height, width, channels).")
    sample = Sample("image", as_image(image, "image"), np.zeros(image.shape[:2], np.uint8))
    if diameter == "auto":
        first = _segment(sample, network, 1.0, pixel_size, views)
        usual = network.card["training_data"].get("object_diameter")
        diameter = first.quality["diameter"]
        if not (usual and diameter) or usual["low"] <= diameter <= usual["high"]:
            return first
    return _segment(sample, network, scale_for(network, diameter), pixel_size, views)


def scale_for(network, diameter):
    """The factor that makes objects of a diameter (px) as large as those of the training; 1 for None.

    Raises ValueError where the model card does not say how large those were.
    """
    usual = network.card["training_data"].get("object_diameter")
    if diameter and not usual:
        raise ValueError("the model card does not say how large the training's objects were; leave --diameter out.")
    return float(np.clip(usual["median"] / diameter, *SCALES)) if diameter else 1.0


def _segment(sample, network, scale, pixel_size, views):
    config = network.config.replace(views=views)
    prepared = prepare(sample, config.channels, config.image_scale * scale)
    threshold, probability, masks = network.card["threshold"], 0, []
    for number, view in enumerate(predict_views(network.predict, prepared.image, prepared.limits, config)):
        probability += view / np.float32(views)
        if number in (0, views - 1):
            masks.append(to_mask(view, threshold))
    probability = resize(probability, sample.mask.shape)
    mask = to_mask(probability, threshold)
    how = Separation(**network.card["scores"].get("separation") or {"strength": 1.0})
    objects, found = divide(mask, probability, how), foreground(probability)
    gray = to_channels(sample.image, 1) if sample.image.shape[2] == 3 else sample.image
    measurements = measure_objects(objects, pixel_size, gray[..., 0])
    usual = network.card["training_data"].get("object_diameter") or {"median": None}
    quality = measure_quality(gray[..., 0], found, masks, measurements, usual["median"]) | {"scale": scale}
    return Segmentation(mask * np.uint8(255), objects, found, measurements, quality)


def explain_blank(image, network):
    """Why nothing was found in an image (H, W, C), and what to try: one sentence."""
    gray = image.astype(np.float32)
    if gray.max() == gray.min():
        return f"Every pixel has the value {gray.max():g}: the image is empty, or the wrong channel or page was exported."
    low, high = np.percentile(gray, (1, 99.8))
    if low == high:
        return "Fewer than 0.2 % of the pixels differ from the background: nothing but a few bright pixels is there."
    if segment(inverted(image), network, views=1).quality["objects"]:
        return "In the inverted image there are objects: try --invert."
    usual = network.card["training_data"].get("object_diameter")
    for factor in (0.5, 2.0) if usual else ():
        if segment(image, network, diameter=usual["median"] * factor, views=1).quality["objects"]:
            return f"At another scale there are objects: try --diameter {usual['median'] * factor:.0f}."
    highest = segment(image, network, views=1).probability.max()
    return (
        f"The highest probability is {highest:.2f}, the threshold {network.card['threshold']:.2f}: nothing looks like the "
        "objects of the training. Is it the right channel? Otherwise train with images of your own."
    )


def inverted(image):
    """An image with dark and bright exchanged: its highest value minus it, of the same dtype."""
    return image.max() - image
