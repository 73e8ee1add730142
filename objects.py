"""From a mask to separate objects: touching ones are divided where the mask is narrow."""

import numpy as np
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

NECKS = (0.5, 1.0, 2.0, 3.0, 5.0)  # px


def separate(mask, neck=1.0, least_area=1):
    """Number the objects of a mask (H, W): int32, 0 is background.

    A watershed on the distance from the background (Vincent and Soille 1991): two parts become two objects when each
    is at least ``neck`` px deeper than the narrowest place between them. Objects below ``least_area`` px are dropped.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask > 0, 1))[1:-1, 1:-1]  # what the image's edge cuts off ends there
    depth[mask == 0] = -neck - 1  # every object, however thin, has a seed
    # skimage's h_maxima keeps shallower maxima of floats; this is its definition (Soille 2003).
    seeds, _ = ndimage.label(local_maxima(reconstruction(depth - neck, depth).round(6)), np.ones((3, 3)))
    labels = watershed(-depth, seeds, mask=mask > 0)
    areas = np.bincount(labels.ravel())
    numbers = np.where(areas >= least_area, 1, 0)
    numbers[0] = 0
    return (numbers * np.cumsum(numbers))[labels].astype(np.int32)


def count_objects(mask, neck=1.0, least_area=1):
    """How many objects a mask (H, W) holds, see ``separate``."""
    return int(separate(mask, neck, least_area).max(initial=0))
