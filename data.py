"""Samples, their roles, and the checks on them.

A recipe's ``load`` makes samples. Its ``split`` gives each sample a role: train (gradients), validation (best epoch,
thresholds) or test (scored once).
"""

import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from maps import OutputMaps
from system.files import digest

ROLES = ("train", "validation", "test")
MOST_SAMPLES = 16  # when a mask shrinks, at most so many points along each side of a new pixel vote for its label


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    ``name``: unique. ``image``: (H, W, C), uint8, uint16 or float32, as read. ``mask``: (H, W), integer numbers of the
    objects, 0 is background. ``object_classes``: uint8 (highest number + 1,), the class of each object number, 0 for the
    background; None if there is one class of objects. ``group``: samples of one group show the same photograph or
    specimen and must get the same role. ``stratum``: number of the kind of image; every role gets the kinds in equal
    proportions. ``pixel_size``: µm per px, None if unknown.
    """

    name: str
    image: NDArray = field(repr=False)
    mask: NDArray = field(repr=False)
    group: int = 0
    stratum: int = 0
    pixel_size: float | None = None
    object_classes: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __post_init__(self):
        check_pair(self.name, self.image, self.mask)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Return the intensities that ``normalise`` maps to 0 and 1."""
        return intensity_limits(self.image)

    @property
    def class_map(self) -> NDArray[np.uint8]:
        """Return the class of each pixel, 0 for background: uint8 (H, W)."""
        return class_of_objects(self.mask, self.object_classes)

    def digests(self) -> dict[str, str]:
        """Return a digest of the pixels and one of the labels: {"image", "mask"}. A digest changes if any value changes."""
        labels = self.mask if self.object_classes is None else np.stack([self.mask, self.class_map])
        return {"image": pixel_digest(self.image), "mask": pixel_digest(labels.astype(np.int64))}


@dataclass(frozen=True)
class Split:
    """Three disjoint lists of samples, one for each role."""

    train: list[Sample]
    validation: list[Sample]
    test: list[Sample]

    def items(self) -> list[tuple[str, list[Sample]]]:
        """Return (role, samples) for each role."""
        return [(role, getattr(self, role)) for role in ROLES]

    def map(self, change: Callable[[Sample], Sample]) -> "Split":
        """Return the same split with every sample changed."""
        return Split(*([change(sample) for sample in samples] for _, samples in self.items()))

    def __iter__(self) -> Iterator[Sample]:
        """Yield all samples, role by role."""
        return (sample for _, samples in self.items() for sample in samples)

    def to_json(self) -> dict:
        """Return {role: {sample name: {"group", "stratum", "image", "mask"}}}; image and mask are digests."""
        return {
            role: {sample.name: {"group": sample.group, "stratum": sample.stratum, **sample.digests()} for sample in samples}
            for role, samples in self.items()
        }


class Predictions(NamedTuple):
    """Samples and their predictions.

    ``probabilities``: float32 (H, W, maps) of each sample. ``masks``: uint8 (H, W) of each sample, the class of each pixel, 0
    for background. ``maps``: the meaning of the maps.
    """

    samples: list
    probabilities: list
    masks: list
    maps: OutputMaps = OutputMaps()


class RecipeResult(NamedTuple):
    """The results of a recipe in addition to the pixel scores.

    ``scores``: entries of scores.json. ``tables``: {name: DataFrame}. ``figures``: {name: Figure}. ``tiffs``: {path
    in the run folder without suffix: array (H, W) or (pages, H, W)}.
    """

    scores: dict
    tables: dict
    figures: dict
    tiffs: dict = types.MappingProxyType({})


def prepare(sample: Sample, channels: int = 1, scale: float = 1.0) -> Sample:
    """Return a copy of a sample as the network sees it: ``channels`` channels, height and width times ``scale``."""
    image, mask = to_channels(sample.image, channels, sample.name), sample.mask
    if scale != 1:
        image = resize_image(image, scale)
        mask = resize_labels(mask, image.shape[:2])
    return replace(sample, image=image, mask=mask)


def resize_image(image: NDArray, scale: float) -> NDArray:
    """Resize an image (H, W, C): height and width times ``scale``, at least 1 px, same dtype."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return resized.reshape(height, width, image.shape[2])


def resize_labels(mask: NDArray, shape: tuple[int, int]) -> NDArray:
    """Resize labels (H, W) to another height and width: each pixel gets the label that covers most of it, same dtype.

    Objects keep their place in the picture. If two labels cover a pixel equally, every other pixel gets the higher one, so
    that areas are right on average.
    """
    points = []
    for length, new in zip(mask.shape, shape, strict=True):
        count = 1 if new % length == 0 else min(MOST_SAMPLES, max(2, -(-length // new)))
        places = (np.arange(new)[:, None] + (np.arange(count) + 0.5) / count) * length / new  # (new, count)
        points.append(np.minimum(places.astype(int), length - 1))
    votes = [mask[np.ix_(rows, columns)] for rows in points[0].T for columns in points[1].T]
    if len(votes) == 1:
        return votes[0]
    even = np.indices(shape).sum(axis=0) % 2 == 0
    return np.where(even, _most_frequent(votes), _most_frequent(votes, highest=True))


def _most_frequent(votes, highest=False):
    """Return the most frequent of several labels for each pixel; in a tie, the lowest one, or the ``highest`` one."""
    ordered = np.sort(votes, axis=0)[:: -1 if highest else 1]
    best, longest, run = ordered[0].copy(), np.ones(ordered[0].shape, int), np.ones(ordered[0].shape, int)
    for before, now in itertools.pairwise(ordered):
        run = np.where(now == before, run + 1, 1)
        better = run > longest
        best[better], longest[better] = now[better], run[better]
    return best


def class_of_objects(mask: NDArray, object_classes: NDArray | None) -> NDArray[np.uint8]:
    """Return the class of each pixel of a mask of object numbers: uint8 (H, W), 0 is background. Without classes, 0 and 1."""
    return (mask > 0).astype(np.uint8) if object_classes is None else object_classes[mask]


def pixel_digest(array: NDArray) -> str:
    """Return sixteen hexadecimal digits that depend on the shape, the type and the values of an array."""
    array = np.ascontiguousarray(array)
    return digest(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes())


def to_channels(image: NDArray, channels: int, name: str = "image") -> NDArray:
    """Convert (H, W) or (H, W, C) to (H, W, channels), same dtype; the alpha channel of RGBA and gray-alpha is dropped.

    An image in a single tint (blue, yellow, ...) becomes gray by its brightest channel, with unchanged values. Other colours
    become gray by the luminance weights of ITU-R BT.601. Raises ValueError if the image cannot get this number of channels.
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
        return _gray(image)[..., None]
    if channels == 3 and image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    raise ValueError(f"{name}: has {found} channels, cannot be made into {channels}; set --channels {found} or convert it.")


