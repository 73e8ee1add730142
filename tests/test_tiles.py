"""Tiles cover everything, and blending them back changes nothing."""

import numpy as np
import pytest

import tiles


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "multiple", "expected"),
    [
        (256, 256, 64, 1, [0]),
        (512, 256, 0, 1, [0, 256]),
        (360, 256, 64, 1, [0, 104]),
        (1024, 256, 64, 1, [0, 192, 384, 576, 768]),
        (1024, 512, 224, 16, [0, 288, 512]),
        (33, 8, 3, 1, [0, 5, 10, 15, 20, 25]),
    ],
)
def test_origins(length, tile, overlap, multiple, expected):
    assert tiles.origins(length, tile, overlap, multiple) == expected


@pytest.mark.parametrize("multiple", [1, 2, 16])
def test_origins_are_multiples_overlap_enough_and_reach_the_end(multiple):
    for length in range(64, 400, 16):
        starts = np.array(tiles.origins(length, 64, 24, multiple))
        assert (starts % multiple == 0).all()
        assert starts[0] == 0 and starts[-1] + 64 == length
        assert (np.diff(starts) <= 64 - 24).all()


def test_impossible_tiles_are_refused():
    with pytest.raises(ValueError, match="64 px cannot overlap by 64"):
        tiles.origins(128, 64, 64)
    with pytest.raises(ValueError, match="advance by less than 16 px"):
        tiles.origins(128, 64, 56, 16)
    with pytest.raises(ValueError, match="multiples of 16"):
        tiles.origins(130, 64, 0, 16)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (64, 64, 1), (100, 37, 3), (200, 161, 1)])
@pytest.mark.parametrize("blend", ["linear", "gaussian"])
def test_cutting_and_blending_back_is_the_identity(shape, blend):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    back = tiles.predict_tiled(lambda batch: batch, image, tile=64, overlap=32, margin=12, multiple=16, blend=blend)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, image, atol=1e-6)


@pytest.mark.parametrize("blend", ["linear", "gaussian"])
def test_weights_add_up_to_one_and_vanish_in_the_margin(blend):
    total = np.zeros(160)
    for start, weights in tiles.windows(160, 64, 40, 12, 16, blend):
        total[start : start + 64] += weights
        if start > 0:
            assert (weights[:12] == 0).all()
        if start + 64 < 160:
            assert (weights[-12:] == 0).all()
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_linear_weights_of_two_tiles_by_hand():
    (_, left), (_, right) = tiles.windows(6, 4, 2, 0, 1)  # pixels 2 and 3 are shared: 3/4 and 1/4
    np.testing.assert_allclose(left, [1, 1, 0.75, 0.25])
    np.testing.assert_allclose(right, [0.25, 0.75, 1, 1])


def test_an_unknown_blend_is_refused():
    with pytest.raises(ValueError, match="'linear' or 'gaussian'"):
        tiles.windows(6, 4, 2, 0, 1, "cosine")


def test_small_images_are_reflected():
    tile = tiles.cut(np.arange(3).reshape(1, 3), 0, 0, 5)
    assert tile[0].tolist() == [0, 1, 2, 1, 0]


def test_grid_covers_small_and_large_sides():
    assert tiles.grid(100, 360, 256, 64) == [(0, 0), (0, 104)]
