"""Size and shape of labelled objects, in px and µm, and how well two measurements of the same objects agree."""

import numpy as np
import pandas as pd
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import regionprops
from tqdm import tqdm

LENGTHS = ("equivalent_diameter", "feret_min", "feret_max", "perimeter", "major_axis", "minor_axis")
MANY = 5000  # objects, which take so long that a bar is shown
QUANTITIES = ("equivalent_diameter", "feret_min", "feret_max", "area", "perimeter", "elongation", "orientation")
UNITS = {"area": "px²", "elongation": "", "orientation": "degrees"}  # of the others: px
OUTLINE = np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])  # from a pixel's centre to the middles of its sides


def measure_objects(labels, pixel_size=None, image=None):
    """Measure every object of a label image (H, W): DataFrame with one row each.

    ``label``; ``row``, ``column`` of the centroid (px); ``area`` (px²); ``equivalent_diameter`` of the disc of that
    area, ``feret_min`` and ``feret_max`` (narrowest and widest caliper), ``perimeter``, ``major_axis`` and
    ``minor_axis`` of the ellipse with the same second moments (px); ``elongation``, the axes' ratio; ``orientation``
    of the major axis (degrees from the horizontal, counter-clockwise, -90 to 90); ``solidity``, area over that of the
    convex hull; ``touches_border`` of the image. With ``pixel_size`` (µm per px) also ``<name>_um`` of every length
    and ``area_um2``; with ``image`` (H, W) also ``mean_intensity`` and ``integrated_intensity``, its mean and sum over
    the object, in the image's own values.
    """
    regions, rows = regionprops(labels)[::-1], []
    for _ in tqdm(range(len(regions)), "Measuring", leave=False, unit="object", disable=None if len(regions) >= MANY else True):
        rows.append(_measure(regions.pop(), labels.shape, image))  # popped: a region remembers all that is asked of it
    columns = list(_measure(regionprops(np.ones((1, 1), int))[0], (1, 1), None if image is None else np.ones((1, 1))))
    table = pd.DataFrame(rows, columns=columns)
    if image is not None:
        table["mean_intensity"] = table["integrated_intensity"] / table["area"]
    if pixel_size:
        for name in LENGTHS:
            table[f"{name}_um"] = table[name] * pixel_size
        table["area_um2"] = table["area"] * pixel_size**2
    return table


def feret(points):
    """Narrowest and widest caliper of a set of points (N, 2): (min, max), in their unit."""
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    heights = normals @ hull.T  # (edges, corners)
    return float((heights.max(axis=1) - heights.min(axis=1)).min()), float(pdist(hull).max())


def agreement(true, measured):
    """Bias and limits of agreement of ``QUANTITIES`` (Bland and Altman 1986), one row each: DataFrame.

    ``true``, ``measured``: tables of ``measure_objects`` whose rows are the same objects. ``bias``: mean of measured -
    true; ``lower``, ``upper``: bias ± 1.96 standard deviations, between which 95 % of normal differences lie;
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


def differences(true, measured, name):
    """RecipeResult minus true values of one quantity, row by row: float array."""
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
        "elongation": max(major, 1.0) / max(minor, 1.0),  # those of a single pixel are 0
        "orientation": np.rad2deg(region.orientation) % 180 - 90,
        "solidity": region.solidity,
        "touches_border": top == 0 or left == 0 or bottom == shape[0] or right == shape[1],
        **intensity,
    }


def row_ends(mask):
    """The first and the last column of every row of a mask (h, w) that has any: (rows, first, last), int (N,)."""
    rows = np.flatnonzero(mask.any(axis=1))
    return rows, mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
