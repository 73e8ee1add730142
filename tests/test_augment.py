"""Every change is pure and does what it says; the elastic field is elasticdeform's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import augment

try:
    import elasticdeform
except ImportError:  # pragma: no cover - only where no compiler was to be had
    elasticdeform = None


@pytest.fixture
def pair():
    """A smooth image in [0, 1] with a wide square, and the square's mask."""
    mask = np.zeros((96, 128), np.uint16)
    mask[30:70, 40:90] = 7
    image = augment.cv2.GaussianBlur(mask.astype(np.float32) / 7, (0, 0), 2)
    return image[..., None], mask


@pytest.mark.parametrize("change", augment.CHANGES, ids=lambda change: change.__name__)
def test_changes_are_pure_and_repeatable(change, pair):
    image, mask = (array.copy() for array in pair)
    first = change(np.random.default_rng(5), image, mask)
    second = change(np.random.default_rng(5), image, mask)
    other = change(np.random.default_rng(6), image, mask)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(image, pair[0])
    np.testing.assert_array_equal(mask, pair[1])
    assert first[0].shape == image.shape and first[0].dtype == np.float32
    assert first[1].shape == mask.shape and set(np.unique(first[1])) <= {0, 7}


@pytest.mark.parametrize("change", [augment.elastic, augment.rotate, augment.scale, augment.flip], ids=lambda c: c.__name__)
def test_image_and_mask_move_together(change, pair):
    image, mask = change(np.random.default_rng(1), *pair)
    assert np.mean((image[..., 0] > 0.5) != (mask > 0)) < 0.01


@pytest.mark.skipif(elasticdeform is None, reason="elasticdeform is built from source by requirements-dev.txt")
@pytest.mark.parametrize(("shape", "points"), [((512, 512), 3), ((200, 301), 5)])
def test_the_displacement_is_that_of_elasticdeform(shape, points):
    knots = np.random.default_rng(2).normal(0, 10, (2, points, points))
    coordinates = augment.identity_grid(shape) + augment.spline_displacement(knots, shape)
    # elasticdeform applied to the coordinates themselves shows where it looks every pixel up.
    theirs = elasticdeform.deform_grid([a.astype(float) for a in augment.identity_grid(shape)], knots, order=1, mode="mirror")
    inside = np.all([(c >= 0) & (c <= side - 1) for c, side in zip(coordinates, shape, strict=True)], axis=0)
    for mine, their in zip(coordinates, theirs, strict=True):
        assert np.abs(mine - their)[inside].max() < 1e-3  # px


@pytest.mark.skipif(elasticdeform is None, reason="elasticdeform is built from source by requirements-dev.txt")
def test_deformed_image_and_mask_are_those_of_elasticdeform(pair):
    image, mask = pair
    knots = np.random.default_rng(3).normal(0, 4, (2, 3, 3))
    mine = augment.warp(image, mask, augment.identity_grid(mask.shape) + augment.spline_displacement(knots, mask.shape))
    theirs = elasticdeform.deform_grid([image[..., 0], mask.astype(float)], knots, order=[3, 0], mode="mirror")
    assert np.abs(mine[0][..., 0] - theirs[0]).max() < 0.03  # OpenCV's bicubic against a cubic spline, range 1
    assert np.mean(mine[1] != theirs[1]) < 0.002


def test_the_spline_goes_through_its_knots():
    knots = np.random.default_rng(0).normal(0, 5, (2, 3, 3))
    field = augment.spline_displacement(knots, (101, 201))
    np.testing.assert_allclose(field[:, ::50, ::100], knots, atol=1e-4)


def test_displacements_have_the_stated_deviation():
    rng = np.random.default_rng(0)
    corners = [augment.elastic_displacement(rng, (8, 8), 10.0)[:, 0, 0] for _ in range(2000)]
    assert np.std(corners) == pytest.approx(10, rel=0.05)


def test_a_quarter_turn_is_a_quarter_turn():
    image = np.random.default_rng(0).random((9, 9, 1), dtype=np.float32)
    mask = np.arange(81, dtype=np.uint16).reshape(9, 9)
    turned = augment.warp(image, mask, augment.turn(augment.identity_grid((9, 9)), 90))
    np.testing.assert_array_equal(turned[1], np.rot90(mask, -1))
    np.testing.assert_allclose(turned[0], np.rot90(image, -1), atol=1e-5)


