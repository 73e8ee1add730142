"""Find objects in images with a trained network: masks, numbered objects and their measurements.

from segmentation import segment
found = segment(image, "runs/dsb/2026-01-31-120000/model.keras")
found.mask, found.objects, found.probability, found.measurements
"""

import base64
import html
from pathlib import Path
from typing import NamedTuple

import imageio.v3 as iio
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

import figures
from data import check_image, intensities, intensity_limits, resize_image, to_channels
from objects import Watershed, candidates, classify_objects, find_objects
from prediction import Network, open_network, predict_transforms, remembering, resize
from readers.images import as_image
from scores.measurements import measure_objects
from scores.quality import LIMITS, RULES, flags, measure_quality
from tiles import pad, round_up

DEFAULT_TTA = 2  # predictions of an image that are averaged; 8 take four times as long (the gain: benchmarks/README.md)
SCALES = (0.125, 8)  # smallest and largest scale of an image
LOOKED_AT = 1024  # px, height and width of the part of an image that the search for the scale uses
LOOKS, NEAR = 3, 1.2  # most steps of this search; it ends earlier if the scale changes by less than this factor
AREA_SHARE = "area_share_class_"  # start of names in ``Segmentation.quality``
OVERVIEW = 600  # px, largest height and width of the picture that a Segmentation keeps
LARGEST = 2**28  # most px of an image that diameter="auto" enlarges, because memory is limited


class Segmentation(NamedTuple):
    """The result for one image.

    ``mask``: uint8 (H, W), 255 in objects, else 0. ``objects``: int32 (H, W), object numbers, 0 is background.
    ``probability`` of foreground: float32 (H, W), 0 to 1. ``measurements``: one row per object, see
    ``scores.measurements.measure_objects``. ``quality``: dictionary of ``scores.quality.measure_quality``, and ``scale``, the
    factor by which the image was enlarged for the network. ``flags``: names of the broken ``scores.quality.RULES``.
    ``overview``: a small picture of the image, uint8 (h, w, 3). ``classes``: the class of each pixel's object, uint8 (H, W), 0
    is background; None for a network with one class of objects. With classes, the measurements have a column ``class``.

    A terminal prints two lines of summary, a notebook shows the picture with outlines and a short table.
    """

    mask: NDArray[np.uint8]
    objects: NDArray[np.int32]
    probability: NDArray[np.float32]
    measurements: pd.DataFrame
    quality: dict
    flags: tuple[str, ...] = ()
    overview: NDArray[np.uint8] | None = None
    classes: NDArray[np.uint8] | None = None

    def summary(self) -> dict[str, str]:
        """Return the most important results as text: {name: text}."""
        height, width = self.mask.shape
        rows = {"objects": f"{len(self.measurements)} in {height} × {width} px"}
        if len(self.measurements):
            median = self.measurements.median(numeric_only=True)
            rows["median diameter"] = f"{median['equivalent_diameter']:.1f} px"
            if "equivalent_diameter_um" in median:
                rows["median diameter"] += f", {median['equivalent_diameter_um']:.2f} µm"
        if self.classes is not None:
            counts = self.measurements["class"].value_counts().sort_index()
            rows["classes"] = ", ".join(f"{count} of class {number}" for number, count in counts.items()) or "none"
        unchecked = " (stability was not checked: tta is 1)" * (self.quality.get("disagreement", 0) is None)
        return rows | {"flags": ("; ".join(f"{name} ({RULES[name].text})" for name in self.flags) or "none") + unchecked}

    def __repr__(self):
        *numbers, found = self.summary().items()
        return f"{', '.join(f'{name}: {text}' for name, text in numbers)}\n{found[0]}: {found[1]}"

    def drawn(self, image: NDArray | None = None, most: int | None = None) -> NDArray[np.uint8]:
        """Return a picture with the outlines of the objects, and with the colours of their classes if there are several.

        ``image``: (H, W, C), the overview if None. ``most``: largest height and width of the picture in px.
        """
        image = self.overview if image is None else image
        if self.classes is None:
            return figures.outlined(image, self.objects, most)
        names = [f"class {number}" for number in range(1, 1 + sum(name.startswith(AREA_SHARE) for name in self.quality))]
        return figures.with_legend(figures.class_overlay(image, self.classes, names, self.objects, most=most), names)

    def _repr_mimebundle_(self, include=None, exclude=None):
        rows = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in self.summary().items())
        page = f'<table style="text-align: left">{rows}</table>'
        if self.overview is not None:
            drawn = self.drawn()
            data = base64.b64encode(iio.imwrite("<bytes>", drawn, extension=".jpg", quality=90)).decode()
            style = f"width: {max(drawn.shape[1], OVERVIEW // 2)}px; max-width: 100%"
            page = f'<img alt="outlines of the objects" style="{style}" src="data:image/jpeg;base64,{data}">{page}'
        return {"text/plain": repr(self), "text/html": page}


