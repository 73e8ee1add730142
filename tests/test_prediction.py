"""Whole images of any size; tiles that give what the whole image gives."""

import sys

import keras
import numpy as np
import pytest
from keras import layers

from data import Sample, prepare
from devices import without_normalisation
from maps import OutputMaps
from prediction import (
    check_prediction_tile,
    openvino_function,
    predict_function,
    predict_image,
    predict_samples,
)
from unet import build_unet, reach


def random_unet(depth, **settings):
    """A network with random weights everywhere, so that every pixel depends on all that it can see."""
    keras.utils.set_random_seed(depth)
    model = build_unet(filters=4, depth=depth, dropout=0.0, **settings)
    randomise(model, depth)
    return model


def randomise(model, seed=0):
    """Give every batch normalisation random weights, as after training."""
    rng = np.random.default_rng(seed)
    ranges = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "moving_mean": (-0.5, 0.5), "moving_variance": (0.5, 1.5)}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(*ranges[weight.name], weight.shape) for weight in layer.weights])


@pytest.mark.parametrize("settings", [{}, {"upsampling": "nearest", "maps": OutputMaps(border=True)}, {"normalisation": False}])
def test_normalisation_multiplied_into_the_convolutions_changes_nothing(settings):
    model = random_unet(2, **settings)
    image = np.random.default_rng(1).random((2, 32, 48, 1), dtype=np.float32)
    plain = without_normalisation(model)
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]
    expected = keras.ops.convert_to_numpy(model(image, training=False))
    np.testing.assert_allclose(predict_function(model)(image), expected, atol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(image, training=False)), expected)  # itself stays as it is


