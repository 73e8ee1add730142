"""A trained network on images of your own: masks, separate objects and their measurements.

from segmentation import segment
found = segment(image, "runs/dsb/2026-01-31-120000/model.keras")
found.mask, found.objects, found.probability, found.measurements
"""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from config import Config
from data import Sample, prepare, to_channels
from devices import fast_precision, in_precision, list_gpus
from metrics import foreground, to_mask
from objects import Watershed, candidates, divide
from prediction import openvino_function, predict_function, predict_transforms, remembering, resize
from readers.images import as_image
from scores.measurements import measure_objects
from scores.quality import LIMITS, flags, measure_quality
from system.backend import keras
from system.files import read_json
from tiles import pad, round_up

DEFAULT_TTA = 2  # of an image, whose mean is taken; 8 are four times the work (what they bring: benchmarks/README.md)
SCALES = (0.125, 8)  # by which images are scaled at most
LOOKED_AT = 1024  # px in height and width that are looked at to find the scale, or why nothing is found
LOOKS, NEAR = 3, 1.2  # at most, for the scale; a factor that is near enough
LARGEST = 2**28  # px to which an image is enlarged of itself, for want of memory
SIZES = (0.125, 0.25, 0.5, 2, 4, 8)  # times the training's diameter, tried for a blank image
EXCHANGE = {False: "try it with --invert.", True: "try it without --invert."}
IMPLAUSIBLE = {"almost full", "low contrast", "in doubt", "unstable", "small objects", "large objects"}
NEEDED = ("training", "training_data", "scores")  # in a model card


class Network(NamedTuple):
    """A trained network: a compiled function (see ``prediction.predict_function``), its settings and its model card."""

    predict: object
    config: Config
    card: dict


class Segmentation(NamedTuple):
    """What is found in an image.

    ``mask``: uint8 (H, W), 255 in objects, else 0. ``objects``: int32 (H, W), their numbers, 0 background. ``probability`` of
    foreground: float32 (H, W), 0 to 1. ``measurements``: DataFrame of ``measurements.measure_objects``. ``quality``:
    dictionary of ``quality.measure_quality``, with ``scale``, the factor by which the image was enlarged for the network.
    """

    mask: np.ndarray
    objects: np.ndarray
    probability: np.ndarray
    measurements: pd.DataFrame
    quality: dict


def open_network(path, engine="keras"):
    """Open ``model.keras`` of a run, with the model card ``model.json`` beside it, as a Network.

    ``engine``: what computes it, "keras" or "openvino". Nothing that the file may carry is executed (Keras's safe mode).
    Raises ValueError that names the file for one that is no network of this program, and for a network with more than two
    classes, which has no objects to number.
    """
    path = Path(path)
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ValueError(f"{needed}: is not there; a network is a .keras file with its model card (.json) beside it.")
    card = read_json(card_path)
    no_card = f"{card_path}: not a model card, which train_and_predict.py writes beside each network."
    if not isinstance(card, dict) or not all(isinstance(card.get(name), dict) for name in NEEDED):
        raise ValueError(no_card)
    if "configuration" not in card["training"]:
        raise ValueError(no_card)
    config = Config.from_json(card["training"]["configuration"], card_path)
    if config.classes > 2:
        raise ValueError(f"{path}: tells {config.classes} classes apart; objects are found by networks with two.")
    if not isinstance(card.get("threshold"), float):
        raise ValueError(no_card)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: cannot be opened as a network (no .keras file); truncated, or not written by Keras?")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras, HDF5 and zip files have their own exceptions; all mean the same to the user
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: cannot be opened as a network ({reason}); truncated, or not written by Keras?") from error
    maps = config.network_classes if config.network_classes > 2 else 1 + config.distance
    shapes = [*model.inputs, *model.outputs]
    if [tuple(end.shape) for end in shapes] != [(None, None, None, config.channels), (None, None, None, maps)]:
        raise ValueError(f"{path}: another network than its model card {card_path} describes; were they mixed up?")
    if engine == "openvino":
        return Network(openvino_function(in_precision(model, "float32"), fast_precision([])), config, card)
    return Network(predict_function(in_precision(model, fast_precision(list_gpus("auto")))), config, card)


