"""Measure augmentation: how many 512x512 images with masks each change makes per second, alone and together, and elasticdeform.

python benchmarks/augmentation.py
"""

import sys
import timeit
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

import augment

REPEATS = 40


def main():
    image = augment.cv2.GaussianBlur(np.random.default_rng(0).random((512, 512), dtype=np.float32), (0, 0), 3)[..., None]
    mask = (image[..., 0] > 0.5).astype(np.uint16)
    print("| change | ms | per second |\n|---|---|---|")
    for row in time_table(image, mask).itertuples():
        print(f"| {row.Index} | {row.ms:.2f} | {row.per_second:.0f} |")


def fields(grid, sigma=10, seed=5):
    """Deform an image (H, W, 1) by the same field with this project and, if installed, with elasticdeform: {name: image}."""
    knots, shape = np.random.default_rng(seed).normal(0, sigma, (2, 3, 3)), grid.shape[:2]
    coordinates = augment.identity_grid(shape) + augment.spline_displacement(knots, shape)
    ours, _ = augment.warp(grid, np.zeros(shape, np.uint8), coordinates)
    try:
        import elasticdeform
    except ImportError:
        print("elasticdeform is not installed: pip install -r requirements-dev.txt")
        return {"this project": ours}
    theirs = elasticdeform.deform_grid(grid[..., 0], knots, order=3, mode="mirror")[..., None]
    return {"this project": ours, "elasticdeform": theirs, "ten times their difference": 10 * np.abs(ours - theirs)}


def time_table(image, mask, repeats=REPEATS):
    """Return the median time of every change of an image (H, W, C) and its mask: DataFrame with ``ms`` and ``per_second``.

    elasticdeform has a row if it is installed.
    """
    rng = np.random.default_rng(0)
    actions = {change.__name__: lambda change=change: change(rng, image, mask) for change in augment.CHANGES}
    actions["all in one"] = lambda: augment.intensity(rng, *augment.geometry(rng, image, mask))
    tile = {"origin": (image.shape[0] // 4, image.shape[1] // 4), "shape": (256, 256)}
    actions["all in one, 256x256 tile"] = lambda: augment.intensity(rng, *augment.geometry(rng, image, mask, **tile))
    try:
        import elasticdeform

        planes = [image[..., 0].astype(float), mask.astype(float)]
        knots = rng.normal(0, 10, (2, 3, 3))
        actions["elasticdeform's elastic"] = lambda: elasticdeform.deform_grid(planes, knots, order=[3, 0], mode="mirror")
    except ImportError:
        print("elasticdeform is not installed: pip install -r requirements-dev.txt")
    seconds = {name: np.median(timeit.repeat(action, number=1, repeat=repeats)) for name, action in actions.items()}
    return pd.DataFrame({"ms": {k: 1000 * v for k, v in seconds.items()}, "per_second": {k: 1 / v for k, v in seconds.items()}})


if __name__ == "__main__":
    main()
