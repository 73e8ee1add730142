"""Colours as gray: tinted gray images keep their values, other colours become their luminance."""

import numpy as np
import pytest

from data import intensities, to_channels

RGBA = np.array([[[255, 0, 0, 255], [10, 10, 10, 255]]], np.uint8)
TINTS = {
    "blue": (0, 0, 1),
    "cyan": (0, 1, 1),
    "yellow": (1, 1, 0),
    "orange": (1, 0.5, 0),
    "gray": (1, 1, 1),
    "dim": (0.2, 0, 0.7),
}


@pytest.fixture
def gray():
    """Noise of 8 bits, up to 255."""
    return np.random.default_rng(0).integers(0, 256, (60, 70)).astype(np.float64)


@pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
@pytest.mark.parametrize("rounded", [np.round, np.floor])
@pytest.mark.parametrize(("dtype", "factor"), [(np.uint8, 1), (np.uint16, 257), (np.float32, 1 / 255)])
def test_a_tinted_gray_image_becomes_gray_by_its_brightest_channel(gray, tint, rounded, dtype, factor):
    values = gray[..., None] * factor * np.array(tint)
    image = (values if dtype == np.float32 else rounded(values)).astype(dtype)
    expected = image.max(axis=2)
    assert to_channels(image, 1).dtype == dtype
    np.testing.assert_array_equal(to_channels(image, 1)[..., 0], expected)
    np.testing.assert_array_equal(intensities(image), expected)
    transparent = np.concatenate([image, np.full((60, 70, 1), 9, dtype)], axis=2)
    np.testing.assert_array_equal(to_channels(transparent, 1)[..., 0], expected)


def test_a_blue_image_of_16_bits_is_measured_exactly():
    image = np.zeros((4, 5, 3), np.uint16)
    image[1, 1:4, 2] = 171, 40_001, 65_535
    assert intensities(image)[1].tolist() == [0, 171, 40_001, 65_535, 0] and intensities(image).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_two_colours_become_their_luminance(dtype):
    image = np.zeros((40, 40, 3), dtype)
    image[20:, :, 0], image[3, 5, 2] = 100, 200  # the second colour is a single pixel
    np.testing.assert_allclose(intensities(image)[[25, 3], [0, 5]], [29.9, 22.8], atol=1e-3)
    np.testing.assert_allclose(to_channels(image, 1)[[25, 3], [0, 5], 0], [29.9, 22.8], atol=0.5)


def test_measured_intensities_are_not_rounded():
    image = np.array([[[10, 20, 33], [90, 5, 7]]], np.uint8)
    expected = image.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(intensities(image), expected, atol=1e-4)
    assert (intensities(image) != intensities(image).round()).all()


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 5)])
def test_without_colours_the_first_channel_is_measured(shape):
    image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    first = image if image.ndim == 2 else image[..., 0]
    np.testing.assert_array_equal(intensities(image), first)


@pytest.mark.parametrize("image", [np.zeros((1, 1, 3), np.uint8), np.full((3, 2, 3), (200, 100, 50), np.uint8)])
def test_constant_images_are_gray_too(image):
    assert (to_channels(image, 1)[..., 0] == image.max()).all() and (intensities(image) == image.max()).all()


def test_fractions_of_64_bits():
    image = np.random.default_rng(0).random((4, 5, 3))
    assert to_channels(image, 1).dtype == np.float64
    np.testing.assert_allclose(to_channels(image, 1)[..., 0], image @ [0.299, 0.587, 0.114], atol=1e-6)


def test_colour_becomes_gray_by_luminance_and_alpha_is_dropped():
    assert to_channels(RGBA, 1)[..., 0].tolist() == [[76, 10]]  # 0.299 * 255
    assert to_channels(RGBA, 3).tolist() == RGBA[..., :3].tolist()
    assert to_channels(RGBA, 4) is RGBA
    assert to_channels(np.array([[7]]), 3).tolist() == [[[7, 7, 7]]]


def test_channels_that_cannot_be_made_are_refused():
    with pytest.raises(ValueError, match="stack.tif: has 5 channels, cannot be made into 3"):
        to_channels(np.zeros((2, 2, 5)), 3, "stack.tif")
