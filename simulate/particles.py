"""Simulated fluorescent cells whose number is known, in the layout of BBBC005."""

from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from skimage.draw import polygon

from simulate.scene import make_once, smooth_noise
from system.progress import progress

# BBBC005's page: counts from 1 to 100 in 24 steps, focus levels F1 to F48 (here five of them), clustering probability
# 25 %, camera noise of variance 0.0001, blur by a Gaussian of diameter F and standard deviation 0.25 F px. Areas and
# intensities are those of its images in focus: medians of 913 px (w1, compact) and 3,412 px (w2, ragged).
COUNTS = tuple(round(1 + 99 * step / 23) for step in range(24))
FOCUS = (1, 10, 23, 35, 48)
CLUSTERING = 0.25
SHARPNESS = (0.7, 1.5, 3.0)  # standard deviation of the blur at different depths of the specimen, px
STAINS = {
    1: {"area": 905, "area_spread": 0.06, "corners": 7, "ragged": 0.10, "level": 0.50, "level_spread": 0.07, "texture": 0.2},
    2: {"area": 3350, "area_spread": 0.12, "corners": 9, "ragged": 0.30, "level": 0.54, "level_spread": 0.04, "texture": 0.13},
}


def particles(folder, scenes=32, seed=0):
    """Write simulated cells in the layout of BBBC005, each scene in two stains, in focus and at one level of blur.

    Write images, ``BBBC005_v1_images/SIMCEPImages_A01_C1_F1_s01_w1.TIF`` (uint8), and masks with the same names, 0/255, under
    ``BBBC005_v1_ground_truth``. The published set has neither masks of blurred images nor ``BBBC005_v1_objects``, the numbers
    of the cells. Return ``folder``; ``simulate.scene.make_once`` says what happens if it exists.
    """
    return make_once(Path(folder), {"scenes": scenes, "seed": seed}, _write_particles)


def scatter_cells(rng, count, shape):
    """Return the centres (count, 2) of cells whose nuclei do not overlap; a quarter of them lie beside another one.

    Raises ValueError for more cells than fit.
    """
    spacing = 2 * np.sqrt(STAINS[1]["area"] / np.pi)
    if count * spacing**2 > 0.5 * shape[0] * shape[1]:
        raise ValueError(f"{count} cells do not fit into {shape[0]}x{shape[1]} px without overlap.")
    centres = np.empty((0, 2))
    while len(centres) < count:
        centre = rng.uniform(0, shape)
        if len(centres) and rng.random() < CLUSTERING:
            angle = rng.uniform(0, 2 * np.pi)
            step = spacing * rng.uniform(1.0, 1.2)
            centre = centres[rng.integers(len(centres))] + step * np.array([np.sin(angle), np.cos(angle)])
        inside = (centre >= 0).all() and (centre < shape).all()
        if inside and (np.linalg.norm(centres - centre, axis=1) > 0.95 * spacing).all():
            centres = np.vstack([centres, centre])
    return centres


def draw_stain(rng, centres, stain, shape):
    """Return one stain of a scene in focus: the image, float32 (H, W) in [0, 1], and the numbers of the cells, uint8.

    Later cells cover earlier ones. The specimen is not flat: some regions are sharper than others.
    """
    look = STAINS[stain]
    labels, levels = np.zeros(shape, np.uint8), np.zeros(len(centres) + 1, np.float32)
    for number, centre in enumerate(centres, 1):
        area = look["area"] * rng.normal(1, look["area_spread"])
        labels[_ragged_outline(rng, centre, area, look, shape)] = number
        levels[number] = rng.normal(look["level"], look["level_spread"])
    texture = 0.8 * smooth_noise(rng, shape, 4.0) + 0.6 * smooth_noise(rng, shape, 1.5)
    light = levels[labels] * (1 + look["texture"] * texture)
    depth = np.clip(1 + smooth_noise(rng, shape, 60.0), 0, len(SHARPNESS) - 1)
    shares = [np.clip(1 - np.abs(depth - level), 0, 1) for level in range(len(SHARPNESS))]
    blurred = [ndimage.gaussian_filter(light, sigma) for sigma in SHARPNESS]
    image = sum(share * picture for share, picture in zip(shares, blurred, strict=True))
    return np.clip(image + rng.normal(0, 0.01, shape), 0, 1).astype(np.float32), labels


def defocus(image, focus):
    """Return an image in [0, 1] at focus level ``focus``: uint8, blurred after the camera noise was added, as in BBBC005."""
    if focus > 1:
        image = ndimage.gaussian_filter(image, 0.25 * focus, radius=focus // 2)
    return (255 * image).round().astype(np.uint8)


def _ragged_outline(rng, centre, area, look, shape):
    """Return the pixels (rows, columns) inside a polygon with the given area in px; its corners have random distances."""
    angles = np.linspace(0, 2 * np.pi, look["corners"], endpoint=False) + rng.uniform(0, 2 * np.pi)
    radii = 1 + look["ragged"] * rng.uniform(-1, 1, look["corners"])
    enclosed = 0.5 * np.sin(2 * np.pi / look["corners"]) * (radii * np.roll(radii, 1)).sum()
    radii *= np.sqrt(area / enclosed)
    return polygon(centre[0] + radii * np.sin(angles), centre[1] + radii * np.cos(angles), shape)


def _write_particles(folder, scenes, seed, shape=(520, 696)):
    for kind in ("images", "ground_truth", "objects"):
        (folder / f"BBBC005_v1_{kind}").mkdir()
    for index in progress(range(scenes), "Simulating particles", "scene"):
        rng = np.random.default_rng((seed, index))
        step = index * 7 % len(COUNTS)  # all counts in any order, so that every level of blur gets few and many
        centres = scatter_cells(rng, COUNTS[step], shape)
        for stain in STAINS:
            image, labels = draw_stain(rng, centres, stain, shape)
            for level in (0, 1 + index % (len(FOCUS) - 1)):
                well = f"{'ABCDEFGHIJKLMNOP'[level]}{step + 1:02d}"
                name = f"SIMCEPImages_{well}_C{COUNTS[step]}_F{FOCUS[level]}_s{index + 1:02d}_w{stain}.TIF"
                tifffile.imwrite(folder / "BBBC005_v1_images" / name, defocus(image, FOCUS[level]))
                tifffile.imwrite(folder / "BBBC005_v1_ground_truth" / name, np.uint8(255) * (labels > 0))
                tifffile.imwrite(folder / "BBBC005_v1_objects" / name, labels)