def intensities(image: NDArray) -> NDArray[np.float32]:
    """Return the intensities of an image that measurements use: float32 (H, W), in the image's own units, not rounded.

    ``image``: (H, W) or (H, W, C). Colours become gray as in ``to_channels``; alpha is ignored. If the channels are not
    colours, only the first one is used.
    """
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[2] not in (3, 4):
        return image[..., 0].astype(np.float32)
    colours = image[..., :3]
    brightest = _tint(colours)
    return _luminance(colours.astype(np.float32)) if brightest is None else colours[..., brightest].astype(np.float32)


def _gray(colours):
    brightest = _tint(colours)
    return _luminance(colours) if brightest is None else np.ascontiguousarray(colours[..., brightest])


def _luminance(colours):
    usable = colours if colours.dtype in (np.uint8, np.uint16) else colours.astype(np.float32)
    return cv2.cvtColor(np.ascontiguousarray(usable), cv2.COLOR_RGB2GRAY).astype(colours.dtype, copy=False)


def _tint(colours):
    """Return the brightest channel of an RGB image whose pixels are all on one line through black; else None."""
    # A lookup table rounds or cuts off: whole numbers may be 1 off the line.
    off = 1.0 if colours.dtype.kind in "iu" else 1e-4 * float(np.abs(colours).max())
    brightest = None
    for part in (colours[::16, ::16], colours):  # for most coloured images, the first part decides
        brightest = int(part.max(axis=(0, 1)).argmax())
        pixel = part[np.unravel_index(part[..., brightest].argmax(), part.shape[:2])].astype(np.float64)
        ratios = (pixel / pixel[brightest] if pixel[brightest] else np.zeros(3)).astype(np.float32)
        for row in range(0, len(part), 512):
            strip = part[row : row + 512].astype(np.float32)
            if (np.abs(strip - strip[..., brightest, None] * ratios) > 1.01 * off).any():
                return None
    return brightest


def evenly(items, count: int) -> list:
    """Return at most ``count`` of the items, evenly spaced."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def check_pair(name: str, image: NDArray, mask: NDArray) -> None:
    """Raise ValueError that names the sample if image and mask do not belong together or are not usable."""
    check_image(name, image)
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{name}: the image is {image.shape[:2]} px and its mask {mask.shape} px; they must be equal.")
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"{name}: the mask holds {mask.dtype} values; expected whole numbers.")


def check_image(name: str, image: NDArray) -> None:
    """Raise ValueError that names the image if its shape, its type or its pixels (NaN, infinite) are not usable."""
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"{name}: image of shape {image.shape}, expected (height, width, channels).")
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ValueError(f"{name}: the image holds {image.dtype} values, expected uint8, uint16 or float32.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise ValueError(f"{name}: {count} pixels are NaN or infinite; replace them.")


def intensity_limits(image: NDArray) -> tuple[float, float]:
    """Return the 1st and 99.8th percentile of an image, which ``normalise`` maps to 0 and 1 at every bit depth.

    If nearly all pixels are equal, return the lowest and the highest value; for a constant image, its value and 1 more.
    """
    low, high = (float(limit) for limit in np.percentile(image, (1, 99.8)))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    return low, high if high > low else low + 1


def normalise(image: NDArray, limits: tuple[float, float]) -> NDArray[np.float32]:
    """Map ``limits`` linearly to 0 and 1: float32, same shape. A constant image becomes all zeros."""
    low, high = limits
    return (image.astype(np.float32) - np.float32(low)) / np.float32(high - low)


def check_classes(samples: list[Sample], classes: int) -> None:
    """Raise ValueError if the number of classes in the labels differs from ``classes``, the setting."""
    if classes == 2:
        return
    highest = max((int(sample.class_map.max()) for sample in samples), default=0)
    if highest != classes - 1 or any(sample.object_classes is None for sample in samples):
        raise ValueError(
            f"--classes {classes}: the masks hold {highest} class{'es' * (highest > 1)} of objects beside background, "
            f"but {classes - 1} were expected. Set --classes {highest + 1}."
        )