def segment(
    image: ArrayLike,
    model: Network | str | Path = "nuclei",
    *,
    pixel_size: float | None = None,
    diameter: float | str | None = "auto",
    tta: int = DEFAULT_TTA,
    invert: bool = False,
) -> Segmentation:
    """Find the objects of an image.

    ``image``: (H, W) or (H, W, C) of any size, 8 or 16 bits or fractions. ``model``: a Network of ``open_network``, the path
    of its file, or the name of a shipped network. ``pixel_size``: µm per px, for measurements in µm. ``diameter``: expected
    diameter of the objects in px; the image is scaled so that they are as large as in the training. "auto" estimates the
    scale; None does not scale. ``tta``: test-time augmentation, the number of turned and mirrored copies of the image, 1 to 8,
    whose predictions are averaged. ``invert``: exchange dark and bright for the network; intensities are still measured in the
    original image.

    Raises ValueError for an image with other dimensions or with pixels that are not numbers, for an impossible pixel size,
    diameter or ``tta``, and for a diameter if the model card does not say how large the objects of the training were.
    """
    network = model if isinstance(model, Network) else open_network(model)
    _check_sizes(pixel_size, diameter)
    image = _checked_image(image, network.config.channels)
    shown = to_channels(image, network.config.channels, "image")
    shown = inverted(shown) if invert else shown
    network = network._replace(predict=remembering(network.predict))  # the search for the scale may compute the first one
    scale = find_scale(shown, network, diameter)
    objects, probability, turned = number_objects(shown, network, scale, tta)
    found, mask = network.config.maps.foreground(probability), (objects > 0).astype(np.uint8)
    gray = intensities(image) if image.shape[2] > 1 else image[..., 0]  # no copy: large images fill the memory
    measurements = measure_objects(objects, pixel_size, gray)
    classes = None
    if network.config.classes > 2:
        of_object = classify_objects(objects, network.config.maps.pixel_classes(probability))
        classes = of_object[objects]
        measurements.insert(1, "class", of_object[measurements["label"]])
    usual = network.card["training_data"].get("object_diameter")
    quality = measure_quality(gray, found, mask, turned, measurements, usual and usual["median"] / scale)
    raised = tuple(flags(quality, LIMITS | network.card.get("quality_limits", {})))
    overview = (figures.as_rgb(image, OVERVIEW) * 255).round().astype(np.uint8)
    quality |= {"scale": scale} | class_shares(classes, network.config.classes)
    return Segmentation(mask * np.uint8(255), objects, found, measurements, quality, raised, overview, classes)


def class_shares(classes: NDArray[np.uint8] | None, count: int) -> dict[str, float]:
    """Return the share of an image's area that each class of objects covers: {"area_share_class_1": 0 to 1, ...}."""
    if classes is None:
        return {}
    pixels = np.bincount(classes.ravel(), minlength=count)
    return {f"{AREA_SHARE}{number}": float(pixels[number] / classes.size) for number in range(1, count)}


def _checked_image(image, channels):
    """Return pixels as (H, W, C). Raises ValueError for a path, for other dimensions and for values that are not usable."""
    if isinstance(image, str | Path):
        raise ValueError(f"{image}: segment takes the pixels of an image; read the file first, as with imageio or tifffile.")
    image = np.asarray(image)
    if image.ndim not in (2, 3) or image.shape[2:] > (max(4, channels),):
        raise ValueError(
            f"image: has the shape {image.shape}, expected (height, width) or (height, width, colours). Of a volume give "
            "one slice at a time, of many channels the one that shows the objects."
        )
    image = as_image(image, "image")
    check_image("image", image)
    return image


def _check_sizes(pixel_size, diameter):
    for name, value in (("pixel_size", pixel_size), ("diameter", None if diameter == "auto" else diameter)):
        if isinstance(value, str):
            raise ValueError(
                f"{name} is {value!r}; it must be a number above 0" + (', "auto" or None.' if name == "diameter" else ".")
            )
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name} is {value}; it must be above 0.")


def number_objects(
    image: NDArray,
    network: Network,
    scale: float = 1.0,
    tta: int = DEFAULT_TTA,
    limits: tuple[float, float] | None = None,
    multiple: int = 1,
) -> tuple[NDArray[np.int32], NDArray[np.float32], tuple | None]:
    """Number the objects of an image (H, W, C) that has the channels of the network.

    Return (object numbers, int32 (H, W); probability, float32 (H, W, maps); pair of masks). The masks (h, w) are predicted from
    the first and the last of the ``tta`` turned copies; the pair is None if there is one copy. ``scale``: factor by which the
    image is enlarged for the network. ``limits``: intensities that the network sees as 0 and 1; None: computed from the image.
    ``multiple``: reflection extends the image at the bottom and the right to a height and width that are multiples of it.
    """
    probability, turned = _predict(image, network, scale, tta, limits, multiple)
    return _divide(probability, network, _watershed(network, scale)), probability, turned


