"""Samples: what is refused by name, what the network sees, what it learns."""

import numpy as np
import pytest

import data
from data import Sample, check_classes, normalise, prepare, resize_labels


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
    mask, two = np.array([[0, 1, 2]]), np.array([0, 1, 2], np.uint8)
    samples = [Sample("a", np.zeros((1, 3, 1)), mask, object_classes=two), Sample("b", np.zeros((1, 3, 1)), mask)]
    check_classes(samples[:1], 3)
    check_classes(samples, 2)
    with pytest.raises(ValueError, match="--classes 4: the masks hold 2 classes of objects .* Set --classes 3"):
        check_classes(samples[:1], 4)
    with pytest.raises(ValueError, match="--classes 3: the masks hold 1 class of objects .* but 2 were expected"):
        check_classes(samples[1:], 3)


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.25, 0.3, 1.5, 2.0, 3.0])
def test_scaling_moves_no_object_against_its_image(scale):
    """The centre of a disc in the scaled mask is the centre of its light in the scaled image, to a tenth of a pixel."""
    y, x = np.mgrid[:200, :240]
    mask = ((y - 88.3) ** 2 + (x - 121.7) ** 2 < 50**2).astype(np.uint16) * 7
    scaled = prepare(Sample("a", (mask > 0).astype(np.float32)[..., None], mask), scale=scale)
    light = scaled.image[..., 0].clip(0)
    rows, columns = np.indices(light.shape)
    for places in (rows, columns):
        of_light, of_mask = (places * light).sum() / light.sum(), places[scaled.mask > 0].mean()
        assert of_mask == pytest.approx(of_light, abs=0.1)
    assert (scaled.mask > 0).sum() == pytest.approx(light.sum(), rel=0.01) and set(np.unique(scaled.mask)) == {0, 7}


def test_a_small_label_wins_where_it_covers_most_of_a_pixel():
    mask = np.array([[1, 1, 2], [1, 2, 2], [2, 2, 2]])
    assert resize_labels(mask, (1, 1)).tolist() == [[2]]
    assert resize_labels(np.array([[5]]), (3, 2)).tolist() == [[5, 5]] * 3
    half = resize_labels(np.tile([0, 9], (8, 8)), (8, 8))  # every pixel is half object, half background
    assert (half == 9).mean() == 0.5


def test_digests_change_with_a_pixel_a_label_a_class_and_not_with_the_type_of_the_labels():
    image, mask = np.zeros((4, 4, 1), np.uint8), np.eye(4, dtype=np.uint16)
    sample = Sample("a", image, mask)
    assert sample.digests() == Sample("b", image.copy(), mask.astype(np.int64)).digests()
    other = image.copy()
    other[3, 3] = 1
    assert sample.digests()["image"] != Sample("a", other, mask).digests()["image"]
    assert sample.digests()["image"] != Sample("a", image.reshape(2, 8, 1), mask.reshape(2, 8)).digests()["image"]
    assert sample.digests()["mask"] != Sample("a", image, mask * 2).digests()["mask"]
    classes = np.array([0, 1], np.uint8)
    assert sample.digests()["mask"] != Sample("a", image, mask, object_classes=classes).digests()["mask"]


def test_evenly_spaced_items():
    assert data.evenly("abcdefg", 3) == ["a", "d", "g"] and data.evenly("ab", 3) == ["a", "b"] and data.evenly([], 3) == []
