"""Simulated nuclei in several kinds of microscope, in Kaggle's layout."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from scipy import ndimage
from skimage.draw import polygon
from tqdm import tqdm

from simulate.scene import illumination, make_once, smooth_noise


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
    ``folder`` and returns it; ``simulate.make_once`` says what becomes of a folder that exists.
    """
    return make_once(Path(folder), {"photographs": photographs, "side": side, "seed": seed}, _write_nuclei)


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
    strength *= 1 + modality.texture * smooth_noise(rng, shape, 2.0)
    strength = ndimage.gaussian_filter(strength, modality.blur).astype(np.float32)[..., None]
    background, nucleus = np.float32(modality.background), np.float32(modality.nucleus)
    clutter = modality.clutter * (smooth_noise(rng, shape, 3.0) + smooth_noise(rng, shape, 12.0))
    image = background + (nucleus - background) * strength - np.sign(background - nucleus) * clutter[..., None]
    image = image * (1 + modality.light * illumination(rng, shape))[..., None]
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


def _write_nuclei(folder, photographs, side, seed):
    for index in tqdm(range(photographs), desc="Simulating nuclei", unit="photograph", disable=None):
        rng = np.random.default_rng((seed, index))
        image, labels = photograph(rng, MODALITIES[index % len(MODALITIES)], (side, side))
        for corner, crop in enumerate(_crops(index, side)):
            name = hashlib.sha256(f"{seed} {index} {corner}".encode()).hexdigest()
            _write_kaggle(folder / name, name, image[crop], labels[crop])


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
