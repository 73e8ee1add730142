"""Measure size, shape and intensity of labelled objects, in px and µm, and compare two measurements of the same objects."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import regionprops

from system.progress import progress

LENGTHS = ("equivalent_diameter", "feret_min", "feret_max", "perimeter", "major_axis", "minor_axis")
MANY = 5000  # objects; from this number on, a progress bar is shown
QUANTITIES = ("equivalent_diameter", "feret_min", "feret_max", "area", "perimeter", "elongation", "orientation")
UNITS = {"area": "px²", "elongation": "", "orientation": "degrees"}  # all others: px
OUTLINE = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])  # offsets from a pixel's centre to the middles of its sides


def measure_objects(labels: NDArray[np.integer], pixel_size: float | None = None, image: NDArray | None = None) -> pd.DataFrame:
    """Measure each object of a label image (H, W): one row per object.

    Columns: ``label``, the object's number; ``row``, ``column`` of the centroid (px); ``area`` (px²); ``equivalent_diameter``
    of the disc with that area; ``feret_min``, ``feret_max``, the smallest and the largest caliper; ``perimeter``;
    ``major_axis``, ``minor_axis`` of the ellipse with the same second moments (all px); ``elongation``, major axis divided by
    minor axis; ``orientation`` of the major axis (degrees from the horizontal, counter-clockwise, -90 to 90); ``solidity``,
    area divided by the area of the convex hull; ``touches_border``, whether the object touches the edge of the image. With
    ``pixel_size`` (µm per px), also ``<name>_um`` for each length, and ``area_um2``. With ``image`` (H, W), also
    ``mean_intensity`` and ``integrated_intensity``: mean and sum of the image's own values over the object.
    """
    regions, rows = regionprops(labels)[::-1], []
    for _ in progress(range(len(regions)), "Measuring", "object", leave=False, show=None if len(regions) >= MANY else False):
        rows.append(_measure(regions.pop(), labels.shape, image))  # popped: a region keeps everything that it has computed
    columns = list(_measure(regionprops(np.ones((1, 1), int))[0], (1, 1), None if image is None else np.ones((1, 1))))
    table = pd.DataFrame(rows, columns=columns)
    if image is not None:
        table["mean_intensity"] = table["integrated_intensity"] / table["area"]
    if pixel_size:
        for name in LENGTHS:
            table[f"{name}_um"] = table[name] * pixel_size
        table["area_um2"] = table["area"] * pixel_size**2
    return table


def feret(points: NDArray) -> tuple[float, float]:
    """Return the smallest and the largest caliper diameter of a set of points (N, 2), in the unit of the points."""
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    heights = normals @ hull.T  # (edges, corners)
    return float((heights.max(axis=1) - heights.min(axis=1)).min()), float(pdist(hull).max())


def agreement(true: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Return bias and limits of agreement of ``QUANTITIES`` (Bland and Altman 1986), one row each.

    ``true``, ``measured``: tables of ``measure_objects`` whose rows are the same objects. ``bias``: mean of measured minus
    true. ``lower``, ``upper``: bias ± 1.96 standard deviations; 95 % of normally distributed differences lie between them.
    ``error``: mean absolute difference. Orientations differ by -90 to 90 degrees.
    """
    rows = []
    for name in QUANTITIES:
        difference = differences(true, measured, name)
        bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
        rows.append(
            {
                "quantity": name,
                "unit": UNITS.get(name, "px"),
                "objects": len(difference),
                "true_mean": true[name].mean(),
                "bias": bias,
                "lower": bias - spread,
                "upper": bias + spread,
                "error": np.abs(difference).mean(),
            }
        )
    return pd.DataFrame(rows)


def differences(true: pd.DataFrame, measured: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return measured minus true values of one quantity, one for each row."""
    difference = measured[name].to_numpy(float) - true[name].to_numpy(float)
    return (difference + 90) % 180 - 90 if name == "orientation" else difference


def _measure(region, shape, image=None):
    rows, first, last = row_ends(region.image)
    ends = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
    narrow, wide = feret((ends[:, None] + OUTLINE).reshape(-1, 2))
    top, left, bottom, right = region.bbox
    major, minor = region.axis_major_length, region.axis_minor_length
    intensity = {} if image is None else {"integrated_intensity": float(image[region.slice][region.image].sum(dtype=float))}
    return {
        "label": region.label,
        "row": region.centroid[0],
        "column": region.centroid[1],
        "area": region.area,
        "equivalent_diameter": region.equivalent_diameter_area,
        "feret_min": narrow,
        "feret_max": wide,
        "perimeter": region.perimeter_crofton,
        "major_axis": major,
        "minor_axis": minor,
        "elongation": max(major, 1.0) / max(minor, 1.0),  # the axes of a single pixel are 0
        "orientation": np.rad2deg(region.orientation) % 180 - 90,
        "solidity": region.solidity,
        "touches_border": top == 0 or left == 0 or bottom == shape[0] or right == shape[1],
        **intensity,
    }


def row_ends(mask: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return (rows, first columns, last columns), int (N,) each, for all rows of a mask (h, w) that are not empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    return rows, mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
