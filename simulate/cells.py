"""Simulated cells in differential interference contrast, over time, in the layout of the Cell Tracking Challenge."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage

from simulate.scene import illumination, make_once, smooth_noise
from system.progress import progress

PIXEL = 0.65  # µm
GOLD_EVERY = 4
DIAMETERS = (34, 58)  # of a circle of a cell's area, px
AXES = ["frame", "label", "major_px", "minor_px", "orientation", "touches_border"]
TIFF = {"compression": "lzw", "resolution": (1e4 / PIXEL, 1e4 / PIXEL), "resolutionunit": "CENTIMETER"}


@dataclass(frozen=True)
class Cell:
    """A cell that moves and turns at constant speed: lengths in px, angles in radians, ``drift`` and ``turn`` per frame.

    ``angle``: of the major axis, as ``orientation`` in ``skimage.measure.regionprops``. ``waves``: (number, height,
    phase) of each wave on the border; an ellipse has none. ``texture``: (T, T), unevenness that moves with the cell.
    """

    centre: np.ndarray
    drift: np.ndarray
    angle: float
    turn: float
    major: float
    minor: float
    waves: tuple
    texture: np.ndarray

    def coordinates(self, time, shape):
        """Return the pixels around the cell at ``time``: (window, place, distance).

        The window is two slices. The place, (2, h, w), is in px along the major and the minor axis. The distance from the
        centre, (h, w), is 1 at the border of the cell.
        """
        centre, angle = self.centre + self.drift * time, self.angle + self.turn * time
        edges = np.clip([centre - 0.75 * self.major, centre + 0.75 * self.major], 0, shape).astype(int)
        window = tuple(slice(*pair) for pair in edges.T)
        y, x = np.mgrid[window] - centre[:, None, None]
        place = np.stack([y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)])
        direction, distance = np.arctan2(place[1], place[0]), np.hypot(2 * place[0] / self.major, 2 * place[1] / self.minor)
        border = 1 + sum(height * np.cos(number * direction + phase + 0.05 * time) for number, height, phase in self.waves)
        return window, place, distance / border


def low_contrast_cells(folder, frames=24, side=256, seed=0):
    """Write two simulated sequences of cells in the layout of the Cell Tracking Challenge.

    For the sequences ``01`` and ``02``, write under ``folder``: ``01/t000.tif`` (uint8, ``side`` x ``side`` px of 0.65 µm),
    ``01_GT/SEG/man_seg000.tif`` (uint16 numbers of the cells, exact, every fourth frame), ``01_ST/SEG/man_seg000.tif``
    (the same for every frame, with borders about 1 px off) and ``01_GT/axes.csv``, the true axes of the ellipses, see
    ``true_axes``. Return ``folder``; ``simulate.scene.make_once`` says what happens if it exists.
    """
    return make_once(Path(folder), {"frames": frames, "side": side, "seed": seed}, _write_sequences)


def scatter_cells(rng, count, frames, shape):
    """Return up to ``count`` Cells that overlap little in all frames. Some lie beside others; two of three are ellipses."""
    cells, times = [], np.linspace(0, frames, 9)[:, None]
    for _ in range(20 * count):
        cell = _random_cell(rng, shape, cells[rng.integers(len(cells))] if cells and rng.random() < 0.6 else None)
        apart = [np.linalg.norm(cell.centre - other.centre + (cell.drift - other.drift) * times, axis=1) for other in cells]
        reach = [0.22 * (cell.major + cell.minor + other.major + other.minor) for other in cells]
        free = all(distance.min() > least for distance, least in zip(apart, reach, strict=True))
        if free and (np.abs(cell.centre / shape - 0.5) < 0.42).all():
            cells.append(cell)
        if len(cells) == count:
            break
    return cells


def draw_labels(cells, time, shape):
    """Number the cells of one frame: uint16 (H, W). Where two overlap, the earlier one stays whole; each is one piece."""
    labels = np.zeros(shape, np.uint16)
    for number, cell in enumerate(cells, start=1):
        window, _, distance = cell.coordinates(time, shape)
        pieces, count = ndimage.label((distance <= 1) & (labels[window] == 0))
        if count:
            labels[window][pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()] = number
    return labels


def true_axes(cells, time, labels):
    """Return the ellipses of a frame that no other cell covers in part: a list of rows with the columns of ``AXES``.

    ``orientation``: as in ``skimage.measure.regionprops``. ``touches_border``: the image may cut off a part of the ellipse.
    """
    rows, edge = [], np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    for number, cell in enumerate(cells, start=1):
        window, _, distance = cell.coordinates(time, labels.shape)
        mine = labels[window] == number
        if not cell.waves and mine.any() and (mine == (distance <= 1)).all():
            angle = (cell.angle + cell.turn * time + np.pi / 2) % np.pi - np.pi / 2
            rows.append((time, number, cell.major, cell.minor, angle, number in edge))
    return rows


def render(rng, cells, time, labels, light):
    """Return what the microscope shows of one frame: uint8 (H, W). ``light``: its uneven illumination, (H, W)."""
    thickness = np.zeros(labels.shape, np.float32)
    for number, cell in enumerate(cells, start=1):
        window, place, distance = cell.coordinates(time, labels.shape)
        body, nucleus = (np.sqrt(np.clip(1 - (distance / part) ** 2, 0, 1)) for part in (1, 0.45))
        texture = ndimage.map_coordinates(cell.texture, place + len(cell.texture) / 2, order=1)
        heap = 5 * body + 1.5 * nucleus + np.minimum(2 * body, 1) * texture
        thickness[window] += heap * (labels[window] == number)
    thickness = ndimage.gaussian_filter(thickness, 0.8)
    relief = thickness - ndimage.shift(thickness, (1.0, 1.4), order=1, mode="nearest")
    image = 128 + 12 * relief + 0.6 * thickness + 16 * light + 3 * smooth_noise(rng, labels.shape, 0.5)
    return np.uint8(image.round().clip(0, 255))


def _random_cell(rng, shape, neighbour):
    """Return a cell anywhere, or one beside ``neighbour`` that moves with it."""
    centre, drift = rng.uniform(0, shape), rng.normal(0, 0.4, 2)
    diameter, stretch = rng.uniform(*DIAMETERS), rng.uniform(1.1, 1.8)
    major, minor = diameter * np.sqrt(stretch), diameter / np.sqrt(stretch)
    if neighbour:
        angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.1)
        step = gap * (diameter + np.sqrt(neighbour.major * neighbour.minor)) / 2
        centre, drift = neighbour.centre + step * np.array([np.sin(angle), np.cos(angle)]), neighbour.drift + 0.1 * drift
    waves = [] if rng.random() < 2 / 3 else [(n, rng.uniform(0.02, 0.06), rng.uniform(0, 6)) for n in (2, 3, 5, 9)]
    fine, coarse = (smooth_noise(rng, (2 * int(major), 2 * int(major)), sigma) for sigma in (1.2, 1.6))
    texture = rng.uniform(0.5, 1.0) * coarse + rng.uniform(0, 4) * np.maximum(fine - 1.2, 0)
    return Cell(centre, drift, rng.uniform(0, np.pi), rng.normal(0, 0.02), major, minor, tuple(waves), texture)


def _write_sequences(folder, frames, side, seed):
    for sequence in ("01", "02"):
        rng, shape, axes = np.random.default_rng((seed, int(sequence))), (side, side), []
        for part in ("", "_GT/SEG", "_ST/SEG"):
            (folder / f"{sequence}{part}").mkdir(parents=True)
        cells, light = scatter_cells(rng, rng.integers(6, 11), frames, shape), illumination(rng, shape)
        for time in progress(range(frames), f"Simulating cells {sequence}", "frame"):
            moved = [replace(c, centre=c.centre + rng.normal(0, 0.6, 2), major=c.major + rng.normal(0, 1)) for c in cells]
            labels = draw_labels(cells, time, shape)
            axes += true_axes(cells, time, labels)
            tifffile.imwrite(folder / f"{sequence}/t{time:03d}.tif", render(rng, cells, time, labels, light), **TIFF)
            tifffile.imwrite(folder / f"{sequence}_ST/SEG/man_seg{time:03d}.tif", draw_labels(moved, time, shape), **TIFF)
            if time % GOLD_EVERY == 0:
                tifffile.imwrite(folder / f"{sequence}_GT/SEG/man_seg{time:03d}.tif", labels, **TIFF)
        pd.DataFrame(axes, columns=AXES).to_csv(folder / f"{sequence}_GT/axes.csv", index=False, float_format="%.4f")
