"""Simulated electron microscopy of neurites and their membranes, in the layout of ISBI 2012."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from simulate.scene import make_once, smooth_noise
from system.progress import progress

TEST_SLICES = 5
SMALLEST = 16  # px; smaller parts of a cell count as membrane


@dataclass(frozen=True)
class Neurite:
    """A cell that runs through the slices. Lengths are in px within a slice, and in slices across them."""

    centre: np.ndarray  # (row, column) in slice ``depth``
    drift: np.ndarray  # px per slice
    radius: float
    axes: np.ndarray  # (2, 2): from px along rows and columns to radii along the long and the short axis
    depth: float  # the slice in which it is thickest
    height: float  # slices from there to the slice in which the neighbours have replaced it
    mitochondrion: bool

    def position(self, z):
        """Return the centre in slice ``z``: (row, column)."""
        return (self.centre + self.drift * (z - self.depth)).astype(np.float32)

    def radii(self, z, y, x):
        """Return the distance of points (y, x) of slice ``z`` from the centre in radii: 1 on the ellipse."""
        y0, x0 = self.position(z)
        return np.sqrt(sum((down * (y - y0) + along * (x - x0)) ** 2 for down, along in self.axes))


def membranes(folder, slices=20, side=256, seed=0):
    """Write two simulated stacks of neurites, one with labels and one without.

    Write ``train-volume.tif`` (uint8, ``slices`` pages of ``side`` x ``side`` px), ``train-labels.tif`` (uint8, 255 in
    cells, 0 on membranes) and ``test-volume.tif`` (5 pages of another piece of tissue) under ``folder``. Membranes
    enclose every cell: pixels of 255 that are connected by their sides are one cell. Neighbouring slices are alike.
    Return ``folder``; ``simulate.scene.make_once`` says what happens if it exists.
    """
    return make_once(Path(folder), {"slices": slices, "side": side, "seed": seed}, _write_membranes)


def scatter_neurites(rng, slices, side, margin=30):
    """Return few large and many small neurites that fill a stack and ``margin`` px around it: a list of Neurite."""
    neurites = []
    for _ in range(side * side // 60):
        radius, stretch = float(np.clip(rng.lognormal(3.0, 0.65), 9, 60)), rng.uniform(1, 2.5)
        angle, depth = rng.uniform(0, np.pi), rng.uniform(0, slices)
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        axes = np.float32([[stretch**-0.5], [stretch**0.5]]) / np.float32(radius) * turned
        centre, drift = rng.uniform(-margin, side + margin, 2), rng.normal(0, 1.2, 2)
        mitochondrion = radius > 14 and rng.random() < 0.8
        neurite = Neurite(centre, drift, radius, axes, depth, rng.uniform(10, 40), mitochondrion)
        place = neurite.position(slices / 2)
        if all(np.hypot(*(place - n.position(slices / 2))) > 0.85 * (radius + n.radius) for n in neurites):
            neurites.append(neurite)
    return neurites


def divide(neurites, z, warp):
    """Return the number of the neurite at each pixel of slice ``z``: int (H, W). ``warp``: displacement in px, (2, H, W)."""
    y, x = np.indices(warp.shape[1:], dtype=np.float32) + warp
    nearest, owner = np.full(warp.shape[1:], np.inf, np.float32), np.zeros(warp.shape[1:], int)
    for number, neurite in enumerate(neurites):
        thinned = ((z - neurite.depth) / neurite.height) ** 2
        distance = neurite.radius * (neurite.radii(z, y, x) - (1 - thinned))
        owner[distance < nearest] = number
        nearest = np.minimum(nearest, distance)
    return owner


def from_membrane(owner):
    """Return the distance of each pixel from the line where two neurites meet, 0 in the last pixel of one: px, (H, W)."""
    last = np.zeros(owner.shape, bool)
    last[:, :-1] |= owner[:, 1:] != owner[:, :-1]
    last[:-1] |= owner[1:] != owner[:-1]
    return ndimage.distance_transform_edt(~last)


def draw_cells(away, half):
    """Return the cells, which are more than ``half`` px (one number or (H, W)) ``away`` from the membranes: bool (H, W)."""
    pieces, _ = ndimage.label(away > half)
    return (pieces > 0) & (np.bincount(pieces.ravel())[pieces] >= SMALLEST)


def draw_stack(rng, slices, side):
    """Return slices of neurites, uint8 (D, H, W), and their cells, bool of the same shape."""
    shape, neurites = (slices, side, side), scatter_neurites(rng, slices, side)
    warp = 4 * np.stack([smooth_noise(rng, shape, (4, 10, 10)) for _ in "yx"], axis=1)
    half, texture = np.clip(1.6 + 0.5 * smooth_noise(rng, shape, (2, 12, 12)), 1, 2.4), cytoplasm(rng, shape)
    images, cells = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    for z in progress(range(slices), "Simulating membranes", "slice"):
        owners = [divide(neurites, z + part, warp[z]) for part in (-0.35, 0, 0.35)]  # oblique membranes blur in a section
        away = [from_membrane(owner) for owner in owners]
        seen = np.mean([np.exp(-((distance / half[z]) ** 2)) for distance in away], axis=0)
        inner = texture[z] + mitochondria(neurites, z, warp[z], owners[1])
        cells[z], images[z] = draw_cells(away[1], half[z]), render(rng, seen, inner, away[1])
    return images, cells


def cytoplasm(rng, shape):
    """Return what texture and vesicles (rings about 6 px wide) add to the gray levels of cells: float32 (D, H, W)."""
    where = 0.004 * np.clip(smooth_noise(rng, shape, (2, 15, 15)) + 0.8, 0, 2.5)
    points = (rng.random(shape) < where).astype(np.float32)
    lumen, coat = (ndimage.gaussian_filter(points, (0.4, sigma, sigma)) for sigma in (1.2, 2.0))
    return 12 * smooth_noise(rng, shape, (0.7, 2, 2)) + 2000 * lumen - 4800 * coat


def mitochondria(neurites, z, warp, owner):
    """Return what mitochondria, dark with darker rims, add to the gray levels of slice ``z``: float32 (H, W)."""
    y, x = np.indices(owner.shape, dtype=np.float32) + warp
    added = np.zeros(owner.shape, np.float32)
    for number, neurite in enumerate(neurites):
        if neurite.mitochondrion:
            distance = np.hypot(neurite.radii(z, y, x) * max(1.8, neurite.radius / 14), (z - neurite.depth) / 5)
            mine = (owner == number) & (distance < 1)
            added[mine] = np.where(distance[mine] < 0.85, -45 + 10 * np.sin(1.5 * (x + y))[mine], -70)
    return added


def render(rng, seen, inner, away):
    """Return what the microscope shows of one slice: uint8 (H, W).

    ``seen``: share of the section's thickness that is membrane, 0 to 1. ``inner``: gray levels of the inside of cells.
    ``away``: distance in px from where neurites meet. All (H, W).
    """
    dense = np.maximum(smooth_noise(rng, seen.shape, 10) - 1.3, 0) * np.exp(-((away / 6) ** 2))  # as at synapses
    image = rng.normal(160, 6) + inner * np.clip(away / 3 - 1, 0, 1) - 105 * seen - 40 * dense
    noise = 15 * smooth_noise(rng, seen.shape, 0.7)
    return np.uint8((ndimage.gaussian_filter(image, 0.7) + noise).round().clip(0, 255))


def _write_membranes(folder, slices, side, seed):
    images, cells = draw_stack(np.random.default_rng((seed, 0)), slices, side)
    tifffile.imwrite(folder / "train-volume.tif", images, photometric="minisblack")
    tifffile.imwrite(folder / "train-labels.tif", np.uint8(255) * cells, photometric="minisblack")
    images, _ = draw_stack(np.random.default_rng((seed, 1)), TEST_SLICES, side)
    tifffile.imwrite(folder / "test-volume.tif", images, photometric="minisblack")