def segment(image, model, *, pixel_size=None, diameter="auto", tta=DEFAULT_TTA, invert=False):
    """Find the objects of an image: a Segmentation.

    ``image``: (H, W) or (H, W, C) of any size, 8 or 16 bits or fractions. ``model``: a Network of ``open_network``, or the
    path of its file. ``pixel_size``: µm per px, for measurements in µm. ``diameter``: expected diameter of the objects in
    px, to which the image is scaled for the network; "auto" takes it from a first look. ``tta``: 1 to 8 mirrored and
    turned tta of the image whose mean is taken. ``invert``: show dark as bright to the network; intensities are measured
    as they are. Raises ValueError for an image of other dimensions, for pixels that are not numbers, for sizes and tta
    that cannot be, and for a diameter when the model card does not say how large the training's objects were.
    """
    network = model if isinstance(model, Network) else open_network(model)
    if isinstance(image, str | Path):
        raise ValueError(f"{image}: segment takes the pixels of an image; read it first, as with imageio or tifffile.")
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.shape[2:] > (max(4, network.config.channels),):
        raise ValueError(
            f"image: has the shape {image.shape}, expected (height, width) or (height, width, colours). Of a volume give "
            "one slice at a time, of many channels the one that shows the objects."
        )
    for name, value in (("pixel_size", pixel_size), ("diameter", None if diameter == "auto" else diameter)):
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name} is {value}; it must be above 0.")
    image = as_image(image, "image")
    sample = Sample("image", inverted(image) if invert else image, np.zeros(image.shape[:2], np.uint8))
    network = network._replace(predict=remembering(network.predict))  # the first look is the first view, if it changes nothing
    scale = find_scale(sample, network, diameter)
    objects, probability, masks = number_objects(sample, network, scale, tta)
    found, mask = foreground(probability), (objects > 0).astype(np.uint8)
    gray = to_channels(image, 1)[..., 0] if image.shape[2] == 3 else image[..., 0]
    measurements = measure_objects(objects, pixel_size, gray)
    usual = network.card["training_data"].get("object_diameter")
    quality = measure_quality(gray, found, mask, masks, measurements, usual and usual["median"] / scale)
    return Segmentation(mask * np.uint8(255), objects, found, measurements, quality | {"scale": scale})


def number_objects(sample, network, scale=1.0, tta=DEFAULT_TTA, limits=None, multiple=1):
    """The objects of a Sample: their numbers, int32 (H, W); the probability (H, W, maps); masks of two tta, or None.

    ``scale``: enlarges the image for the network. ``limits``: intensities that it sees as 0 and 1, if not those of the image.
    ``multiple``: of how many px the network is shown, by reflection at the bottom and the right.
    """
    probability, masks = _predict(sample, network, scale, tta, limits, multiple)
    how = _separation(network, probability, scale)
    return divide(to_mask(probability, network.card["threshold"]), probability, how), probability, masks


def check_diameter(network, diameter):
    """Raise ValueError for an expected diameter when the model card does not say how large the training's objects were."""
    if diameter not in (None, "auto") and not network.card["training_data"].get("object_diameter"):
        raise ValueError("the model card does not say how large the training's objects were; leave --diameter out.")


def find_scale(sample, network, diameter, limits=None):
    """The factor that makes objects of a diameter (px) as large as those of the training.

    "auto" looks at the middle of the image, up to ``LOOKS`` times, for the diameter that half of the found area exceeds, and
    brings it between the training's small and large ones: halfway from its median to the lowest and the highest. 1 for None,
    when nothing is found, and for "auto" when the model card does not say how large the training's objects were; for a
    diameter in px, that raises ValueError. ``limits``: as in ``number_objects``.
    """
    check_diameter(network, diameter)
    usual = network.card["training_data"].get("object_diameter")
    if diameter is None or not usual:
        return 1.0
    if diameter != "auto":
        return float(np.clip(usual["median"] / diameter, *SCALES))
    image, scale = _middle(sample.image, LOOKED_AT), 1.0
    part = Sample(sample.name, image, np.zeros(image.shape[:2], np.uint8))
    small, large = (np.sqrt(usual["median"] * usual[end]) for end in ("low", "high"))
    lowest, highest = SCALES[0], min(SCALES[1], max(1.0, np.sqrt(LARGEST / sample.mask.size)))
    for _ in range(LOOKS):
        found = _look(part, network, scale, limits or sample.limits)
        wanted = np.clip(np.clip(found * scale, small, large) / found, lowest, highest) if found else scale
        if 1 / NEAR <= wanted / scale <= NEAR:
            break
        scale = float(wanted)
    return scale


def _look(sample, network, scale, limits):
    """The diameter (px) that half of the area found in a Sample exceeds; None when nothing is found."""
    probability, _ = _predict(sample, network, scale, 1, limits)
    how = _separation(network, probability, scale)._replace(minimum_area=1)
    areas = np.bincount(divide(to_mask(probability, network.card["threshold"]), probability, how).ravel())[1:]
    if not len(areas):
        return None
    areas = np.sort(areas)
    return 2 * np.sqrt(areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)] / np.pi)


