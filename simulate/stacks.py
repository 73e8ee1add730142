"""Simulated stacks of slices through whole cells, as in soft X-ray tomography: one cell in a capillary per sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from simulate.scene import make_once, smooth_noise
from system.progress import progress

ICE = 0.3  # absorption between cell and capillary, where that of a dense cell is 1


@dataclass(frozen=True)
class Specimen:
    """How one sample differs from the others. Absorptions are shares of the absorption of a dense cell."""

    radius: float  # of the cell in its widest slice, as a share of the slice's side
    height: float  # of the cell, as a share of the stack's
    density: float  # of the cytoplasm
    nucleus: float  # how much denser the nucleus is, as a share of the cytoplasm
    texture: float  # unevenness of the cell, standard deviation
    granules: int
    lipid: float  # additional absorption of half of the granules; the others absorb less than their surroundings
    glass: float  # additional absorption of the capillary
    debris: int  # pieces of other cells in the capillary, which are background
    clouds: float  # unevenness of the ice, standard deviation
    rings: float  # strength of the rings and streaks of the reconstruction
    noise: float  # standard deviation
    gain: float  # grey levels for an absorption of 1


def stacks(folder, samples=9, slices=16, side=160, seed=0):
    """Write simulated tomograms of one cell each, cut into slices. The first and the last slice show no cell.

    Write images, ``inp/1_image_0000.tiff`` (uint16, ``side`` x ``side`` px; sample, then slice), and masks with the same
    names, 255 in the cell and 0 elsewhere (uint8), under ``out``. Neighbouring slices are near-copies; samples differ in
    size, density, contrast and noise. Return ``folder``; ``simulate.scene.make_once`` says what happens if it exists.
    """
    return make_once(Path(folder), {"samples": samples, "slices": slices, "side": side, "seed": seed}, _write_stacks)


def random_specimen(rng):
    """Return a random Specimen. Samples differ so much that a network learns more from slices of the same sample."""
    return Specimen(
        radius=rng.uniform(0.36, 0.43),
        height=rng.uniform(0.8, 0.97),
        density=rng.uniform(0.7, 1.0),
        nucleus=rng.uniform(-0.25, 0.25),
        texture=rng.uniform(0.03, 0.07),
        granules=rng.integers(10, 80),
        lipid=rng.uniform(0.2, 1.2),
        glass=rng.uniform(0.1, 1.2),
        debris=rng.integers(0, 6),
        clouds=rng.uniform(0.0, 0.06),
        rings=rng.uniform(0.01, 0.04),
        noise=rng.uniform(0.03, 0.08),
        gain=rng.uniform(8000, 30000),
    )


def draw_body(rng, shape, centre, radii):
    """Return a flat-topped ellipsoid with a waving surface: bool (D, H, W). ``centre``, ``radii``: in slices, px, px."""
    z, y, x = ((axis - c) / r for axis, c, r in zip(np.indices(shape, sparse=True), centre, radii, strict=True))
    distance = np.sqrt(z**4 + y**2 + x**2)
    border = np.ones(shape)
    for height in rng.uniform(0.02, 0.06, 6):
        towards = rng.normal(0, 2.0, 3)
        wave = (towards[0] * z + towards[1] * y + towards[2] * x) / np.maximum(distance, 0.3)
        border += height * np.sin(wave + rng.uniform(0, 2 * np.pi))
    return distance <= border / border.max()


def draw_sample(rng, specimen, shape):
    """Return the absorption of one cell in its capillary, float32 (D, H, W), and the cell, bool of the same shape."""
    middle, side = (np.array(shape) - 1) / 2, shape[1]
    radii = np.array([specimen.height * middle[0], *specimen.radius * side * rng.uniform(0.9, 1.05, 2)])
    cell = draw_body(rng, shape, middle + np.array([0, side, side]) * rng.uniform(-0.03, 0.03, 3), radii)
    nucleus = cell & draw_body(rng, shape, middle + rng.uniform(-0.2, 0.2, 3) * radii, radii * rng.uniform(0.5, 0.65))
    inside = specimen.density * (1 + specimen.nucleus * nucleus) + specimen.texture * smooth_noise(rng, shape, (1.0, 2.5, 2.5))
    outside = ICE + specimen.clouds * smooth_noise(rng, shape, (2.0, 9.0, 9.0))
    for _ in range(specimen.debris):
        direction, size = rng.uniform(0, 2 * np.pi), np.array([0.5 * shape[0], *rng.uniform(0.05, 0.13, 2) * side])
        away = np.array([shape[0] * rng.uniform(-0.5, 0.5), 0.36 * side * np.sin(direction), 0.36 * side * np.cos(direction)])
        outside[draw_body(rng, shape, middle + away, size)] = specimen.density * rng.uniform(0.8, 1.1)
    radius = _polar(side)[0] / side
    outside += specimen.glass * np.exp(-(((radius - 0.49) / 0.015) ** 2)) - 0.5 * ICE * (radius > 0.5)
    absorption = np.where(cell, inside, outside) + _granules(rng, shape, specimen)
    return absorption.astype(np.float32), cell


def scan(rng, absorption, specimen):
    """Return what the reconstruction shows of an absorption, with rings, streaks and noise: uint16 (D, H, W)."""
    slices, side = absorption.shape[:2]
    radius, angle = _polar(side)
    rings = smooth_noise(rng, (slices, side), (2.0, 0.8))[:, radius.astype(int)]
    streaks = smooth_noise(rng, (slices, 361), 1.0)[:, angle.astype(int)] * np.minimum(radius / side, 0.5)
    seen = ndimage.gaussian_filter(absorption, (0.3, 0.8, 0.8)) + specimen.rings * (rings + streaks)
    seen += specimen.noise * smooth_noise(rng, absorption.shape, (0.4, 0.8, 0.8))
    return np.uint16(np.clip(specimen.gain * (0.3 + seen), 0, 65535))


def _polar(side):
    """Return the distance of each pixel from the middle of a slice in px, and its direction in degrees, 0 to 360."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(y, x), np.degrees(np.arctan2(y, x)) + 180


def _granules(rng, shape, specimen):
    """Return what droplets and vacuoles add to the absorption, (D, H, W). Most of them lie in the cell."""
    added = np.zeros(shape)
    z, y, x = np.indices(shape, sparse=True)
    for _ in range(specimen.granules):
        centre, radius = rng.uniform(0.2, 0.8, 3) * shape, rng.uniform(0.01, 0.03) * shape[1]
        height = rng.uniform(0.08, 0.15) * shape[0]
        apart = ((z - centre[0]) / height) ** 2 + ((y - centre[1]) ** 2 + (x - centre[2]) ** 2) / radius**2
        added[apart <= 1] += rng.choice([specimen.lipid, -0.25])
    return added


def _write_stacks(folder, samples, slices, side, seed):
    for part in ("inp", "out"):
        (folder / part).mkdir()
    for number in progress(range(1, samples + 1), "Simulating stacks", "sample"):
        rng = np.random.default_rng((seed, number))
        specimen = random_specimen(rng)
        absorption, cell = draw_sample(rng, specimen, (slices, side, side))
        for index, image in enumerate(scan(rng, absorption, specimen)):
            name = f"{number}_image_{index:04d}.tiff"
            tifffile.imwrite(folder / "inp" / name, image)
            tifffile.imwrite(folder / "out" / name, np.uint8(255) * cell[index])
