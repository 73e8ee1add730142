"""Figures of a data set: one panel per entry, one bar per role, pairs that join where they joined."""

import itertools

import numpy as np
import pandas as pd

from explore import figures_eda
from explore.leaks import Match

IMAGE = np.arange(16, dtype=np.uint16).reshape(4, 4, 1) * 4000
TRUTH = np.array([[1, 1, 0, 0]] * 4)


def test_histograms_mark_the_median_and_take_decades():
    axes = figures_eda.histograms({"few": [1, 2, 3], "decades": [1, 10, 1000, np.nan]}, "t").axes
    assert [axis.get_xscale() for axis in axes] == ["linear", "log"]
    assert axes[0].get_legend().get_texts()[0].get_text() == "median 2"
    assert axes[1].get_legend().get_texts()[0].get_text() == "median 10"


def test_the_chosen_number_of_clusters_is_marked():
    table = pd.DataFrame({"clusters": [2, 3, 4], "silhouette": [0.2, 0.5, 0.1], "inertia": [3.0, 2.0, 1.0]})
    axes = figures_eda.cluster_counts(table, 3, "t").axes
    assert all(3 in line.get_xdata() for axis in axes for line in axis.lines[1:])


def test_the_profile_shows_every_value():
    axis = figures_eda.profile(pd.DataFrame({"brightness": [1.0, -2.0], "texture": [0.0, 0.5]}), "t").axes[0]
    assert [text.get_text() for text in axis.texts] == ["1.0", "0.0", "-2.0", "0.5"]


def test_roles_add_up_to_one_in_every_cluster():
    table = pd.DataFrame({"train": [6, 1], "validation": [2, 1], "test": [2, 2]})
    bars = figures_eda.roles(table, "t").axes[0].patches
    assert np.allclose([sum(bar.get_height() for bar in bars[cluster::2]) for cluster in (0, 1)], 1)


def test_pairs_are_joined_as_the_photographs_were():
    images = [np.zeros((4, 6, 1), np.uint8), np.full((4, 6, 1), 9, np.uint8)]
    matches = [Match(0, 1, "right", 0.9, 1.0), Match(0, 1, "below", 0.8, 1.0)]
    axes = figures_eda.pairs(images, matches, "t").axes
    assert [axis.images[0].get_array().shape[:2] for axis in axes] == [(4, 12), (8, 6)]


def test_pictures_side_by_side_share_their_scale():
    axes = figures_eda.side_by_side({"a": np.zeros((2, 2, 1)), "b": np.full((2, 2, 1), 0.5)}, "t").axes
    assert [axis.images[0].get_clim() for axis in axes] == [(0, 1), (0, 1)]


def test_every_cluster_has_its_row_and_count():
    figure = figures_eda.stratum_examples([IMAGE] * 5, [0, 0, 0, 1, 1], "t", columns=2)
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["0\n3 images", "1\n2 images"]


def test_augmentations_stand_beside_each_other():
    figure = figures_eda.augmentations({"none": (IMAGE / 1.0, TRUTH), "flip": (IMAGE[::-1] / 1.0, TRUTH)}, "t")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["none", "flip"]


def test_histograms_name_columns_and_leave_texts():
    axes = figures_eda.histograms({"area": [1, 2], "nuclei per image": [3, 4], "equivalent_diameter_um": [5]}, "t").axes
    assert [axis.get_xlabel() for axis in axes] == ["Area (px²)", "nuclei per image", "Equivalent diameter (µm)"]


def test_a_column_without_values_is_no_error():
    axes = figures_eda.histograms({"area": [np.nan, np.inf], "elongation": []}, "t").axes
    assert [text.get_text() for axis in axes for text in axis.texts] == ["no values", "no values"]


def test_the_profile_has_readable_features_and_names():
    table = pd.DataFrame({"log_pixels": [1.0, -2.0]}, index=["0 dark, gray, dense and smooth, and more", "1 bright"])
    axis = figures_eda.profile(table, "t").axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["Image size"]
    assert [text.get_text().replace("\n", " ") for text in axis.get_yticklabels()] == list(table.index)


def test_named_strata_stand_beside_their_examples_and_stay_inside():
    names = ["1 bright, purple, dense and smooth"] * 3 + ["0 dark, gray"]
    figure = figures_eda.stratum_examples([IMAGE] * 4, names, "t", columns=2)
    labels = [axis.yaxis.label for axis in figure.axes if axis.get_ylabel()]
    assert [label.get_text().replace("\n", " ") for label in labels] == [
        "0 dark, gray 1 image",
        "1 bright, purple, dense and smooth 3 images",
    ]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert all(box.x0 >= 0 for box in boxes) and boxes[0].y0 > boxes[1].y1


def test_strata_with_and_without_names_can_stand_in_one_figure():
    figure = figures_eda.stratum_examples([IMAGE] * 3, ["dim", 10, 2], "t", columns=1)
    assert [axis.get_ylabel().split("\n")[0] for axis in figure.axes] == ["2", "10", "dim"]


def test_roles_of_strata_with_long_names():
    names = [f"{number} bright, purple, dense and smooth" for number in range(8)]
    table = pd.DataFrame({"train": 6, "validation": 0, "test": 2}, index=names)
    figure = figures_eda.roles(table, "t", "focus level")
    axis = figure.axes[0]
    assert axis.get_xlabel() == "Focus level"
    assert "0" not in [text.get_text() for text in axis.texts]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))


def test_a_gray_and_a_coloured_image_can_be_a_pair():
    images = [np.zeros((4, 6, 1), np.uint8), np.full((4, 6, 3), 9, np.uint8)]
    assert figures_eda.pairs(images, [Match(0, 1, "duplicate", 0.9, 1.0)], "t").axes[0].images[0].get_array().shape == (
        4,
        12,
        3,
    )