def conv(filters=4, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", **options)


def norm(**options):
    return layers.BatchNormalization(**options)


def twice(layer, x):
    return layer(layer(x))


def read_twice(x):
    before = conv()(x)
    return layers.Concatenate()([norm()(before), before])


def two_norms(x):
    before = conv()(x)
    return layers.Add()([norm()(before), norm()(before)])


def also_an_output(x):
    before = conv()(x)
    return [norm()(before), before]


NETWORKS = {  # name: (layers from the network's input on, how many normalisations stay)
    "bias": (lambda x: norm()(conv(use_bias=True)(x)), 0),
    "no bias": (lambda x: norm()(conv(use_bias=False)(x)), 0),
    "groups": (lambda x: norm()(conv(groups=2)(conv()(x))), 0),
    "no scale and no offset": (lambda x: norm(scale=False, center=False)(conv()(x)), 0),
    "transposed": (lambda x: norm()(layers.Conv2DTranspose(6, 2, strides=2)(conv()(x))), 0),
    "transposed, no bias": (lambda x: norm()(layers.Conv2DTranspose(6, 2, strides=2, use_bias=False)(conv()(x))), 0),
    "one after another": (lambda x: norm()(norm()(conv()(x))), 1),
    "first of all": (lambda x: conv()(norm()(x)), 1),
    "skip connection taken before": (read_twice, 1),
    "skip connection taken after": (lambda x: layers.Add()([y := norm()(conv()(x)), layers.ReLU()(y)]), 0),
    "after Add": (lambda x: norm()(layers.Add()([conv()(x), conv()(x)])), 1),
    "after an operation": (lambda x: norm()(conv()(x) + 1), 1),
    "after ReLU": (lambda x: norm()(layers.ReLU()(conv()(x))), 1),
    "after an activation in the convolution": (lambda x: norm()(conv(activation="relu")(x)), 1),
    "after DepthwiseConv2D": (lambda x: norm()(layers.DepthwiseConv2D(3, padding="same")(conv()(x))), 1),
    "after SeparableConv2D": (lambda x: norm()(layers.SeparableConv2D(4, 3, padding="same")(x)), 1),
    "after MaxPooling2D": (lambda x: norm()(layers.MaxPooling2D(2)(conv()(x))), 1),
    "convolution shared by two": (two_norms, 2),
    "convolution is an output": (also_an_output, 1),
    "convolution called twice": (lambda x: norm()(twice(conv(4), conv(4)(x))), 1),
    "normalisation called twice": (lambda x: twice(norm(), conv()(x)), 1),
    "normalisation shared by two": (lambda x: layers.Add()([(n := norm())(conv()(x)), n(conv()(x))]), 1),
    "of rows, not channels": (lambda x: norm(axis=1)(conv()(x)), 1),
    "by the batch, as in training": (lambda x: norm()(conv()(x), training=True), 1),
    "within a network of its own": (lambda x: conv()(keras.Sequential([conv(), norm()])(x)), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_only_what_can_be_multiplied_into_a_convolution_is(name):
    """Other normalisations stay layers; the result is the same in each case."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 2))
    build, left = NETWORKS[name]
    model = keras.Model(inputs, build(inputs))
    randomise(model)
    plain = without_normalisation(model)
    assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers) == left
    image = np.random.default_rng(1).normal(0, 3, (2, 16, 16, 2)).astype(np.float32)
    expected, found = model(image, training=False), plain(image, training=False)
    for right, answer in zip(keras.tree.flatten(expected), keras.tree.flatten(found), strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(answer), keras.ops.convert_to_numpy(right), atol=1e-5)


def test_a_normalisation_in_another_precision_than_its_convolution_stays():
    """Multiplied into the convolution, it would give bfloat16 instead of float32."""
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, norm(dtype="float32")(conv(dtype="mixed_bfloat16")(inputs)))
    assert without_normalisation(model).output.dtype == model.output.dtype == "float32"


@pytest.mark.parametrize(
    "settings", [{}, {"upsampling": "nearest", "maps": OutputMaps(border=True)}, {"maps": OutputMaps(3, distance=True)}]
)
def test_openvino_predicts_what_keras_predicts(settings):
    pytest.importorskip("openvino", reason="OpenVINO is in requirements-exchange.txt")
    model, rng = random_unet(2, **settings), np.random.default_rng(1)
    predict, expected = openvino_function(model, "float32"), predict_function(model)
    results = [(predict(image), expected(image)) for image in (rng.random((n, 32, 16 * n, 1), np.float32) for n in (1, 2, 3))]
    for found, right in results:  # of any size, and none changes when another is computed
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, right, atol=1e-5)


def test_openvino_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match="--engine openvino: OpenVINO is not installed; pip install"):
        openvino_function(random_unet(1), "float32")


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("blend", ["linear", "gaussian"])
def test_tiled_and_untiled_predictions_agree(small, depth, upsampling, blend):
    tile = {1: 112, 2: 192, 3: 320, 4: 576}[depth]
    side = tile + 128
    image = np.random.default_rng(0).integers(0, 255, (side, side - 24, 1), dtype=np.uint8)
    model = random_unet(depth, upsampling=upsampling)
    config = small.replace(depth=depth, upsampling=upsampling, blend=blend)
    check_prediction_tile(config.replace(prediction_tile=tile))
    predict = predict_function(model)
    whole = predict_image(predict, image, (0, 255), config)
    tiled = predict_image(predict, image, (0, 255), config.replace(prediction_tile=tile))
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


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 33), (170, 164), (231, 40)])
def test_any_height_and_width(small, shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 1), dtype=np.uint8)
    probability = predict_image(predict_function(random_unet(2)), image, (0, 255), small.replace(prediction_tile=160))
    assert probability.shape == (*shape, 1) and probability.dtype == np.float32
    assert np.isfinite(probability).all()


def test_padding_does_not_depend_on_the_tile(small):
    """An image just over a tile's size is padded to whole pooling cells, not to whole tiles."""
    predict = predict_function(random_unet(2))
    image = np.random.default_rng(0).integers(0, 255, (163, 150, 1), dtype=np.uint8)
    tiled = predict_image(predict, image, (0, 255), small.replace(prediction_tile=160))
    np.testing.assert_allclose(tiled, predict_image(predict, image, (0, 255), small), atol=1e-5)


@pytest.mark.parametrize("tta", [1, 4, 8])
def test_turned_images_come_back_to_their_place_and_average(small, tta):
    """An answer equal to the image stays in its place; one that always grows to the right averages out."""
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 1), dtype=np.uint8)
    config = small.replace(tta=tta)
    np.testing.assert_allclose(predict_image(lambda batch: batch, image, (0, 255), config), image / 255, atol=1e-6)

    def ramp(batch):
        return np.broadcast_to(np.linspace(0, 1, batch.shape[2], dtype=np.float32)[:, None], batch.shape)

    answer = predict_image(ramp, image, (0, 255), config)
    np.testing.assert_allclose(answer[..., 0], 0.5 if tta > 1 else ramp(image[None])[0, ..., 0], atol=1e-6)


def test_a_tile_too_small_for_its_overlap_is_refused(small):
    with pytest.raises(ValueError, match="--prediction-tile 64 is too small; --depth 2 needs 160"):
        check_prediction_tile(small.replace(prediction_tile=64))


def test_probabilities_come_back_at_the_size_of_the_original(small, monkeypatch):
    mask = np.zeros((50, 70), np.uint16)
    original = Sample("a", np.random.default_rng(0).integers(0, 255, (50, 70, 1), dtype=np.uint8), mask)
    halved = prepare(original, scale=0.5)
    assert halved.mask.shape == (25, 35)
    left_dark = np.zeros((25, 35, 1), np.float32)
    left_dark[:, 20:] = 1
    monkeypatch.setattr("prediction.predict_image", lambda predict, image, limits, config: left_dark)
    probability = predict_samples(random_unet(2), [halved], [original], small)[0]
    assert probability.shape == (50, 70, 1)
    assert (probability[:, :38] == 0).all() and (probability[:, 42:] == 1).all()
