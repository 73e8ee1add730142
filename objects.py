"""From a mask or probabilities to separate objects."""

import itertools
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.morphology import local_minima, reconstruction, remove_small_holes
from skimage.segmentation import watershed
from tqdm import tqdm

import tiles
from data import Predictions, evenly
from metrics import foreground

NECKS = (0.5, 1.0, 2.0, 3.0, 5.0)  # px
DEPTHS = (0.15, 0.1, 0.2, 0.3, 0.06)  # of an object's own depth
SEEDS = (0.5, 0.7, 0.3, 0.8, 0.9, 0.95)  # of equally good ones the first is taken
MINIMUM_AREAS = (0.05, 0.1, 0.2)  # shares of the median area
MINIMUM_CONFIDENCES = (0, 0.7, 0.75, 0.8, 0.85, 0.9)
STRIP = 1024  # rows that are looked at together
SPECK = 3  # px; pieces up to so high and wide are one object
CORNERS_TOUCH = np.ones((3, 3))
SMOOTHING = 0.7  # px, of depths that a network predicts
FITTED_ON = 12  # images; more do not change what is chosen, and take minutes


class Watershed(NamedTuple):
    """How masks become objects, the smallest area (px), and the least mean probability of foreground in an object.

    ``strength``: the neck (px); where the network knows depths, what takes its place; where it knows edges, the seed's value.
    """

    strength: float
    minimum_area: int = 1
    confidence: float = 0


def divide(mask, probability, how):
    """Number the objects of a mask (H, W): int32 (H, W), 0 background.

    ``probability``: (H, W, maps) of ``unet.build_unet``: foreground; foreground and depth; or background, inside and border.
    """
    if probability.shape[-1] > 2:
        labels = separate_by_seeds(mask, probability[..., 1], how.strength, how.minimum_area)
    else:
        depth = ndimage.gaussian_filter(probability[..., 1], SMOOTHING) if probability.shape[-1] == 2 else None
        labels = separate(mask, how.strength, how.minimum_area, depth)
    return _drop_doubtful(labels, probability, how.confidence)


def divide_all(predicted, how):
    """The numbered objects of every image of a Predictions set: [int32 (H, W)]."""
    return [divide(mask, probability, how) for mask, probability in zip(predicted.masks, predicted.probabilities, strict=True)]


def separate(mask, neck=1.0, minimum_area=1, depth=None):
    """Number the objects of a mask (H, W): int32, 0 is background.

    A watershed on the distance from the background (Vincent and Soille 1991), or on ``depth`` (H, W) where a network has
    learned it: two parts become two objects when each is at least ``neck`` deeper than the shallowest place between them,
    in px or in the unit of ``depth``. Objects below ``minimum_area`` px are dropped.
    """

    def divide_one(window, piece):
        if depth is None:  # what the image's edge cuts off ends there
            surface = -ndimage.distance_transform_edt(np.pad(piece, 1))[1:-1, 1:-1]
        else:
            surface = -depth[window].astype(np.float64)
        if np.ptp(surface[piece]) < neck:  # there cannot be two parts
            return piece
        surface[~piece] = neck + 1  # every object, however thin, has a seed
        return watershed(surface, basins(surface, neck), mask=piece)

    return _divide_pieces(mask > 0, divide_one, minimum_area)


def basins(surface, depth):
    """Number the bottoms of a surface (H, W) that lie at least ``depth`` below the way to a lower one: int32, else 0."""
    # skimage's h_minima keeps shallower minima of floats; this is its definition (Soille 2003).
    filled = reconstruction(surface + depth, surface, method="erosion").round(6)
    bottoms = local_minima(filled)
    return ndimage.label(bottoms if bottoms.any() else ~bottoms, CORNERS_TOUCH)[0]  # a flat surface is one


