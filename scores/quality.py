"""How far a segmentation can be trusted, without labels: quantities of an image and its prediction, and flags."""

from typing import NamedTuple

import cv2
import numpy as np

from metrics import count_pixels, pixel_scores

DOUBT = (0.25, 0.75)  # probabilities that decide nothing
MOST_CONTRAST = 1000.0  # of drawn images, which have no noise
STRIP, REACH = 1024, 8  # rows of a large image filtered at once, and how far the filters look
NOISE_KERNEL = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])  # blind to edges and slopes (Immerkaer 1996)


class Rule(NamedTuple):
    """A flag: ``quantity`` of ``measure_quality`` is ``below`` or above its limit; ``text`` says what that means."""

    quantity: str
    below: bool
    text: str


RULES = {
    "empty": Rule("objects", True, "no object was found"),
    "almost full": Rule("foreground_share", False, "almost everything is foreground"),
    "low contrast": Rule("contrast_to_noise", True, "objects hardly stand out from the noise"),
    "saturated": Rule("saturated_share", False, "many pixels have the highest value"),
    "blurred": Rule("sharpness", True, "there are no sharp edges: out of focus?"),
    "in doubt": Rule("doubtful_share", False, "many probabilities between 0.25 and 0.75"),
    "unstable": Rule("disagreement", False, "the mirrored or turned image is segmented otherwise"),
    "small objects": Rule("diameter_ratio", True, "objects are smaller than those of the training: try --diameter"),
    "large objects": Rule("diameter_ratio", False, "objects are larger than those of the training: try --diameter"),
}
QUANTITIES = [rule.quantity for rule in RULES.values()]
LIMITS = {  # guesses, until weights/make.py fits those of a network on its validation set
    "empty": 1,
    "almost full": 0.9,
    "low contrast": 7.0,  # Gaussian noise alone has 2.33 + 2.88
    "saturated": 0.02,
    "blurred": -1.6,
    "in doubt": 0.1,
    "unstable": 0.1,
    "small objects": 0.4,
    "large objects": 2.5,
}


def measure_quality(gray, probability, mask, tta, measurements, training_diameter=None):
    """What the flags are decided by: {quantity: number, or None where it is not defined}.

    ``gray``: the image (H, W) in its own values. ``probability`` (H, W), 0 to 1. ``mask`` (H, W) of the objects. ``tta``:
    masks of two tta of the image, of any size, or None. ``measurements``: of the objects. ``training_diameter``: median
    of the training's objects, in px of this image.

    ``contrast_to_noise``: 1st to 99.8th percentile over the standard deviation of the noise (Immerkaer 1996), at most
    ``MOST_CONTRAST``.
    ``saturated_share`` of pixels at the highest value. ``sharpness``: log10 of the share of contrast that is finer than
    2 px. ``doubtful_share`` of pixels in ``DOUBT``. ``disagreement``: 1 - Dice of the two tta. ``diameter_ratio``: median
    equivalent diameter over the training's.
    """
    low, high = np.percentile(gray, (1, 99.8))
    diameter = float(measurements["equivalent_diameter"].median()) if len(measurements) else None
    return {
        "objects": len(measurements),
        "foreground_share": float((mask > 0).mean()),
        "contrast_to_noise": float((high - low) / max(noise(gray), (high - low) / MOST_CONTRAST)) if high > low else 0.0,
        "saturated_share": float((gray == gray.max()).mean()) if high > low else None,
        "sharpness": sharpness(gray) if high > low else None,
        "doubtful_share": float(((probability > DOUBT[0]) & (probability < DOUBT[1])).mean()),
        "disagreement": 1 - pixel_scores(count_pixels(*tta))["dice"] if tta else None,
        "diameter": diameter,
        "diameter_ratio": diameter / training_diameter if diameter and training_diameter else None,
    }


def flags(quality, limits=LIMITS):
    """Names of the ``RULES`` that a measured quality breaks, in their order."""
    broken = []
    for name, (quantity, below, _) in RULES.items():
        value = quality[quantity]
        if value is not None and (value < limits[name] if below else value > limits[name]):
            broken.append(name)
    return broken


def noise(gray):
    """Standard deviation of the noise of an image (H, W), in its own values; 0 below 3x3 px."""
    if min(gray.shape) < 3:
        return 0.0
    response, filled = np.empty(gray.shape, np.float32), 0
    for strip in _filtered(gray, lambda part: cv2.filter2D(part, cv2.CV_32F, NOISE_KERNEL)):
        np.abs(strip, out=response[filled : filled + len(strip)])
        filled += len(strip)
    return float(np.median(response, overwrite_input=True) / (6 * 0.6745))  # the median, so that edges do not count


def sharpness(gray):
    """log10 of the share of an image's contrast (H, W) that is finer than 2 px: 0 for single pixels, -6 without any."""
    fine = _deviation(_filtered(gray, lambda part: part - cv2.GaussianBlur(part, (0, 0), 2)))
    whole = _deviation(_filtered(gray, lambda part: part))
    return float(np.log10(max(fine / whole, 1e-6))) if whole else -6.0


def _filtered(gray, change):
    """Yield ``change`` of an image (H, W) as float32, strip by strip: large images fill the memory."""
    for start in range(0, len(gray), STRIP):
        top = max(0, start - REACH)
        yield change(gray[top : start + STRIP + REACH].astype(np.float32))[start - top :][:STRIP]


def _deviation(strips):
    """Standard deviation of the values of all strips."""
    count, total, squares = np.sum([(s.size, s.sum(dtype=float), np.square(s, dtype=float).sum()) for s in strips], axis=0)
    return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))