def test_magnifying_by_two_doubles_a_square(pair):
    _, mask = augment.warp(*pair, augment.turn(augment.identity_grid(pair[1].shape), 0, 2.0))
    small = pair[1][24:72, 32:96]  # the middle half, which now fills the picture
    assert (mask > 0).sum() == pytest.approx(4 * (small > 0).sum(), rel=0.05)


def test_beyond_the_border_is_the_reflection():
    image = np.arange(5, dtype=np.float32).reshape(1, 5, 1).repeat(3, axis=0)
    shifted, _ = augment.warp(
        image, np.zeros((3, 5), np.uint8), augment.identity_grid((3, 5)) + np.float32([0, -2]).reshape(2, 1, 1)
    )
    assert shifted[0, :, 0].tolist() == [2, 1, 0, 1, 2]


def test_strength_zero_just_cuts(pair):
    image, mask = augment.geometry(np.random.default_rng(0), *pair, origin=(10, 20), shape=(32, 48), strength=0)
    np.testing.assert_array_equal(mask, pair[1][10:42, 20:68])
    np.testing.assert_allclose(image, pair[0][10:42, 20:68], atol=1e-6)


def test_corners_of_a_turned_tile_come_from_the_image_around_it():
    """A tile in the middle of a large ramp never shows a reflection: every value is a value of the ramp's plane."""
    ramp = np.add.outer(np.arange(300), np.zeros(300)).astype(np.float32)[..., None]
    image, _ = augment.geometry(
        np.random.default_rng(4), ramp, np.zeros((300, 300), np.uint16), origin=(118, 118), shape=(64, 64)
    )
    assert np.abs(np.diff(image[..., 0], n=2, axis=0)).max() < 0.5


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_any_number_of_channels(channels):
    image = np.random.default_rng(0).random((16, 16, channels), dtype=np.float32)
    warped, mask = augment.warp(image, np.arange(256, dtype=np.int32).reshape(16, 16), augment.identity_grid((16, 16)))
    np.testing.assert_allclose(warped, image, atol=1e-5)
    assert mask.dtype == np.int32 and mask[15, 15] == 255


def test_examples_show_each_change_alone_and_all_together(pair):
    image, mask = pair
    shown = augment.examples(image, mask)
    assert list(shown) == ["as read", *(change.__name__ for change in augment.CHANGES), "all together"]
    assert (shown["as read"][0][::32] == np.float32(0.8)).all() and image.max() <= 1 and (image[0] == 0).all()
    assert (shown["noise"][1] == mask).all() and (shown["rotate"][1] != mask).any()


TINY = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
import augment
for shape in [(1, 9), (9, 1), (1, 1), (2, 3), (1, 2), (2, 1), (3, 2)]:
    for channels in (1, 3, 5):
        image = np.full((*shape, channels), 0.5, np.float32)
        mask = np.full(shape, 7, np.uint16)
        for change in augment.CHANGES[:4]:
            warped, moved = change(np.random.default_rng(0), image, mask)
            assert warped.shape == image.shape and moved.shape == shape, (change, shape)
            assert (moved == 7).all() and np.allclose(warped, 0.5, atol=1e-5), (change, shape)
        warped, moved = augment.geometry(np.random.default_rng(0), image, mask, shape=(64, 64))
        assert warped.shape == (64, 64, channels) and (moved == 7).all() and np.allclose(warped, 0.5, atol=1e-5), shape
row = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
moved = augment.warp(row, row[..., 0].astype(np.int32), augment.identity_grid((3, 5)) - np.float32(2))
assert moved[0][..., 0].tolist() == moved[1].tolist() == [[2, 1, 0, 1, 2]] * 3, moved
print("done")
"""


def test_images_with_sides_of_one_pixel_do_not_hang():
    """In a process of its own: OpenCV would never return, and no test could stop it."""
    program = TINY.format(root=str(Path(augment.__file__).parent))
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.stdout == "done\n", finished.stderr
