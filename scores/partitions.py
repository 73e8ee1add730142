"""Cells between membranes, and how well one partition into cells agrees with another: the scores of ISBI 2012.

Source: Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics",
Frontiers in Neuroanatomy 9, 2015: the foreground-restricted Rand and information scores after border thinning,
alpha = 0.5.
"""

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize
from skimage.segmentation import watershed

from objects import basins

CORNER_APART = ndimage.generate_binary_structure(2, 1)  # cells that meet only at a corner are two
SMOOTHING = 2  # standard deviation before gaps are sought, px: grains of the probability are no cells


def cells_of_truth(mask):
    """Number the cells of a true mask (H, W), above 0 inside cells: int32, 0 on membranes."""
    return ndimage.label(mask > 0, CORNER_APART)[0].astype(np.int32)


def cells_after_thinning(membrane):
    """Number the cells between proposed membranes (H, W, bool) thinned to a skeleton: int32, 0 on the skeleton.

    The image is continued beyond its edge before thinning, so that no membrane draws back from it and opens a gap.
    """
    width = max(membrane.shape) // 8
    skeleton = skeletonize(np.pad(membrane, width, mode="edge"))[width:-width, width:-width]
    return ndimage.label(~skeleton, CORNER_APART)[0].astype(np.int32)


def close_gaps(membrane, depth):
    """The probability of membrane (H, W) with 1 on the lines that close gaps in it: float32.

    The lines are those of a watershed (Vincent and Soille 1991) of the smoothed probability: two places are two cells
    when all ways from one to the other lead over membrane that is at least ``depth`` more probable than both are.
    """
    smooth = ndimage.gaussian_filter(membrane, SMOOTHING)
    lines = watershed(smooth, basins(smooth, depth), watershed_line=True) == 0
    return np.where(lines, 1, membrane).astype(np.float32)


def v_rand(truth, proposed):
    """Rand score of two label images (H, W), 0 to 1: how often pairs of pixels are together in both.

    Only pixels in the truth's cells (above 0) count; each proposed membrane pixel (0) among them is a cell of its own.
    """
    joint, true, found = _shares(truth, proposed)
    return float(2 * (joint**2).sum() / ((true**2).sum() + (found**2).sum()))


def v_info(truth, proposed):
    """Information score of two label images (H, W), 0 to 1: mutual information over the mean entropy.

    The same pixels count as in ``v_rand``. Two partitions of one cell each agree: 1.
    """
    joint, true, found = (_entropy(shares) for shares in _shares(truth, proposed))
    return float(2 * (true + found - joint) / (true + found)) if true + found > 0 else 1.0


def _shares(truth, proposed):
    """Shares of the pixels in every pair of cells, every true cell, every proposed cell: three 1-D arrays."""
    inside = truth > 0
    if truth.shape != proposed.shape:
        raise ValueError(f"the truth is {truth.shape} px and the proposed cells {proposed.shape}; they must be equal.")
    if not inside.any():
        raise ValueError("the truth holds no cell: nothing to compare.")
    true, found = truth[inside].astype(np.int64), proposed[inside].astype(np.int64)
    alone = found == 0
    found[alone] = found.max() + 1 + np.arange(alone.sum())
    counts = [np.unique(labels, return_counts=True)[1] for labels in (true * (found.max() + 1) + found, true, found)]
    return [count / inside.sum() for count in counts]


def _entropy(shares):
    return -(shares * np.log(shares)).sum()
