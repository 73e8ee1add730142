"""Simulated microscopy with exact truth, written in the layout in which the real images are published.

Simulated images let everything run on an empty machine and give tests a truth. They are no substitute for real ones,
and every score from them says so.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile
from scipy import ndimage
from skimage.draw import polygon
from tqdm import tqdm

from files import read_json, write_json

VERSION = 1  # raise it when the images change


@dataclass(frozen=True)
class Modality:
    """How nuclei look under one microscope. Lengths in px, intensities as shares of white."""

    name: str
    radius: tuple[float, float]  # of a nucleus, drawn evenly
    density: float  # share of the field that nuclei are drawn for
    background: tuple[float, float, float]  # colour between nuclei
    nucleus: tuple[float, float, float]  # colour of a typical nucleus
    variation: float  # of brightness from nucleus to nucleus, standard deviation as a share
    texture: float  # contrast inside a nucleus
    clutter: float  # strength of the structures between nuclei
    light: float  # unevenness of the illumination
    blur: float  # standard deviation of the point spread
    noise: float  # standard deviation of the camera noise


MODALITIES = (
    Modality("fluorescence, small", (6, 10), 0.12, (0.03,) * 3, (0.35,) * 3, 0.35, 0.15, 0.01, 0.3, 1.0, 0.01),
    Modality("fluorescence, large", (14, 22), 0.25, (0.05,) * 3, (0.45,) * 3, 0.3, 0.2, 0.02, 0.4, 1.5, 0.02),
    Modality("fluorescence, dim", (10, 15), 0.15, (0.03,) * 3, (0.10,) * 3, 0.25, 0.2, 0.01, 0.4, 2.0, 0.01),
    Modality("bright field", (9, 15), 0.15, (0.85,) * 3, (0.45,) * 3, 0.2, 0.2, 0.06, 0.15, 1.0, 0.02),
    Modality("histology", (9, 14), 0.2, (0.87, 0.72, 0.84), (0.42, 0.27, 0.56), 0.2, 0.25, 0.12, 0.1, 0.8, 0.02),
)


def nuclei(folder, photographs=36, side=512, seed=0):
    """Write simulated nuclei in Kaggle's layout, some photographs cut into neighbouring crops.

    Makes ``ImageId/images/ImageId.png`` (uint8 RGBA) and ``ImageId/masks/*.png`` (0/255, one nucleus each) under
    ``folder`` and returns it. A folder made earlier with the same arguments is left as it is, one with others is made
    anew, and one that this function did not make is refused with ValueError. It appears only when it is complete.
    """
    return _make_once(Path(folder), {"photographs": photographs, "side": side, "seed": seed}, _write_nuclei)


def particles(folder, scenes=32, seed=0):
    """Write simulated cells in the layout of BBBC005, each scene in two stains, in focus and at one level of blur.

    Makes ``BBBC005_v1_images/SIMCEPImages_A01_C1_F1_s01_w1.TIF`` (uint8) and the same names, 0/255, under
    ``BBBC005_v1_ground_truth``; also for blurred images, whose truth the published set does not hold. Returns
    ``folder``, which is kept and made as ``nuclei`` does.
    """
    return _make_once(Path(folder), {"scenes": scenes, "seed": seed}, _write_particles)


def photograph(rng, modality, shape):
    """One simulated photograph: float32 (H, W, 3) in [0, 1], and its nuclei, uint16 (H, W), exact."""
    labels = draw_nuclei(rng, shape, modality.radius, modality.density)
    return render(rng, labels, modality), labels


def draw_nuclei(rng, shape, radius, density, touching=0.4):
    """Numbered smooth blobs, uint16 (H, W): ``touching`` is the share of them that are put against another one.

    ``radius``: smallest and largest mean radius in px. ``density``: expected share of covered pixels. Where two would
    overlap, the earlier one stays whole; what is left of the later one is in one piece or is not drawn.
    """
    labels = np.zeros(shape, np.uint16)
    centres, number = [], 0
    count = max(2, rng.poisson(density * shape[0] * shape[1] / (np.pi * np.mean(radius) ** 2)))
    for _ in range(count):
        size = rng.uniform(*radius)
        centre = rng.uniform(0, shape)
        if centres and rng.random() < touching:
            neighbour, reach = centres[rng.integers(len(centres))]
            angle = rng.uniform(0, 2 * np.pi)
            centre = neighbour + (reach + size) * rng.uniform(0.85, 1.0) * np.array([np.sin(angle), np.cos(angle)])
        rows, columns = _outline(rng, centre, size, shape)
        free = labels[rows, columns] == 0
        if free.sum() < max(20, 0.6 * len(rows)) or not _in_one_piece(rows[free], columns[free]):
            continue
        number += 1
        labels[rows[free], columns[free]] = number
        centres.append((centre, size))
    return labels


def render(rng, labels, modality):
    """What the microscope shows of numbered nuclei: float32 (H, W, 3) in [0, 1]."""
    shape = labels.shape
    strength = np.append(0, np.clip(rng.normal(1, modality.variation, labels.max()), 0.3, 2))[labels]
    strength *= 1 + modality.texture * _smooth_noise(rng, shape, 2.0)
    strength = ndimage.gaussian_filter(strength, modality.blur).astype(np.float32)[..., None]
    background, nucleus = np.float32(modality.background), np.float32(modality.nucleus)
    clutter = modality.clutter * (_smooth_noise(rng, shape, 3.0) + _smooth_noise(rng, shape, 12.0))
    image = background + (nucleus - background) * strength - np.sign(background - nucleus) * clutter[..., None]
    image = image * (1 + modality.light * _illumination(rng, shape))[..., None]
    image += modality.noise * rng.standard_normal((*shape, 1), dtype=np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def _outline(rng, centre, size, shape):
    """Pixels (rows, columns) inside an ellipse with a gently waving border."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    stretch, turn = rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
    radii = size / np.sqrt(stretch * np.cos(angles) ** 2 + np.sin(angles) ** 2 / stretch)
    for waves in (2, 3, 4):
        radii = radii * (1 + rng.normal(0, 0.04) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi)))
    return polygon(centre[0] + radii * np.sin(angles + turn), centre[1] + radii * np.cos(angles + turn), shape)


def _in_one_piece(rows, columns):
    box = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), bool)
    box[rows - rows.min(), columns - columns.min()] = True
    return ndimage.label(box)[1] == 1


def _smooth_noise(rng, shape, sigma):
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return noise / max(float(noise.std()), 1e-6)


def _illumination(rng, shape):
    """A smooth slope and a bright spot, roughly -0.5 to 0.5."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    angle, spot = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5, 2)
    slope = 0.25 * (np.cos(angle) * y + np.sin(angle) * x)
    return (slope + 0.5 * np.exp(-((y - spot[0]) ** 2 + (x - spot[1]) ** 2)) - 0.25).astype(np.float32)


def _write_nuclei(folder, photographs, side, seed):
    for index in tqdm(range(photographs), desc="Simulating nuclei", unit="photograph", disable=None):
        rng = np.random.default_rng((seed, index))
        image, labels = photograph(rng, MODALITIES[index % len(MODALITIES)], (side, side))
        for corner, crop in enumerate(_crops(index, side)):
            name = hashlib.sha256(f"{seed} {index} {corner}".encode()).hexdigest()
            _write_kaggle(folder / name, name, image[crop], labels[crop])


# BBBC005's page: counts from 1 to 100 in 24 steps, focus levels F1 to F48 (here five of them), clustering probability
# 25 %, camera noise of variance 0.0001, blur by a Gaussian of diameter F and standard deviation 0.25 F px. Areas and
# intensities are those of its images in focus: medians of 913 px (w1, compact) and 3,412 px (w2, ragged).
COUNTS = tuple(round(1 + 99 * step / 23) for step in range(24))
FOCUS = (1, 10, 23, 35, 48)
CLUSTERING = 0.25
STAINS = {
    1: {"area": 905, "area_spread": 0.06, "corners": 7, "ragged": 0.10, "level": 0.50, "level_spread": 0.07, "texture": 0.2},
    2: {"area": 3350, "area_spread": 0.12, "corners": 9, "ragged": 0.30, "level": 0.54, "level_spread": 0.04, "texture": 0.13},
}


def _write_particles(folder, scenes, seed, shape=(520, 696)):
    for kind in ("images", "ground_truth"):
        (folder / f"BBBC005_v1_{kind}").mkdir()
    for index in tqdm(range(scenes), desc="Simulating particles", unit="scene", disable=None):
        rng = np.random.default_rng((seed, index))
        step = index * 7 % len(COUNTS)  # all counts in any order, so that every level of blur gets few and many
        centres = scatter_cells(rng, COUNTS[step], shape)
        for stain in STAINS:
            image, mask = draw_stain(rng, centres, stain, shape)
            for level in (0, 1 + index % (len(FOCUS) - 1)):
                well = f"{'ABCDEFGHIJKLMNOP'[level]}{step + 1:02d}"
                name = f"SIMCEPImages_{well}_C{COUNTS[step]}_F{FOCUS[level]}_s{index + 1:02d}_w{stain}.TIF"
                tifffile.imwrite(folder / "BBBC005_v1_images" / name, defocus(image, FOCUS[level]))
                tifffile.imwrite(folder / "BBBC005_v1_ground_truth" / name, np.uint8(255) * mask)


def scatter_cells(rng, count, shape):
    """Centres (count, 2) of cells whose nuclei do not overlap; a quarter of them beside another one."""
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
    """One stain of a scene in focus: what the camera shows, float32 (H, W) in [0, 1], and the exact mask, bool."""
    look = STAINS[stain]
    strength = np.zeros(shape, np.float32)
    for centre in centres:
        area = look["area"] * rng.normal(1, look["area_spread"])
        rows, columns = _ragged_outline(rng, centre, area, look, shape)
        strength[rows, columns] = rng.normal(look["level"], look["level_spread"])
    mask = strength > 0
    texture = 0.8 * _smooth_noise(rng, shape, 4.0) + 0.6 * _smooth_noise(rng, shape, 1.5)
    image = ndimage.gaussian_filter(strength * (1 + look["texture"] * texture), 0.7)
    return np.clip(image + rng.normal(0, 0.01, shape), 0, 1).astype(np.float32), mask


def defocus(image, focus):
    """An image in [0, 1] as seen at focus level ``focus``, blurred after the camera as in BBBC005; uint8."""
    if focus > 1:
        image = ndimage.gaussian_filter(image, 0.25 * focus, radius=focus // 2)
    return (255 * image).round().astype(np.uint8)


def _ragged_outline(rng, centre, area, look, shape):
    """Pixels (rows, columns) inside a polygon whose corners lie at random distances, of the given area in px."""
    angles = np.linspace(0, 2 * np.pi, look["corners"], endpoint=False) + rng.uniform(0, 2 * np.pi)
    radii = 1 + look["ragged"] * rng.uniform(-1, 1, look["corners"])
    enclosed = 0.5 * np.sin(2 * np.pi / look["corners"]) * (radii * np.roll(radii, 1)).sum()
    radii *= np.sqrt(area / enclosed)
    return polygon(centre[0] + radii * np.sin(angles), centre[1] + radii * np.cos(angles), shape)


def _crops(index, side):
    """Every third photograph gives four neighbouring crops, as in stage1_train; the others one, of several sizes."""
    half = side // 2
    if index % 3 == 0:
        return [(slice(y, y + half), slice(x, x + half)) for y in (0, half) for x in (0, half)]
    height, width = [(half, half), (half, half * 5 // 4), (half * 5 // 4, half), (half * 11 // 8, half * 11 // 8)][index % 4]
    return [(slice(0, height), slice(0, width))]


def _write_kaggle(folder, name, image, labels):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    opaque = np.ones((*labels.shape, 1), np.float32)
    pixels = (255 * np.concatenate([image, opaque], axis=-1)).round().astype(np.uint8)
    iio.imwrite(folder / "images" / f"{name}.png", pixels)
    for number in np.unique(labels[labels > 0]) if labels.any() else [1]:  # no nuclei: one black mask
        mask = np.where(labels == number, 255, 0).astype(np.uint8)
        iio.imwrite(folder / "masks" / f"{hashlib.sha256(f'{name} {number}'.encode()).hexdigest()}.png", mask)


def _make_once(folder, arguments, write):
    """Run ``write(folder, **arguments)`` in a temporary folder and rename it, unless the same was made before."""
    note, made = "simulated.json", {"version": VERSION, **arguments}
    if (folder / note).exists() and read_json(folder / note) == made:
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / note).exists():
        raise ValueError(f"{folder}: holds files that this program did not make; move them away or choose another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(temporary, **arguments)
        write_json(temporary / note, made)
        os.chmod(temporary, 0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
