"""Samples: what is refused by name, what the network sees, what it learns."""

import numpy as np
import pytest

import data
from data import Sample, check_classes, normalise, prepare


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"cell7: the image is \(4, 5\) px and its mask \(4, 4\) px"):
        Sample("cell7", np.zeros((4, 5, 1), np.uint8), np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(bad):
    image = np.zeros((4, 4, 1), np.float32)
    image[1, 2] = bad
    with pytest.raises(ValueError, match="cell7: 1 pixels are NaN or infinite"):
        Sample("cell7", image, np.zeros((4, 4), np.uint8))


def test_a_mask_of_fractions_is_refused():
    with pytest.raises(ValueError, match="cell7: the mask holds float64 values"):
        Sample("cell7", np.zeros((4, 4, 1)), np.zeros((4, 4)))


def test_an_image_without_area_is_refused():
    with pytest.raises(ValueError, match=r"cell7: image of shape \(0, 4, 1\)"):
        Sample("cell7", np.zeros((0, 4, 1)), np.zeros((0, 4), int))


def test_normalisation_does_not_depend_on_the_bit_depth():
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    sixteen = eight.astype(np.uint16) * 257
    a, b = (normalise(image, data.intensity_limits(image)) for image in (eight, sixteen))
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.percentile(a, 1) == pytest.approx(0, abs=1e-5) and np.percentile(a, 99.8) == pytest.approx(1, abs=1e-5)


def test_a_constant_image_becomes_zeros():
    image = np.full((4, 4, 1), 200, np.uint8)
    assert (normalise(image, data.intensity_limits(image)) == 0).all()


def test_small_fractions_are_brought_to_the_same_range_as_large_ones():
    image = np.linspace(1, 2, 400, dtype=np.float32).reshape(20, 20, 1)
    small = image * np.float32(1e-9)
    np.testing.assert_allclose(
        *(normalise(scaled, data.intensity_limits(scaled)) for scaled in (small, image)), rtol=1e-3, atol=1e-3
    )


def test_the_range_of_an_image_with_a_few_bright_pixels_is_theirs():
    image = np.zeros((100, 100, 1), np.uint8)
    image[5, 5:9, 0] = 50, 100, 150, 200
    assert data.intensity_limits(image) == (0, 200)


def test_scaling_halves_image_and_mask():
    mask = np.kron([[0, 3], [0, 0]], np.ones((4, 4))).astype(np.uint16)
    half = prepare(Sample("a", mask.astype(np.uint8)[..., None], mask), scale=0.5)
    assert half.image.shape == (4, 4, 1)
    assert half.mask.tolist() == [[0, 0, 3, 3], [0, 0, 3, 3], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_class_count_that_the_masks_contradict_is_refused():
    samples = [Sample("a", np.zeros((1, 3, 1)), np.array([[0, 1, 2]])), Sample("b", np.zeros((1, 3, 1)), np.array([[0, 1, 5]]))]
    check_classes(samples, 6)
    check_classes(samples, 2)
    with pytest.raises(ValueError, match="b: the masks hold values up to 5, but 4 classes need exactly 0 to 3"):
        check_classes(samples, 4)


def test_evenly_spaced_items():
    assert data.evenly("abcdefg", 3) == ["a", "d", "g"] and data.evenly("ab", 3) == ["a", "b"] and data.evenly([], 3) == []


def test_targets_are_foreground_or_class_numbers():
    mask = np.array([[0, 1, 2]])
    assert data.target(mask, 2).tolist() == [[0, 1, 1]]
    assert data.target(mask, 3).tolist() == [[0, 1, 2]]


def test_the_edges_of_objects_become_a_border_of_the_given_width():
    mask = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0, 3, 3, 3]])
    assert data.target(mask, 2, border=1).tolist() == [[1, 1, 1, 2, 2, 1, 1, 1, 2, 0, 0, 2, 1, 1]]  # not where the tile ends
    assert data.target(mask, 2, border=2).tolist() == [[1, 1, 2, 2, 2, 2, 1, 2, 2, 0, 0, 2, 2, 1]]
    assert data.target(mask, 2).max() == 1


def test_depths_rise_from_every_edge_to_one():
    mask = np.zeros((7, 14), np.uint16)
    mask[1:6, 1:6], mask[1:6, 6:13] = 3, 9  # 5x5 and 5x7 px, which touch
    found = data.distance_map(mask)
    np.testing.assert_allclose(found[3], np.array([0, 1, 2, 3, 2, 1, 1, 2, 3, 3, 3, 2, 1, 0]) / 3, atol=1e-6)
    assert found.dtype == np.float32 and found[0].max() == 0
    assert data.distance_map(np.ones((4, 4), int)).tolist() == np.ones((4, 4)).tolist()  # no edge in sight
    assert data.distance_map(np.zeros((4, 4), int)).max() == 0