def _predict(sample, network, scale, tta, limits, multiple=1):
    """Mean probability (H, W, maps) of some tta, and the masks (h, w) of the first and the last one, None of a single one."""
    config = network.config.replace(tta=tta)
    height, width = sample.mask.shape
    image, mask = (pad(part, *(round_up(side, multiple) for side in (height, width))) for part in (sample.image, sample.mask))
    prepared = prepare(replace(sample, image=image, mask=mask), config.channels, config.image_scale * scale)
    total, first = None, None
    for view in predict_transforms(network.predict, prepared.image, limits or prepared.limits, config):
        last = to_mask(view, network.card["threshold"])
        first = last if first is None else first
        view /= np.float32(tta)  # in place, as the sum: large images fill the memory
        total = view if total is None else np.add(total, view, out=total)
    return resize(total, mask.shape)[:height, :width], (first, last) if tta > 1 else None


def _separation(network, probability, scale):
    """How the training divided objects, in px of an image that is shown to the network enlarged by ``scale``."""
    fitted = network.card["scores"].get("separation")
    how = Watershed(**fitted) if fitted else candidates(probability, (1,))[0]
    neck = how.strength / scale if probability.shape[-1] == 1 else how.strength
    return how._replace(strength=neck, minimum_area=max(1, round(how.minimum_area / scale**2)))


def explain_blank(image, network, diameter="auto", invert=False):
    """Why nothing was found in an image (H, W, C), and what to try: one sentence. Looks at the middle of large images."""
    image = as_image(np.asarray(image), "image")
    if (image == image[:1, :1]).all():
        value = ", ".join(f"{number:g}" for number in np.unique(image[0, 0]))
        return f"Every pixel has the value {value}: the image is empty, or the wrong channel or page was exported."
    low, high = np.percentile(image, (1, 99.8))
    if low == high:
        return "Fewer than 0.2 % of the pixels differ from the background: nothing but a few bright pixels is there."
    for channel in range(image.shape[2]) if image.shape[2] > 1 else ():
        if np.isfinite(doubt(image[..., channel], network, diameter, invert)):
            return f"In a single colour there are objects: try --channel {channel + 1}."
    trials = {f"With dark and bright exchanged there are objects: {EXCHANGE[invert]}": (diameter, not invert)}
    if usual := network.card["training_data"].get("object_diameter") if diameter in (None, "auto") else None:
        sizes = [factor * usual["median"] for factor in SIZES]
        trials |= {f"At another scale there are objects: try --diameter {size:.0f}.": (size, invert) for size in sizes}
    doubts = {text: doubt(image, network, *how) for text, how in trials.items()}
    best = min(doubts, key=doubts.get)
    if np.isfinite(doubts[best]):
        return best
    found = segment(_middle(image, LOOKED_AT), network, diameter=diameter, tta=1, invert=invert)
    contrast = found.quality["contrast_to_noise"]
    if contrast < _limits(network)["low contrast"]:
        return f"The contrast is {contrast:.1f} times the noise, hardly more than noise alone has: is it the right channel?"
    highest = found.probability.max()
    if highest > network.card["threshold"]:
        return (
            "All that was found is too small or doubtful to count as an object: try --diameter with its size in px, and look "
            "at --probability."
        )
    return (
        f"The highest probability is {highest:.2f}, the threshold {network.card['threshold']:.2f}: nothing looks like the "
        "objects of the training. Is it the right channel? Otherwise train with images of your own."
    )


def doubt(image, network, diameter, invert):
    """The disagreement of two tta of the middle of an image (H, W, C); infinite where nothing credible is found.

    What a flag of ``IMPLAUSIBLE`` marks is not: noise, fragments.
    """
    usual = network.card["training_data"].get("object_diameter")
    side = LOOKED_AT * min(1.0, diameter / usual["median"]) if usual and diameter and diameter != "auto" else LOOKED_AT
    quality = segment(_middle(image, max(16, int(side))), network, diameter=diameter, invert=invert).quality
    if not quality["objects"] or set(flags(quality, _limits(network))) & IMPLAUSIBLE:
        return np.inf
    return quality["disagreement"]


def _middle(image, side):
    """The middle of an image (H, W, ...), at most ``side`` px high and wide."""
    return image[tuple(slice(max(0, (length - side) // 2), (length + side) // 2) for length in image.shape[:2])]


def _limits(network):
    return LIMITS | network.card.get("quality_limits", {})


def inverted(image):
    """An image (H, W, C) with dark and bright exchanged: its highest value minus it, of the same dtype."""
    return image.max() - image
