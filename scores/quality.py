"""Judge a segmentation without labels: measure quantities of image and prediction, and flag those that look wrong."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics import count_pixels, pixel_scores

DOUBT = (0.25, 0.75)  # probabilities between these two are neither foreground nor background
MOST_CONTRAST = 1000.0  # largest contrast_to_noise, because drawn images have no noise
STRIP, REACH = 1024, 8  # rows of a large image that are filtered at once, and rows around them that the filters need
NOISE_KERNEL = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])  # responds neither to edges nor to slopes (Immerkaer 1996)


class Rule(NamedTuple):
    """A flag: a ``quantity`` of ``measure_quality`` is ``below`` its limit, or above it. ``text`` explains the flag."""

    quantity: str
    below: bool
    text: str


RULES = {
    "empty": Rule("objects", True, "no object was found"),
    "almost full": Rule("foreground_share", False, "almost everything is foreground"),
    "low contrast": Rule("contrast_to_noise", True, "the contrast is hardly larger than the noise"),
    "saturated": Rule("saturated_share", False, "many pixels have the highest value"),
    "blurred": Rule("sharpness", True, "there are no sharp edges; the image may be out of focus"),
    "in doubt": Rule("doubtful_share", False, "many probabilities between 0.25 and 0.75"),
    "unstable": Rule("disagreement", False, "a mirrored or turned copy of the image gives another result"),
    "small objects": Rule("diameter_ratio", True, "objects are smaller than in the training; try --diameter"),
    "large objects": Rule("diameter_ratio", False, "objects are larger than in the training; try --diameter"),
}
QUANTITIES = [rule.quantity for rule in RULES.values()]
LIMITS = {  # guesses; weights/make.py fits the limits of a network on its validation set
    "empty": 1,
    "almost full": 0.9,
    "low contrast": 7.0,  # Gaussian noise without objects has 2.33 + 2.88
    "saturated": 0.02,
    "blurred": -1.6,
    "in doubt": 0.1,
    "unstable": 0.1,
    "small objects": 0.4,
    "large objects": 2.5,
}


def measure_quality(
    gray: NDArray,
    probability: NDArray[np.float32],
    mask: NDArray,
    turned: tuple[NDArray, NDArray] | None,
    measurements: pd.DataFrame,
    training_diameter: float | None = None,
) -> dict:
    """Measure the quantities that decide the flags: {quantity: number, or None where it is not defined}.

    ``gray``: the image (H, W) in its own values. ``probability`` of foreground (H, W), 0 to 1. ``mask`` (H, W) of the objects.
    ``turned``: masks of two turned or mirrored copies of the image, any size, or None. ``measurements``: one row per object.
    ``training_diameter``: median diameter of the objects in the training, in px of this image.

    ``contrast_to_noise``: difference of the 1st and the 99.8th percentile, divided by the standard deviation of the noise
    (Immerkaer 1996), at most ``MOST_CONTRAST``. ``saturated_share``: share of the pixels with the highest value.
    ``sharpness``: log10 of the share of the contrast that is finer than 2 px. ``highest_probability``: the highest value in the
    image. ``doubtful_share``: share of the pixels between the two probabilities of ``DOUBT``. ``disagreement``: 1 - Dice of
    the two turned masks. ``diameter``: median equivalent diameter (px). ``diameter_ratio``: diameter divided by
    ``training_diameter``.
    """
    low, high = np.percentile(gray, (1, 99.8))
    diameter = float(measurements["equivalent_diameter"].median()) if len(measurements) else None
    return {
        "objects": len(measurements),
        "foreground_share": float((mask > 0).mean()),
        "contrast_to_noise": float((high - low) / max(noise(gray), (high - low) / MOST_CONTRAST)) if high > low else 0.0,
        "saturated_share": float((gray == gray.max()).mean()) if high > low else None,
        "sharpness": sharpness(gray) if high > low else None,
        "highest_probability": float(probability.max()),
        "doubtful_share": float(((probability > DOUBT[0]) & (probability < DOUBT[1])).mean()),
        "disagreement": 1 - pixel_scores(count_pixels(*turned))["dice"] if turned else None,
        "diameter": diameter,
        "diameter_ratio": diameter / training_diameter if diameter and training_diameter else None,
    }


def flags(quality: dict, limits: dict[str, float] = LIMITS) -> list[str]:
    """Return the names of the flags that the quantities of ``measure_quality`` raise, in the order of ``RULES``."""
    broken = []
    for name, (quantity, below, _) in RULES.items():
        value = quality[quantity]
        if value is not None and (value < limits[name] if below else value > limits[name]):
            broken.append(name)
    return broken


def noise(gray: NDArray) -> float:
    """Return the standard deviation of the noise of an image (H, W), in its own values; 0 below 3x3 px."""
    if min(gray.shape) < 3:
        return 0.0
    response, filled = np.empty(gray.shape, np.float32), 0
    for strip in _filtered(gray, lambda part: cv2.filter2D(part, cv2.CV_32F, NOISE_KERNEL)):
        np.abs(strip, out=response[filled : filled + len(strip)])
        filled += len(strip)
    return float(np.median(response, overwrite_input=True) / (6 * 0.6745))  # edges do not change the median


def sharpness(gray: NDArray) -> float:
    """Return log10 of the share of an image's contrast (H, W) that is finer than 2 px: 0 for single pixels, at least -6."""
    fine = _deviation(_filtered(gray, lambda part: part - cv2.GaussianBlur(part, (0, 0), 2)))
    whole = _deviation(_filtered(gray, lambda part: part))
    return float(np.log10(max(fine / whole, 1e-6))) if whole else -6.0


def _filtered(gray: NDArray, change: Callable) -> Iterator[NDArray[np.float32]]:
    """Yield the result of ``change`` for an image (H, W), float32, strip by strip, because large images fill the memory."""
    for start in range(0, len(gray), STRIP):
        top = max(0, start - REACH)
        yield change(gray[top : start + STRIP + REACH].astype(np.float32))[start - top :][:STRIP]


def _deviation(strips):
    """Return the standard deviation of the values of all strips."""
    count, total, squares = np.sum([(s.size, s.sum(dtype=float), np.square(s, dtype=float).sum()) for s in strips], axis=0)
    return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))
