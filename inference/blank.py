"""Explain why nothing is found in an image, and say what to try."""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data import intensity_limits, to_channels
from readers.images import as_image
from scores.quality import LIMITS, flags
from segmentation import SCALES, Network, find_scale, inverted, remembering, segment

SIZES = (0.125, 0.25, 0.5, 2, 4, 8)  # diameters to try, as multiples of the median diameter in the training
SHARE = 0.2  # of the image's pixels that each trial uses: all trials together take about as long as one segmentation
SIDES = (96, 512)  # px, smallest and largest height and width of the part that is tried
ENLARGED = 4  # a part is enlarged to at most so many times its number of px
IMPLAUSIBLE = {"almost full", "low contrast", "in doubt", "unstable", "small objects", "large objects"}
EXCHANGE = {False: "try it with --invert.", True: "try it without --invert."}


def explain_content(image: ArrayLike) -> str:
    """Explain without a network why an image (H, W, C) shows nothing: one sentence, or "" if it shows something."""
    image = as_image(np.asarray(image), "image")
    if (image == image[:1, :1]).all():
        value = ", ".join(f"{number:g}" for number in np.unique(image[0, 0]))
        return f"Every pixel has the value {value}: the image is empty, or the wrong channel or page was exported."
    low, high = np.percentile(to_channels(image, 1) if image.shape[2] == 3 else image, (1, 99.8))
    if low == high:
        return "Fewer than 1.2 % of the pixels differ from the background: there are only a few specks."
    return ""


def explain_blank(
    image: ArrayLike, quality: dict, network: Network, diameter: float | str | None = "auto", invert: bool = False
) -> str:
    """Explain why ``segment`` found nothing in an image (H, W, C), and say what to try.

    The function tries single colours, exchanged dark and bright, and other diameters on the part of the image with the greatest
    contrast. ``quality``: of the segmentation without objects. ``diameter``, ``invert``: the values given to ``segment``.
    """
    image = as_image(np.asarray(image), "image")
    if reason := explain_content(image):
        return reason
    side = int(np.clip(np.sqrt(SHARE * image.shape[0] * image.shape[1]), *SIDES))
    reason = _try_channels(image, network, diameter, invert, side) or _try_settings(image, network, diameter, invert, side)
    part = [min(side, length) for length in image.shape[:2]]
    note = f" Settings were tried on a part of {part[0]}x{part[1]} px." if part != list(image.shape[:2]) else ""
    return (reason or _explain_quality(quality, network)) + note


def _try_channels(image, network, diameter, invert, side):
    """Return a sentence if objects are found in a single colour channel, else ""."""
    seen = to_channels(image, 1)[..., 0] if image.shape[2] == 3 else None
    for channel in range(image.shape[2]) if image.shape[2] > 1 else ():
        plane = image[..., channel : channel + 1]
        if (plane == plane[0, 0]).all() or (seen is not None and np.array_equal(plane[..., 0], seen)):
            continue
        if judge(plane, network, diameter, invert, side) is not None:
            return f"Objects are found in one colour alone: try --channel {channel + 1}."
    return ""


def _try_settings(image, network, diameter, invert, side):
    """Return a sentence that names the setting with the most credible objects, or "" if no setting finds any."""
    trials = {f"Objects are found if dark and bright are exchanged: {EXCHANGE[invert]}": (diameter, not invert)}
    usual = network.card["training_data"].get("object_diameter")
    for factor in SIZES if usual and diameter in (None, "auto") else ():
        size = factor * usual["median"]
        trials[f"Objects are found at another scale: try --diameter {size:.0f}."] = size, invert
    judged = {text: judge(image, network, *how, side) for text, how in trials.items()}
    credible = {text: doubts for text, doubts in judged.items() if doubts is not None}
    return min(credible, key=credible.get) if credible else ""


def _explain_quality(quality, network):
    """Return an explanation from the quality measures of a segmentation without objects."""
    contrast, highest, threshold = quality["contrast_to_noise"], quality["highest_probability"], network.card["threshold"]
    if contrast < _limits(network)["low contrast"]:
        return f"The contrast is {contrast:.1f} times the noise, as in an image of noise alone. Is this the right channel?"
    if highest > threshold:
        return (
            "All found pieces are too small or too doubtful to count as objects. Try --diameter with the size of the objects "
            "in px, and look at the images of --probability."
        )
    return (
        f"The highest probability of foreground is {highest:.2f} and the threshold {threshold:.2f}: nothing looks like the "
        "objects of the training. Is this the right channel? If it is, train a network with your own images."
    )


def judge(
    image: NDArray, network: Network, diameter: float | str | None, invert: bool, side: int
) -> tuple[float, float] | None:
    """Return (disagreement, size difference) for the objects in a part of an image (H, W, C); None if none is credible.

    Both values are 0 or more; lower is more credible. The first one is the disagreement between two turned copies, the second
    one the distance (absolute logarithm of the ratio) between the diameters here and in the training. Noise and fragments raise
    a flag of ``IMPLAUSIBLE`` and are not credible. ``side``: height and width of the part in px, as the network sees it.
    """
    network = network._replace(predict=remembering(network.predict))
    usual = network.card["training_data"].get("object_diameter")
    if diameter == "auto":
        part = busiest_part(image, side)
        shown = to_channels(part, network.config.channels, "image")
        scale = find_scale(inverted(shown) if invert else shown, network, "auto", largest=ENLARGED * part[..., 0].size)
        diameter = usual["median"] / scale if usual else None
    elif diameter and usual:
        part = busiest_part(image, max(16, round(side / np.clip(usual["median"] / diameter, *SCALES))))
    else:
        part = busiest_part(image, side)
    for tta in (1, 2):  # most trials find nothing, and end after the first, faster one
        quality = segment(part, network, diameter=diameter, tta=tta, invert=invert).quality
        if not quality["objects"] or set(flags(quality, _limits(network))) & IMPLAUSIBLE:
            return None
    return quality["disagreement"], abs(np.log(quality["diameter_ratio"] or 1))


def busiest_part(image: NDArray, side: int) -> NDArray:
    """Return the part of an image (H, W, C), at most ``side`` px high and wide, with the greatest contrast.

    Values are clipped to the image's usual range, so that a few bright specks do not count more than objects.
    """
    places = [
        sorted({*range(0, max(1, length - side), max(1, side // 2)), max(0, length - side)}) for length in image.shape[:2]
    ]
    parts = [image[y : y + side, x : x + side] for y, x in itertools.product(*places)]
    if len(parts) == 1:
        return parts[0]
    low, high = intensity_limits(image)
    step = max(1, side // 32)  # a thousand px of each part are enough
    return max(parts, key=lambda part: part[::step, ::step].clip(low, high).std())


def _limits(network):
    return LIMITS | network.card.get("quality_limits", {})