def check_diameter(network: Network, diameter: float | str | None) -> None:
    """Raise ValueError for a diameter if the model card does not say how large the objects of the training were."""
    if diameter not in (None, "auto") and not network.card["training_data"].get("object_diameter"):
        raise ValueError("the model card does not say how large the training's objects were; leave --diameter out.")


def find_scale(
    image: NDArray,
    network: Network,
    diameter: float | str | None,
    limits: tuple[float, float] | None = None,
    largest: float | None = None,
) -> float:
    """Return the factor that makes objects with a diameter (px) as large as those of the training.

    ``image``: (H, W, C) with the channels of the network. ``limits``: intensities that the network sees as 0 and 1; None:
    computed from the image. ``largest``: most px of an enlarged image; None: ``LARGEST``.

    "auto" segments the middle of the image up to ``LOOKS`` times. It measures the typical diameter: larger objects make up half
    of the found area. The scale brings this diameter into the range of the training: from the geometric mean of the 5th
    percentile and the median to the geometric mean of the median and the 95th percentile.

    The scale is 1 if the diameter is None, if nothing is found, or for "auto" if the model card does not say how large the
    objects of the training were. Raises ValueError for a diameter in px if the model card does not say it.
    """
    check_diameter(network, diameter)
    usual = network.card["training_data"].get("object_diameter")
    if diameter is None or not usual:
        return 1.0
    if diameter != "auto":
        return float(np.clip(usual["median"] / diameter, *SCALES))
    limits = limits or intensity_limits(image)
    part, scale = middle(image, LOOKED_AT), 1.0
    small, large = (np.sqrt(usual["median"] * usual[end]) for end in ("low", "high"))
    lowest, highest = SCALES[0], min(SCALES[1], max(1.0, np.sqrt((largest or LARGEST) / (image.shape[0] * image.shape[1]))))
    for _ in range(LOOKS):
        found = _typical_diameter(part, network, scale, limits)
        wanted = np.clip(np.clip(found * scale, small, large) / found, lowest, highest) if found else scale
        if 1 / NEAR <= wanted / scale <= NEAR:
            break
        scale = float(wanted)
    return scale


def _typical_diameter(image, network, scale, limits):
    """Return the diameter (px) for which larger objects make up half of the found area; None if nothing is found."""
    probability, _ = _predict(image, network, scale, 1, limits)
    areas = np.bincount(_divide(probability, network, _watershed(network, scale)._replace(minimum_area=1)).ravel())[1:]
    if not len(areas):
        return None
    areas = np.sort(areas)
    return 2 * np.sqrt(areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)] / np.pi)


def _predict(image, network, scale, tta, limits, multiple=1):
    """Return (mean probability (H, W, maps), (masks (h, w) of the first and the last turned copy) or None for one copy)."""
    config = network.config.replace(tta=tta)
    height, width = image.shape[:2]
    padded = pad(image, *(round_up(side, multiple) for side in (height, width)))
    factor = config.image_scale * scale
    shown = padded if factor == 1 else resize_image(padded, factor)
    total, first = None, None
    for probability in predict_transforms(network.predict, shown, limits or intensity_limits(shown), config):
        last = _mask(probability, network)
        first = last if first is None else first
        probability /= np.float32(tta)  # in place, like the sum below: large images fill the memory
        total = probability if total is None else np.add(total, probability, out=total)
    return resize(total, padded.shape[:2])[:height, :width], (first, last) if tta > 1 else None


def _mask(probability, network):
    return (network.config.maps.foreground(probability) > network.card["threshold"]).astype(np.uint8)


def _divide(probability, network, how):
    return find_objects(_mask(probability, network), probability, how, network.config.maps)


def _watershed(network, scale):
    """Return the parameters fitted in training, in px of an image that is enlarged by ``scale`` for the network."""
    fitted, maps = network.card["scores"].get("watershed"), network.config.maps
    how = Watershed(**fitted) if fitted else candidates(maps, (1,))[0]
    in_px = not maps.border and not maps.distance
    return how._replace(h=how.h / scale if in_px else how.h, minimum_area=max(1, round(how.minimum_area / scale**2)))


def middle(image: NDArray, side: int) -> NDArray:
    """Return the middle of an image (H, W, ...), at most ``side`` px high and wide."""
    return image[tuple(slice(max(0, (length - side) // 2), (length + side) // 2) for length in image.shape[:2])]


def inverted(image: NDArray) -> NDArray:
    """Return an image (H, W, C) with dark and bright exchanged, same dtype: its highest value minus the image."""
    return image.max() - image
