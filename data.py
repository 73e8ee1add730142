"""Samples, their roles, and reading an image from disk with the checks on it.

A recipe's ``load`` makes samples, ``split`` gives each a role: fit (gradients), choose (early stopping, thresholds)
or report (touched once).
"""

import io
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import imageio.v3 as iio
import numpy as np
import tifffile

ROLES = ("fit", "choose", "report")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Sample:
    """One annotated image.

    ``name``: unique. ``image``: (H, W, C), uint8, uint16 or float32, as read. ``mask``: (H, W), integer: 0 is
    background; above it instance numbers (two classes) or class numbers. ``group``: samples of one group leak into
    each other (crops of one photograph, slices of one specimen). ``stratum``: the kind of image (a cluster), held in
    equal proportions by every role.
    """

    name: str
    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    group: int = 0
    stratum: int = 0

    def __post_init__(self):
        check_pair(self.name, self.image, self.mask)

    @cached_property
    def limits(self):
        """The intensities that ``normalise`` maps to 0 and 1."""
        return intensity_limits(self.image)


@dataclass(frozen=True)
class Split:
    """Three disjoint lists of samples, one for each role."""

    fit: list
    choose: list
    report: list

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


class Measured(NamedTuple):
    """What a recipe measures beyond the pixel scores: entries of scores.json, {name: DataFrame}, {name: Figure}."""

    scores: dict
    tables: dict
    figures: dict


def prepare(sample, channels=1, scale=1.0):
    """A copy of a sample as the network sees it: ``channels`` channels, height and width times ``scale``."""
    image, mask = to_channels(sample.image, channels, sample.name), sample.mask
    if scale != 1:
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        image = image.reshape(height, width, channels)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(sample, image=image, mask=mask)


def check_pair(name, image, mask):
    """Raise ValueError that names the sample when image and mask do not belong together or are not usable."""
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"{name}: image of shape {image.shape}, expected (height, width, channels).")
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{name}: the image is {image.shape[:2]} px and its mask {mask.shape} px; they must be equal.")
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"{name}: the mask holds {mask.dtype} values, expected whole numbers.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise ValueError(f"{name}: {count} pixels are NaN or infinite; replace them before training.")


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


def intensity_limits(image):
    """The 1st and 99.8th percentile of an image: what ``normalise`` maps to 0 and 1, whatever the bit depth."""
    low, high = np.percentile(image, (1, 99.8))
    return float(low), float(max(high, low + 1e-6))


def normalise(image, limits):
    """Map ``limits`` to 0 and 1, linearly; float32 of the image's shape. A constant image becomes all zeros."""
    low, high = limits
    return (image.astype(np.float32) - np.float32(low)) / np.float32(high - low)


def read_image(source, name=None):
    """Read PNG, TIFF, JPEG or BMP from a path or from bytes; (H, W) or (H, W, C), dtype as stored.

    Raises ValueError that names the file when it is unreadable, truncated or of another format.
    """
    name = str(name or source)
    suffix = Path(name).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{name}: not an image this program reads ({', '.join(IMAGE_SUFFIXES)}).")
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if suffix in (".tif", ".tiff"):
            return tifffile.imread(stream)
        return iio.imread(stream, plugin="pillow")
    except FileNotFoundError:
        raise
    except Exception as error:  # every decoder has its own exceptions; all mean the same to the user
        raise ValueError(f"{name}: unreadable or truncated image ({error}); fetch it again or remove it.") from error


def binary_mask(values, name):
    """Read (H, W) values as foreground and background: bool.

    0/1 and 0/255 are both right (also as colour with equal channels). Raises ValueError naming the file for others.
    """
    if values.ndim == 3:
        colours = values[..., : max(1, values.shape[2] - (values.shape[2] in (2, 4)))]
        if (colours != colours[..., :1]).any():
            raise ValueError(f"{name}: a coloured mask; expected one channel of 0 and 1, or of 0 and 255.")
        values = colours[..., 0]
    highest = values.max(initial=0)
    if highest not in (0, 1, 255) or ((values != 0) & (values != highest)).any():
        found = ", ".join(str(value) for value in np.unique(values)[:6])
        raise ValueError(f"{name}: mask values {found}; a binary mask holds 0 and 1, or 0 and 255.")
    return values != 0


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


def target(mask, classes):
    """What the network learns from a mask: 0/1 foreground for two classes, class numbers for more; uint8."""
    return (mask > 0).astype(np.uint8) if classes == 2 else mask.astype(np.uint8)
