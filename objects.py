"""Turn the maps that a network predicts into separate, numbered objects."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_minima, reconstruction, remove_small_holes
from skimage.segmentation import watershed

import tiles
from data import Predictions, evenly
from maps import OutputMaps
from system.progress import progress

H_PIXELS = (0.5, 1.0, 2.0, 3.0, 5.0)  # px; values of h to try on distances from the background
H_DISTANCE_MAP = (0.15, 0.1, 0.2, 0.3, 0.06)  # values of h to try on a learned distance map
MARKER_THRESHOLDS = (0.5, 0.7, 0.3, 0.8, 0.9, 0.95)  # if values are equally good, the first one is used
MINIMUM_AREAS = (0.05, 0.1, 0.2)  # shares of the median area
MINIMUM_CONFIDENCES = (0, 0.7, 0.75, 0.8, 0.85, 0.9)
STRIP = 1024  # rows that are processed together, so that copies of a large image stay small
SPECK = 3  # px; a piece up to this height and width is one object
CORNERS_TOUCH = np.ones((3, 3))
SMOOTHING = 0.7  # px, standard deviation for a learned distance map
FITTED_ON = 12  # images; more do not change the result and take minutes


class Watershed(NamedTuple):
    """The parameters of the watershed that turns maps into objects.

    ``h``: two connected parts become two objects if the distance from the background grows by at least ``h`` from the
    narrowest place between them into each part. Its unit is px, or the unit of the distance map (0 to 1) that the network has
    learned. ``marker_threshold`` replaces h for a network with a border class: the markers are the places where the
    probability of the inside is higher. ``minimum_area``: smaller objects (px) are dropped. ``minimum_confidence``: objects
    with a lower mean probability of foreground are dropped.
    """

    h: float | None = None
    marker_threshold: float | None = None
    minimum_area: int = 1
    minimum_confidence: float = 0


def find_objects(mask: NDArray, probability: NDArray, how: Watershed, maps: OutputMaps) -> NDArray[np.int32]:
    """Number the objects of a mask (H, W), foreground above 0: int32 (H, W), 0 is background.

    ``probability``: (H, W, maps); ``maps`` says what each map means. Objects of all classes are found together.
    """
    if maps.border:
        labels = separate_by_markers(mask, maps.inside(probability), how.marker_threshold, how.minimum_area)
    else:
        learned = ndimage.gaussian_filter(maps.distance_map(probability), SMOOTHING) if maps.distance else None
        labels = separate_by_distance(mask, how.h, how.minimum_area, learned)
    return _drop_doubtful(labels, maps.foreground(probability), how.minimum_confidence)


def find_all_objects(predictions: Predictions, how: Watershed) -> list[NDArray[np.int32]]:
    """Number the objects of every image: [int32 (H, W)]."""
    images = zip(predictions.masks, predictions.probabilities, strict=True)
    return [find_objects(mask, probability, how, predictions.maps) for mask, probability in images]


def classify_objects(labels: NDArray[np.int32], pixel_classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the class of each object, the class of most of its pixels: uint8 (objects + 1,), 0 for the background.

    ``labels``: object numbers (H, W), from 1 without gaps. ``pixel_classes``: the class of each pixel (H, W), from 1.
    """
    count, classes = int(labels.max(initial=0)) + 1, int(pixel_classes.max(initial=1)) + 1
    votes = np.zeros(count * classes, np.int64)
    for rows in _strips(labels):
        votes += np.bincount((labels[rows].astype(np.int64) * classes + pixel_classes[rows]).ravel(), minlength=len(votes))
    decided = votes.reshape(count, classes).argmax(axis=1).astype(np.uint8)
    decided[0] = 0
    return decided


def separate_by_distance(
    mask: NDArray, h: float = 1.0, minimum_area: int = 1, distance: NDArray | None = None
) -> NDArray[np.int32]:
    """Number the objects of a mask (H, W) by a watershed on the distance from the background: int32, 0 is background.

    ``distance``: a distance map (H, W) that a network has learned; it replaces the computed distance. ``h``,
    ``minimum_area``: see ``Watershed``; h has the unit of the distance. Source: Vincent and Soille 1991.
    """

    def divide_one(window, piece):
        if distance is None:  # the image's edge counts as background
            surface = -ndimage.distance_transform_edt(np.pad(piece, 1))[1:-1, 1:-1]
        else:
            surface = -distance[window].astype(np.float64)
        if np.ptp(surface[piece]) < h:  # there cannot be two parts
            return piece
        surface[~piece] = h + 1  # every object, however thin, has a marker
        return watershed(surface, basins(surface, h), mask=piece)

    return _divide_pieces(mask > 0, divide_one, minimum_area)


def basins(surface: NDArray, h: float) -> NDArray[np.int32]:
    """Number the minima of a surface (H, W) that are at least ``h`` deep: int32 (H, W), 0 elsewhere.

    The depth of a minimum is the least climb on a path from it to a lower minimum.
    """
    # skimage's h_minima keeps shallower minima of floats; this is its definition (Soille 2003).
    filled = reconstruction(surface + h, surface, method="erosion").round(6)
    bottoms = local_minima(filled)
    return ndimage.label(bottoms if bottoms.any() else ~bottoms, CORNERS_TOUCH)[0]  # a flat surface is one