def separate_by_seeds(mask, inside, seed=0.5, minimum_area=1):
    """Number the objects of a mask (H, W) whose network knows their edges: int32 (H, W), 0 background.

    ``inside``: 0 to 1, high off the edges of objects. Seeds are the connected places where it is above ``seed``; they
    grow at equal speed until they fill the mask. A piece of the mask without a seed is one object. Holes and objects
    below ``minimum_area`` px are removed.
    """
    mask = remove_small_holes(mask > 0, max_size=minimum_area - 1)
    seeds = _drop_small(ndimage.label((inside > seed) & mask)[0], max(1, minimum_area // 4))

    def divide_one(window, piece):
        own = np.where(piece, seeds[window], 0)
        numbers = np.unique(own[own > 0])
        if len(numbers) < 2:
            return piece
        return watershed(ndimage.distance_transform_edt(own == 0), own, mask=piece)

    return _divide_pieces(mask, divide_one, minimum_area)


def _divide_pieces(mask, divide_one, minimum_area):
    """Number what ``divide_one`` makes of every connected piece of a mask (H, W), without what is too small: int32.

    ``divide_one``: (window of the piece in the image, piece (h, w) bool) -> numbers of its parts (h, w). One piece after
    the other, and large ones block by block: beyond the labels of the image, the memory is that of a block. Noise has
    thousands of pieces of a few px, which are one each.
    """
    labels = _drop_small(ndimage.label(mask)[0], minimum_area)
    count = labels.max(initial=0)
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        if max(side.stop - side.start for side in window) <= SPECK:
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
    """As ``divide_one``, for a piece (H, W) that is too large to be divided at once."""

    def divide_window(window):
        def divide_there(part, some):
            starts = [p.start + w.start for p, w in zip(place, window, strict=True)]
            return divide_one(tuple(slice(s + p.start, s + p.stop) for s, p in zip(starts, part, strict=True)), some)

        return _divide_pieces(piece[window], divide_there, 1)

    return tiles.number_in_blocks(piece.shape, divide_window, tiles.BLOCK_SIDE, tiles.BLOCK_OVERLAP)


def fit_watershed(validation, score, most=FITTED_ON):
    """The Watershed with the best ``score`` on at most so many images of a Predictions validation set.

    Tried are strengths, and three least areas, shares of the true objects' median area; then confidences. ``score``: a
    function of samples and label images, as ``matching.mean_seg``; higher is better.
    """
    validation = Predictions(*(evenly(part, most) for part in validation))
    areas = np.concatenate([np.bincount(sample.mask.ravel())[1:] for sample in validation.samples])
    median = np.median(areas[areas > 0]) if areas.any() else 1
    tried = candidates(validation.probabilities[0], [max(1, round(share * median)) for share in MINIMUM_AREAS])

    at_seeds, whole = validation.probabilities[0].shape[-1] > 2, {}

    def divided(how):
        if at_seeds:
            return divide_all(validation, how)
        if how.strength not in whole:  # small objects are dropped afterwards: each strength is looked for once
            whole.clear()
            whole[how.strength] = divide_all(validation, Watershed(how.strength))
        return [_drop_small(labels.copy(), how.minimum_area) for labels in whole[how.strength]]

    def scored(how):
        return score(validation.samples, divided(how))

    best = max(tqdm(tried, desc="Fitting the separation", unit="setting", disable=None), key=scored)
    objects = divide_all(validation, best)

    def scored_at(least):
        images = zip(objects, validation.probabilities, strict=True)
        return score(validation.samples, [_drop_doubtful(labels.copy(), probability, least) for labels, probability in images])

    return best._replace(confidence=max(MINIMUM_CONFIDENCES, key=scored_at))


def candidates(probability, least_areas):
    """The Separations to try for a network that gives such a probability (H, W, maps)."""
    strengths = {1: NECKS, 2: DEPTHS}.get(probability.shape[-1], SEEDS)
    return [Watershed(strength, area) for strength, area in itertools.product(strengths, least_areas)]


def _drop_small(labels, minimum_area):
    """Labels (int32) without those below ``minimum_area`` px, numbered from 1 without a break, in place."""
    return _keep(labels, _sums(labels) >= minimum_area)


def _drop_doubtful(labels, probability, least):
    """Labels without those whose mean probability of foreground is below ``least``, numbered from 1, in place."""
    if not least:
        return labels
    return _keep(labels, _sums(labels, foreground(probability)) >= least * _sums(labels))


def _keep(labels, kept):
    kept[0] = False
    numbers = (kept * np.cumsum(kept)).astype(np.int32)
    for rows in _strips(labels):
        labels[rows] = numbers[labels[rows]]
    return labels


def _sums(labels, values=None):
    """The sum of ``values`` in every label from 0 on, or its area in px: float64."""
    total = np.zeros(labels.max(initial=0) + 1)
    for rows in _strips(labels):
        weights = None if values is None else values[rows].ravel()
        total += np.bincount(labels[rows].ravel(), weights, len(total))
    return total


def _strips(labels):
    """Slices of rows: what is copied of a large image is small."""
    return [slice(start, start + STRIP) for start in range(0, len(labels), STRIP)]
