"""Whole images of any size; tiles that give what the whole image gives."""

import keras
import numpy as np
import pytest

from prediction import predict_image
from unet import build_unet, reach


def random_unet(depth, **settings):
    """A network with random weights everywhere, so that every pixel depends on all that it can see."""
    keras.utils.set_random_seed(depth)
    model = build_unet(filters=4, depth=depth, dropout=0.0, **settings)
    rng = np.random.default_rng(depth)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, shape),
                    rng.normal(0, 0.3, shape),
                    rng.normal(0, 0.3, shape),
                    rng.uniform(0.5, 1.5, shape),
                ]
            )
    return model


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("blend", ["linear", "gaussian"])
def test_tiled_and_untiled_predictions_agree(small, depth, upsampling, blend):
    side, tile = (768, 512) if depth == 4 else (256, 192)
    image = np.random.default_rng(0).integers(0, 255, (side, side - 24, 1), dtype=np.uint8)
    model = random_unet(depth, upsampling=upsampling)
    config = small.replace(depth=depth, upsampling=upsampling, blend=blend)
    whole = predict_image(model, image, (0, 255), config)
    tiled = predict_image(model, image, (0, 255), config.replace(prediction_tile=tile))
    assert whole.std() > 0.001
    assert np.abs(tiled - whole).max() < 1e-5


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_the_reach_is_how_far_a_change_is_felt(depth, upsampling):
    """Change all that lies on one side of a cell's edge: what changes on the other ends within the reach, just there."""
    model, cell = random_unet(depth, upsampling=upsampling), 2**depth
    image = np.random.default_rng(0).random((1, 192, 192, 1), dtype=np.float32)
    left, right = image.copy(), image.copy()
    left[:, :, :96] = 1 - left[:, :, :96]
    right[:, :, 96:] = 1 - right[:, :, 96:]
    before, after_left, after_right = (
        keras.ops.convert_to_numpy(model(picture))[0, ..., 0] for picture in (image, left, right)
    )
    felt_right = np.flatnonzero((before != after_left).any(axis=0)).max() - 95
    felt_left = 96 - np.flatnonzero((before != after_right).any(axis=0)).min()
    assert reach(depth, upsampling) - 2 * cell < max(felt_left, felt_right) <= reach(depth, upsampling)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 33), (70, 64), (131, 40)])
def test_any_height_and_width(small, shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 1), dtype=np.uint8)
    probability = predict_image(random_unet(2), image, (0, 255), small.replace(prediction_tile=64))
    assert probability.shape == (*shape, 1) and probability.dtype == np.float32
    assert np.isfinite(probability).all()


def test_padding_does_not_depend_on_the_tile(small):
    """An image just over a tile's size is padded to whole pooling cells, not to whole tiles."""
    model = random_unet(2)
    image = np.random.default_rng(0).integers(0, 255, (67, 50, 1), dtype=np.uint8)
    small_tiles = predict_image(model, image, (0, 255), small.replace(prediction_tile=64))
    np.testing.assert_allclose(small_tiles, predict_image(model, image, (0, 255), small), atol=1e-5)
