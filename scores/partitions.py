"""Find the cells between membranes, and score how well two partitions into cells agree: the scores of ISBI 2012.

They are the foreground-restricted Rand and information scores after border thinning, with alpha = 0.5. Source:
Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for connectomics", Frontiers in
Neuroanatomy 9, 2015.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize
from skimage.segmentation import watershed

from objects import basins

CORNER_APART = ndimage.generate_binary_structure(2, 1)  # cells that meet only at a corner are two
SMOOTHING = 2  # px, standard deviation; without smoothing, the search for gaps would mistake noise for cells


def cells_of_truth(mask: NDArray) -> NDArray[np.int32]:
    """Number the cells of a true mask (H, W), above 0 inside cells: int32, 0 on membranes."""
    return ndimage.label(mask > 0, CORNER_APART)[0].astype(np.int32)


def cells_after_thinning(membrane: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the cells between proposed membranes (H, W) thinned to a skeleton: int32, 0 on the skeleton.

    Thinning shortens lines. So the image is first continued beyond its edges, and no gap opens there.
    """
    width = max(1, max(membrane.shape) // 8)
    skeleton = skeletonize(np.pad(membrane, width, mode="edge"))[width:-width, width:-width]
    return ndimage.label(~skeleton, CORNER_APART)[0].astype(np.int32)


def close_gaps(membrane: NDArray[np.float32], h: float) -> NDArray[np.float32]:
    """Return the probability of membrane (H, W), with the value 1 on lines that close gaps in membranes.

    The lines come from a watershed (Vincent and Soille 1991) of the smoothed probability. Two places belong to different cells
    if every path between them crosses a place where the probability of membrane is at least ``h`` higher than at both ends.
    """
    smooth = ndimage.gaussian_filter(membrane, SMOOTHING)
    lines = watershed(smooth, basins(smooth, h), watershed_line=True) == 0
    return np.where(lines, 1, membrane).astype(np.float32)


def v_rand(truth: NDArray, proposed: NDArray) -> float:
    """Return the Rand score of two label images (H, W), 0 to 1: how often two pixels lie in one cell in both images.

    Only pixels in the true cells (above 0) count; each proposed membrane pixel (0) among them is a separate cell. Raises
    ValueError if the shapes differ or there is no true cell.
    """
    joint, true, found = _shares(truth, proposed)
    return float(2 * (joint**2).sum() / ((true**2).sum() + (found**2).sum()))


def v_info(truth: NDArray, proposed: NDArray) -> float:
    """Return the information score of two label images (H, W), 0 to 1: mutual information divided by the mean entropy.

    The same pixels count as in ``v_rand``. The score is 1 if both images have a single cell.
    """
    joint, true, found = (_entropy(shares) for shares in _shares(truth, proposed))
    return float(2 * (true + found - joint) / (true + found)) if true + found > 0 else 1.0


def _shares(truth, proposed):
    """Return the share of pixels in each pair of cells, in each true cell and in each proposed cell: three 1-D arrays."""
    inside = truth > 0
    if truth.shape != proposed.shape:
        raise ValueError(f"the truth is {truth.shape} px and the proposed cells {proposed.shape}; they must be equal.")
    if not inside.any():
        raise ValueError("the truth holds no cell: there is nothing to compare; expected labels above 0.")
    true, found = truth[inside].astype(np.int64), proposed[inside].astype(np.int64)
    alone = found == 0
    found[alone] = found.max() + 1 + np.arange(alone.sum())
    counts = [np.unique(labels, return_counts=True)[1] for labels in (true * (found.max() + 1) + found, true, found)]
    return [count / inside.sum() for count in counts]


def _entropy(shares):
    return -(shares * np.log(shares)).sum()
