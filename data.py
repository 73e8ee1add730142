"""Samples, their roles, and the checks on them.

A recipe's ``load`` makes samples, ``split`` gives each a role: fit (gradients), choose (early stopping, thresholds)
or report (touched once).
"""

import types
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Sample:
    """One annotated image.

    ``name``: unique. ``image``: (H, W, C), uint8, uint16 or float32, as read. ``mask``: (H, W), integer: 0 is
    background; above it instance numbers (two classes) or class numbers. ``group``: samples of one group leak into
    each other (crops of one photograph, slices of one specimen). ``stratum``: the kind of image (a cluster), held in
    equal proportions by every role. ``pixel_size``: µm per px where it is known.
    """

    name: str
    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    group: int = 0
    stratum: int = 0
    pixel_size: float | None = None

    def __post_init__(self):
        check_pair(self.name, self.image, self.mask)

    @cached_property
    def limits(self):
        """The intensities that ``normalise`` maps to 0 and 1."""
        return intensity_limits(self.image)


@dataclass(frozen=True)
class Split:
    """Three disjoint lists of samples, one for each role."""

    train: list
    validation: list
    test: list

    def items(self):
        """(role, samples) for each role."""
        return [(role, getattr(self, role)) for role in ROLES]

    def map(self, change):
        """The same split with every sample changed."""
        return Split(*([change(sample) for sample in samples] for _, samples in self.items()))

    def to_json(self):
        """{role: {sample name: {"group": ..., "stratum": ...}}}, so that a run can be repeated and audited."""
        return {
            role: {sample.name: {"group": sample.group, "stratum": sample.stratum} for sample in samples}
            for role, samples in self.items()
        }


class Predictions(NamedTuple):
    """Samples with what the network made of them: float32 (H, W, maps) probabilities and the masks decided from them."""

    samples: list
    probabilities: list
    masks: list


class RecipeResult(NamedTuple):
    """What a recipe measures beyond the pixel scores.

    ``scores``: entries of scores.json. ``tables``: {name: DataFrame}. ``figures``: {name: Figure}. ``tiffs``: {path
    in the run folder without suffix: array (H, W) or (pages, H, W)}.
    """

    scores: dict
    tables: dict
    figures: dict
    tiffs: dict = types.MappingProxyType({})


def prepare(sample, channels=1, scale=1.0):
    """A copy of a sample as the network sees it: ``channels`` channels, height and width times ``scale``."""
    image, mask = to_channels(sample.image, channels, sample.name), sample.mask
    if scale != 1:
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        image = image.reshape(height, width, channels)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(sample, image=image, mask=mask)


def to_channels(image, channels, name="image"):
    """Convert (H, W) or (H, W, C) to (H, W, channels); the alpha channel of RGBA and gray-alpha is dropped.

    Colour becomes gray by the luminance weights of ITU-R BT.601. Raises ValueError for a count that cannot be made.
    """
    image = image[..., None] if image.ndim == 2 else image
    found = image.shape[2]
    if channels == found:
        return image
    if found in (2, 4):
        image = image[..., : found - 1]
    if channels == image.shape[2]:
        return np.ascontiguousarray(image)
    if channels == 1 and image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    if channels == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    raise ValueError(f"{name}: has {found} channels, cannot be made into {channels}; set --channels {found} or convert it.")


def evenly(items, count):
    """At most ``count`` of the items, evenly spaced: list."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def check_pair(name, image, mask):
    """Raise ValueError that names the sample when image and mask do not belong together or are not usable."""
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"{name}: image of shape {image.shape}, expected (height, width, channels).")
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{name}: the image is {image.shape[:2]} px and its mask {mask.shape} px; they must be equal.")
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ValueError(f"{name}: the image holds {image.dtype} values, expected uint8, uint16 or float32.")
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"{name}: the mask holds {mask.dtype} values, expected whole numbers.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise ValueError(f"{name}: {count} pixels are NaN or infinite; replace them.")


def intensity_limits(image):
    """The 1st and 99.8th percentile of an image: what ``normalise`` maps to 0 and 1, whatever the bit depth.

    Of an image with few other pixels than equal ones, the least and the greatest value; of a constant one, it and 1 more.
    """
    low, high = (float(limit) for limit in np.percentile(image, (1, 99.8)))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    return low, high if high > low else low + 1


def normalise(image, limits):
    """Map ``limits`` to 0 and 1, linearly; float32 of the image's shape. A constant image becomes all zeros."""
    low, high = limits
    return (image.astype(np.float32) - np.float32(low)) / np.float32(high - low)


def check_classes(samples, classes):
    """Raise ValueError when the masks contradict the class count (more than two classes: values 0 to classes - 1)."""
    if classes == 2:
        return
    highest = max(samples, key=lambda sample: sample.mask.max())
    if highest.mask.max() != classes - 1:
        raise ValueError(
            f"{highest.name}: the masks hold values up to {highest.mask.max()}, but {classes} classes need exactly "
            f"0 to {classes - 1}; set --classes 2 for objects against background."
        )


def target(mask, classes, border=0):
    """What the network learns from a mask: 0/1 foreground for two classes, class numbers for more; uint8.

    ``border``: this many px along the edge of every object, also where it touches another one, become class 2.
    """
    if classes > 2:
        return mask.astype(np.uint8)
    foreground = (mask > 0).astype(np.uint8)
    return foreground + (foreground & edge(mask, border)) if border else foreground


def distance_map(mask):
    """How deep every pixel lies in its object of an instance mask (H, W): float32, 0 background, 1 in each object's depth.

    Distances from the object's edge, also where it touches another one, as shares of the object's greatest: of a tile, what
    the tile shows of the object counts.
    """
    touching = (mask > 0) & (edge(mask, 1) > 0)
    inner = cv2.distanceTransform(((mask > 0) & ~touching).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = np.where(mask > 0, inner + 1, 0)
    greatest = np.ones(int(mask.max(initial=0)) + 1, np.float32)
    np.maximum.at(greatest, mask, distance)
    return (distance / greatest[mask]).astype(np.float32)


def edge(mask, width):
    """Where another object, or none, lies within ``width`` px, in an instance mask (H, W): uint8 0/1 (H, W)."""
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    numbers = mask.astype(np.float32)
    return (cv2.erode(numbers, window) != cv2.dilate(numbers, window)).astype(np.uint8)