def separate_by_markers(
    mask: NDArray, inside: NDArray, marker_threshold: float = 0.5, minimum_area: int = 1
) -> NDArray[np.int32]:
    """Number the objects of a mask (H, W) whose network has a border class: int32 (H, W), 0 is background.

    ``inside``: probability (H, W) of the inside of objects. The markers are the connected regions above ``marker_threshold``.
    They grow at equal speed until they fill the mask. A piece of the mask without a marker is one object. Holes and objects
    below ``minimum_area`` px are removed.
    """
    mask = remove_small_holes(mask > 0, max_size=minimum_area - 1)
    markers = _drop_small(ndimage.label((inside > marker_threshold) & mask)[0], max(1, minimum_area // 4))

    def divide_one(window, piece):
        own = np.where(piece, markers[window], 0)
        numbers = np.unique(own[own > 0])
        if len(numbers) < 2:
            return piece
        return watershed(ndimage.distance_transform_edt(own == 0), own, mask=piece)

    return _divide_pieces(mask, divide_one, minimum_area)


def _divide_pieces(mask, divide_one, minimum_area):
    """Divide each connected piece of a mask (H, W) with ``divide_one``, number the parts and drop small ones: int32 (H, W).

    ``divide_one``: (window of the piece in the image, piece (h, w) bool) -> numbers of its parts (h, w). Pieces are divided
    one after the other, and large ones block by block, so that the labels and one block are all that memory holds.
    """
    labels = _drop_small(ndimage.label(mask)[0], minimum_area)
    count = labels.max(initial=0)
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        if max(side.stop - side.start for side in window) <= SPECK:  # noise has thousands of such pieces
            continue
        piece = labels[window] == number
        at_once = piece.size <= (tiles.BLOCK_SIDE + tiles.BLOCK_OVERLAP) ** 2
        parts = divide_one(window, piece) if at_once else _divide_in_blocks(window, piece, divide_one)
        parts = _drop_small(parts.astype(np.int32), 1)
        further = parts.max() - 1
        if further:
            labels[window][piece] = np.append([0, number], count + np.arange(1, further + 1)).astype(np.int32)[parts[piece]]
            count += further
    return _drop_small(labels, minimum_area)


def _divide_in_blocks(place, piece, divide_one):
    """Do the same as ``divide_one`` block by block, for a piece (H, W) that is too large to be divided at once."""

    def divide_window(window):
        def divide_there(part, some):
            starts = [p.start + w.start for p, w in zip(place, window, strict=True)]
            return divide_one(tuple(slice(s + p.start, s + p.stop) for s, p in zip(starts, part, strict=True)), some)

        return _divide_pieces(piece[window], divide_there, 1)

    return tiles.number_in_blocks(piece.shape, divide_window, tiles.BLOCK_SIDE, tiles.BLOCK_OVERLAP)


def fit_watershed(
    validation: Predictions, score: Callable[[Sequence, Sequence[NDArray]], float], most: int = FITTED_ON
) -> Watershed:
    """Return the parameters with the best ``score`` on at most ``most`` validation images.

    The search tries h (or the marker threshold) together with the minimum area. Then it tries the minimum confidence.
    ``score``: a function of samples and label images, such as ``scores.matching.mean_seg``; higher is better.
    """
    validation = Predictions(*(evenly(part, most) for part in validation[:3]), validation.maps)
    maps, found = validation.maps, {}
    areas = [np.unique(sample.mask[sample.mask > 0], return_counts=True)[1] for sample in validation.samples]
    areas = np.concatenate(areas)
    median = np.median(areas) if len(areas) else 1
    tried = candidates(maps, [max(1, round(share * median)) for share in MINIMUM_AREAS])

    def objects(how):
        if maps.border:  # holes are filled up to the minimum area
            return find_all_objects(validation, how)
        if how.h not in found:  # small objects are dropped afterwards: each h is computed once
            found.clear()
            found[how.h] = find_all_objects(validation, how._replace(minimum_area=1))
        return [_drop_small(labels.copy(), how.minimum_area) for labels in found[how.h]]

    bar = progress(tried, "Fitting the watershed", "setting")
    best = max(bar, key=lambda how: score(validation.samples, objects(how)))
    labels = find_all_objects(validation, best)

    def confident(least):
        images = zip(labels, validation.probabilities, strict=True)
        kept = [_drop_doubtful(numbers.copy(), maps.foreground(p), least) for numbers, p in images]
        return score(validation.samples, kept)

    return best._replace(minimum_confidence=max(MINIMUM_CONFIDENCES, key=confident))


def candidates(maps: OutputMaps, minimum_areas: Sequence[int]) -> list[Watershed]:
    """Return the parameters to try for a network with these maps."""
    if maps.border:
        return [Watershed(None, value, area) for value, area in itertools.product(MARKER_THRESHOLDS, minimum_areas)]
    heights = H_DISTANCE_MAP if maps.distance else H_PIXELS
    return [Watershed(h, None, area) for h, area in itertools.product(heights, minimum_areas)]


def _drop_small(labels, minimum_area):
    """Drop labels (int32) below ``minimum_area`` px and number the others from 1 without gaps, in place."""
    return _keep(labels, _sums(labels) >= minimum_area)


def _drop_doubtful(labels, foreground, least):
    """Drop labels whose mean probability of foreground is below ``least`` and number the others, in place."""
    if not least:
        return labels
    return _keep(labels, _sums(labels, foreground) >= least * _sums(labels))


def _keep(labels, kept):
    kept[0] = False
    numbers = (kept * np.cumsum(kept)).astype(np.int32)
    for rows in _strips(labels):
        labels[rows] = numbers[labels[rows]]
    return labels


def _sums(labels, values=None):
    """Return the sum of ``values`` in each label, or the area (px) of each label if there are no values: float64 (labels,)."""
    total = np.zeros(labels.max(initial=0) + 1)
    for rows in _strips(labels):
        weights = None if values is None else values[rows].ravel()
        total += np.bincount(labels[rows].ravel(), weights, len(total))
    return total


def _strips(labels):
    """Return slices that divide the rows of an image into strips."""
    return [slice(start, start + STRIP) for start in range(0, len(labels), STRIP)]
