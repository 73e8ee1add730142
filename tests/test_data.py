"""Reading images and masks, and refusing those that do not fit, by name."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

import data
from data import Sample, binary_mask, check_classes, normalise, prepare, read_image, to_channels

RGBA = np.array([[[255, 0, 0, 255], [10, 10, 10, 255]]], np.uint8)


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


def test_colour_becomes_gray_by_luminance_and_alpha_is_dropped():
    assert to_channels(RGBA, 1)[..., 0].tolist() == [[76, 10]]  # 0.299 * 255
    assert to_channels(RGBA, 3).tolist() == RGBA[..., :3].tolist()
    assert to_channels(RGBA, 4) is RGBA
    assert to_channels(np.array([[7]]), 3).tolist() == [[[7, 7, 7]]]


def test_channels_that_cannot_be_made_are_refused():
    with pytest.raises(ValueError, match="stack.tif: has 5 channels, cannot be made into 3"):
        to_channels(np.zeros((2, 2, 5)), 3, "stack.tif")


def test_normalisation_does_not_depend_on_the_bit_depth():
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    sixteen = eight.astype(np.uint16) * 257
    a, b = (normalise(image, data.intensity_limits(image)) for image in (eight, sixteen))
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.percentile(a, 1) == pytest.approx(0, abs=1e-5) and np.percentile(a, 99.8) == pytest.approx(1, abs=1e-5)


def test_a_constant_image_becomes_zeros():
    image = np.full((4, 4, 1), 200, np.uint8)
    assert (normalise(image, data.intensity_limits(image)) == 0).all()


def test_scaling_halves_image_and_mask():
    mask = np.kron([[0, 3], [0, 0]], np.ones((4, 4))).astype(np.uint16)
    half = prepare(Sample("a", mask.astype(np.uint8)[..., None], mask), scale=0.5)
    assert half.image.shape == (4, 4, 1)
    assert half.mask.tolist() == [[0, 0, 3, 3], [0, 0, 3, 3], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_images_come_back_as_stored(tmp_path, suffix):
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    iio.imwrite(tmp_path / f"a{suffix}", image)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), image)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "zstd"])
def test_sixteen_bit_and_compressed_tiff(tmp_path, compression):
    image = np.random.default_rng(0).integers(0, 65535, (9, 8), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kept", [0, 20, 0.6])
def test_a_truncated_image_is_refused_by_name(tmp_path, suffix, kept):
    path = tmp_path / f"cell7{suffix}"
    iio.imwrite(path, np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=rf"cell7\{suffix}: unreadable or truncated"):
        read_image(path)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"notes\.txt: not an image this program reads"):
        read_image(b"hello", "notes.txt")


@pytest.mark.parametrize("values", [[0, 1, 1], [0, 255, 255], [0, 0, 0], [1, 1, 1], [False, True, True]])
def test_masks_of_0_and_1_and_of_0_and_255_are_right(values):
    assert binary_mask(np.array([values]), "m.png").tolist() == [[bool(value) for value in values]]


def test_a_gray_mask_stored_as_colour_is_right():
    mask = np.array([[[255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8)
    assert binary_mask(mask, "m.png").tolist() == [[True, False]]


def test_other_mask_values_are_refused():
    with pytest.raises(ValueError, match=r"m\.png: mask values 0, 128, 255; a binary mask holds"):
        binary_mask(np.array([[0, 128, 255]]), "m.png")
    with pytest.raises(ValueError, match=r"m\.png: a coloured mask"):
        binary_mask(RGBA, "m.png")


def test_a_class_count_that_the_masks_contradict_is_refused():
    samples = [Sample("a", np.zeros((1, 3, 1)), np.array([[0, 1, 2]])), Sample("b", np.zeros((1, 3, 1)), np.array([[0, 1, 5]]))]
    check_classes(samples, 6)
    check_classes(samples, 2)
    with pytest.raises(ValueError, match="b: the masks hold values up to 5, but 4 classes need exactly 0 to 3"):
        check_classes(samples, 4)


def test_targets_are_foreground_or_class_numbers():
    mask = np.array([[0, 1, 2]])
    assert data.target(mask, 2).tolist() == [[0, 1, 1]]
    assert data.target(mask, 3).tolist() == [[0, 1, 2]]
