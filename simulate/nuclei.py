"""Simulated nuclei in several kinds of microscope, in Kaggle's layout."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from scipy import ndimage
from skimage.draw import polygon

from simulate.scene import illumination, make_once, smooth_noise
from system.progress import progress


@dataclass(frozen=True)
class Modality:
    """How nuclei look under one microscope. Lengths in px, intensities as shares of white."""

    name: str
    radius: tuple[float, float]  # smallest and largest mean radius of a nucleus; uniform between them
    density: float  # share of the image that nuclei should cover
    background: tuple[float, float, float]  # colour between nuclei
    nucleus: tuple[float, float, float]  # colour of a typical nucleus
    variation: float  # standard deviation of the nuclei's contrast, as a share of the mean
    texture: float  # contrast inside a nucleus
    clutter: float  # strength of the structures between nuclei
    light: float  # unevenness of the illumination
    blur: float  # standard deviation of the point spread function
    noise: float  # standard deviation of the camera noise


@dataclass(frozen=True)
class Kind:
    """How one kind of nuclei differs from the typical nucleus of a modality."""

    name: str
    size: float  # factor on the radius
    stretch: tuple[float, float]  # smallest and largest ratio of the two axes; uniform between them
    contrast: float  # factor on the contrast with the background


MODALITIES = (
    Modality("fluorescence, small", (6, 10), 0.12, (0.03,) * 3, (0.35,) * 3, 0.35, 0.15, 0.01, 0.3, 1.0, 0.01),
    Modality("fluorescence, large", (14, 22), 0.25, (0.05,) * 3, (0.45,) * 3, 0.3, 0.2, 0.02, 0.4, 1.5, 0.02),
    Modality("fluorescence, dim", (10, 15), 0.15, (0.03,) * 3, (0.10,) * 3, 0.25, 0.2, 0.01, 0.4, 2.0, 0.01),
    Modality("bright field", (9, 15), 0.15, (0.85,) * 3, (0.45,) * 3, 0.2, 0.2, 0.06, 0.15, 1.0, 0.02),
    Modality("histology", (9, 14), 0.2, (0.87, 0.72, 0.84), (0.42, 0.27, 0.56), 0.2, 0.25, 0.12, 0.1, 0.8, 0.02),
)

TYPICAL = Kind("nucleus", 1.0, (1.0, 1.5), 1.0)
TWO_KINDS = (Kind("small round nucleus", 0.75, (1.0, 1.15), 1.3), Kind("large long nucleus", 1.4, (1.9, 2.4), 0.6))


def nuclei(folder, photographs=36, side=512, seed=0, kinds=1):
    """Write simulated nuclei in Kaggle's layout. Cut some photographs into neighbouring crops.

    Write ``ImageId/images/ImageId.png`` (uint8 RGBA) and ``ImageId/masks/*.png`` (0/255, one nucleus each) under
    ``folder`` and return ``folder``. With ``kinds=2`` the nuclei are of two kinds (1: small, round, high contrast; 2: large,
    elongated, low contrast), and ``ImageId/classes/ImageId.png`` (uint8) holds 0 for background, or the number of the kind.
    ``simulate.scene.make_once`` says what happens if the folder exists. Raises ValueError for other ``kinds``.
    """
    if kinds not in (1, 2):
        raise ValueError(f"kinds is {kinds}; nuclei of 1 or 2 kinds can be simulated.")
    arguments = {"photographs": photographs, "side": side, "seed": seed} | ({"kinds": kinds} if kinds > 1 else {})
    return make_once(Path(folder), arguments, _write_nuclei)


def photograph(rng, modality, shape):
    """Return a simulated photograph, float32 (H, W, 3) in [0, 1], and its exact labels, uint16 (H, W)."""
    labels = draw_nuclei(rng, shape, modality.radius, modality.density)
    return render(rng, labels, modality), labels


def photograph_of_kinds(rng, modality, shape, kinds=TWO_KINDS):
    """Return a photograph and labels as ``photograph`` does, and the class of each pixel, uint8 (H, W): 0, or 1 + kind."""
    labels, kind = _scatter(rng, shape, modality.radius, modality.density, 0.4, kinds)
    contrast = np.array([kinds[number].contrast for number in kind])
    return render(rng, labels, modality, contrast), labels, np.append(0, 1 + kind).astype(np.uint8)[labels]


def draw_nuclei(rng, shape, radius, density, touching=0.4):
    """Draw numbered smooth blobs, uint16 (H, W). Place the share ``touching`` of them against another one.

    ``radius``: smallest and largest mean radius in px. ``density``: expected share of covered pixels. Where two would
    overlap, the earlier one stays whole. The rest of the later one is drawn only if it is in one piece.
    """
    return _scatter(rng, shape, radius, density, touching, (TYPICAL,))[0]


def render(rng, labels, modality, contrast=1.0):
    """Return what the microscope shows of numbered nuclei: float32 (H, W, 3) in [0, 1].

    ``contrast``: a factor on the contrast of all nuclei, or one factor for each nucleus in the order of the numbers.
    """
    shape = labels.shape
    strength = np.append(0, contrast * np.clip(rng.normal(1, modality.variation, labels.max()), 0.3, 2))[labels]
    strength *= 1 + modality.texture * smooth_noise(rng, shape, 2.0)
    strength = ndimage.gaussian_filter(strength, modality.blur).astype(np.float32)[..., None]
    background, nucleus = np.float32(modality.background), np.float32(modality.nucleus)
    clutter = modality.clutter * (smooth_noise(rng, shape, 3.0) + smooth_noise(rng, shape, 12.0))
    image = background + (nucleus - background) * strength - np.sign(background - nucleus) * clutter[..., None]
    image = image * (1 + modality.light * illumination(rng, shape))[..., None]
    image += modality.noise * rng.standard_normal((*shape, 1), dtype=np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def _scatter(rng, shape, radius, density, touching, kinds):
    """Draw nuclei of several kinds in equal shares: their labels, and the index of each nucleus's kind."""
    labels = np.zeros(shape, np.uint16)
    centres, chosen, number = [], [], 0
    area = np.pi * np.mean(radius) ** 2 * np.mean([kind.size**2 for kind in kinds])
    count = max(2, rng.poisson(density * shape[0] * shape[1] / area))
    for _ in range(count):
        index = int(rng.integers(len(kinds))) if len(kinds) > 1 else 0
        size = kinds[index].size * rng.uniform(*radius)
        centre = rng.uniform(0, shape)
        if centres and rng.random() < touching:
            neighbour, reach = centres[rng.integers(len(centres))]
            angle = rng.uniform(0, 2 * np.pi)
            centre = neighbour + (reach + size) * rng.uniform(0.85, 1.0) * np.array([np.sin(angle), np.cos(angle)])
        rows, columns = _outline(rng, centre, size, kinds[index].stretch, shape)
        free = labels[rows, columns] == 0
        if free.sum() < max(20, 0.6 * len(rows)) or not _in_one_piece(rows[free], columns[free]):
            continue
        number += 1
        labels[rows[free], columns[free]] = number
        centres.append((centre, size))
        chosen.append(index)
    return labels, np.array(chosen, int)


def _outline(rng, centre, size, stretch, shape):
    """Return the pixels (rows, columns) inside an ellipse with a gently waving border."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    ratio, turn = rng.uniform(*stretch), rng.uniform(0, np.pi)
    radii = size / np.sqrt(ratio * np.cos(angles) ** 2 + np.sin(angles) ** 2 / ratio)
    for waves in (2, 3, 4):
        radii = radii * (1 + rng.normal(0, 0.04) * np.cos(waves * angles + rng.uniform(0, 2 * np.pi)))
    return polygon(centre[0] + radii * np.sin(angles + turn), centre[1] + radii * np.cos(angles + turn), shape)


def _in_one_piece(rows, columns):
    box = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), bool)
    box[rows - rows.min(), columns - columns.min()] = True
    return ndimage.label(box)[1] == 1


def _write_nuclei(folder, photographs, side, seed, kinds=1):
    for index in progress(range(photographs), "Simulating nuclei", "photograph"):
        rng = np.random.default_rng((seed, index))
        draw = photograph if kinds == 1 else photograph_of_kinds
        image, labels, *classes = draw(rng, MODALITIES[index % len(MODALITIES)], (side, side))
        for corner, crop in enumerate(_crops(index, side)):
            name = hashlib.sha256(f"{seed} {index} {corner}".encode()).hexdigest()
            _write_kaggle(folder / name, name, image[crop], labels[crop])
            for pixels in classes:
                (folder / name / "classes").mkdir()
                iio.imwrite(folder / name / "classes" / f"{name}.png", pixels[crop])


def _crops(index, side):
    """Return four neighbouring crops of every third photograph, as in stage1_train, and one crop of the others."""
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
