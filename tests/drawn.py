"""Images that tests draw, with truths that a person can count."""

import numpy as np
from scipy import ndimage


def squares(dtype=np.uint8, high=200):
    """Two bright squares of 20 px on a dark field, odd sides."""
    image = np.full((75, 131), 10, dtype)
    image[5:25, 5:25], image[40:60, 100:120] = high, high
    return image


def nuclei(rows=3, columns=4, diameter=22, distance=48, noise=4):
    """Blurred bright discs on a dark field, as fluorescent nuclei look: image uint8 (H, W), their numbers (H, W)."""
    y, x = np.mgrid[: rows * distance, : columns * distance]
    row, column = y // distance, x // distance
    radius = np.hypot(y % distance - distance / 2, x % distance - distance / 2)
    truth = np.where(radius <= diameter / 2, row * columns + column + 1, 0)
    bright = 20 + 120 * ndimage.gaussian_filter((truth > 0).astype(float), 1.0)
    drawn = bright + np.random.default_rng(0).normal(0, noise, bright.shape)
    return drawn.clip(0, 255).round().astype(np.uint8), truth
