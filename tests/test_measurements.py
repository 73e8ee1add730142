"""Sizes and shapes of drawn objects whose measures are known."""

import numpy as np
import pandas as pd
import pytest
from skimage.draw import ellipse

from scores.measurements import QUANTITIES, agreement, feret, measure_objects, row_ends


def drawn(major, minor, degrees, side=160):
    """An ellipse whose major axis is turned by ``degrees`` counter-clockwise from the horizontal."""
    labels = np.zeros((side, side), int)
    middle = (side - 1) / 2
    labels[ellipse(middle, middle, minor / 2, major / 2, rotation=np.deg2rad(degrees))] = 3
    return labels


@pytest.mark.parametrize("degrees", [0, 20, 45, -70])
def test_an_ellipse_of_known_axes(degrees):
    row = measure_objects(drawn(80, 40, degrees)).iloc[0]
    assert row["label"] == 3 and not row["touches_border"]
    assert row["area"] == pytest.approx(np.pi / 4 * 80 * 40, rel=0.01)
    assert row["equivalent_diameter"] == pytest.approx(np.sqrt(80 * 40), abs=0.5)
    assert row["feret_max"] == pytest.approx(80, abs=1) and row["feret_min"] == pytest.approx(40, abs=1)
    assert row["major_axis"] == pytest.approx(80, abs=1) and row["elongation"] == pytest.approx(2, abs=0.05)
    assert row["orientation"] == pytest.approx(degrees, abs=1)
    assert row["perimeter"] == pytest.approx(193.8, rel=0.03)  # Ramanujan's formula
    assert row["row"] == pytest.approx(79.5, abs=0.2) and row["solidity"] > 0.97


def test_the_calipers_of_a_rectangle():
    labels = np.zeros((30, 30), int)
    labels[5:11, 3:11] = 1  # 6x8 px: the diagonal is 10, but pixels are joined at the middles of their sides
    row = measure_objects(labels).iloc[0]
    assert row["feret_min"] == 6 and 9 < row["feret_max"] <= 10
    assert feret(np.array([[0, 0], [0, 4], [3, 0], [3, 4], [1, 1]])) == (3.0, 5.0)


def test_a_single_pixel_is_not_elongated():
    labels = np.zeros((9, 9), int)
    labels[4, 4] = 1
    assert measure_objects(labels).iloc[0]["elongation"] == 1


def test_micrometres():
    row = measure_objects(drawn(80, 40, 0), pixel_size=0.5).iloc[0]
    assert row["feret_max_um"] == row["feret_max"] / 2 and row["area_um2"] == row["area"] / 4
    assert "area_um2" not in measure_objects(drawn(80, 40, 0))


@pytest.mark.parametrize("place", [(slice(0, 5), slice(10, 15)), (slice(10, 15), slice(25, 30))])
def test_an_object_at_the_images_border_is_marked(place):
    labels = np.zeros((30, 30), int)
    labels[place] = 1
    assert measure_objects(labels)["touches_border"].tolist() == [True]


def test_a_single_pixel_and_nothing():
    labels = np.zeros((5, 5), int)
    labels[2, 2] = 1
    assert measure_objects(labels).iloc[0]["area"] == 1
    empty = measure_objects(labels * 0)
    assert len(empty) == 0 and "feret_max" in empty


def table(**columns):
    return pd.DataFrame({name: np.full(3, 1.0) for name in QUANTITIES} | columns)


def test_bias_and_limits_by_hand():
    rows = agreement(table(area=[10.0, 20.0, 30.0]), table(area=[11.0, 22.0, 33.0])).set_index("quantity")
    area = rows.loc["area"]
    assert (area["bias"], area["objects"], area["true_mean"], area["error"], area["unit"]) == (2, 3, 20, 2, "px²")
    assert area["lower"] == pytest.approx(2 - 1.96) and area["upper"] == pytest.approx(2 + 1.96)  # standard deviation 1
    assert rows.loc["feret_max", "bias"] == 0


def test_orientations_differ_by_at_most_a_quarter_turn():
    rows = agreement(table(orientation=[85.0, 85.0, 85.0]), table(orientation=[-85.0, -85.0, -85.0])).set_index("quantity")
    assert rows.loc["orientation", "bias"] == pytest.approx(10)


def test_intensities_are_the_images_own():
    labels = np.zeros((4, 6), int)
    labels[0, :2], labels[2:, 4:] = 1, 5
    image = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000
    table = measure_objects(labels, image=image)
    assert table["integrated_intensity"].tolist() == [1000, 1000 * (16 + 17 + 22 + 23)]
    assert table["mean_intensity"].tolist() == [500, 19_500]
    assert len(measure_objects(0 * labels, image=image)) == 0


def test_the_ends_of_rows():
    mask = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    assert [part.tolist() for part in row_ends(mask)] == [[0, 2], [1, 0], [3, 0]]
