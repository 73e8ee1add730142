"""The network's shapes and sizes are the paper's; losses and metrics agree with plain numpy."""

import keras
import numpy as np
import pytest

from maps import OutputMaps
from unet import DISTANCE_WEIGHT, Overlap, PixelLoss, build_unet, halo, stages

to_numpy = keras.ops.convert_to_numpy


@pytest.fixture
def bfloat16():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_dtype_policy(before)


def test_the_original_has_31_million_parameters():
    # Summed by hand over the paper's figure 1: 23 convolutions, one map out.
    assert build_unet(filters=64, depth=4, normalisation=False).count_params() == 31_030_593


def test_the_original_makes_388_of_572_with_valid_padding():
    model = build_unet(filters=64, depth=4, padding="valid", normalisation=False)
    assert model.compute_output_shape((1, 572, 572, 1)) == (1, 388, 388, 1)
    assert build_unet(filters=2, padding="valid")(np.zeros((1, 572, 572, 1))).shape == (1, 388, 388, 1)


def test_the_bottom_of_a_512_image_is_32_by_32_by_1024():
    model = build_unet(filters=64, depth=4)
    to_bottom = keras.Model(model.input, model.get_layer("bottom_relu2").output)
    assert to_bottom.compute_output_shape((1, 512, 512, 1)) == (1, 32, 32, 1024)


def test_stages_halve_the_tile_and_double_the_maps_and_back():
    assert stages(build_unet(filters=4, depth=2), 32) == [
        ("down0", 32, 4), ("down1", 16, 8), ("bottom", 8, 16), ("up1", 16, 8), ("up0", 32, 4), ("probability", 32, 1)
    ]  # fmt: skip


def test_halo_is_what_valid_padding_cuts_off():
    assert [halo(depth) for depth in (1, 2, 4)] == [8, 20, 92]


@pytest.mark.parametrize(
    ("channels", "maps"),
    [
        (1, OutputMaps()),
        (3, OutputMaps(distance=True)),
        (2, OutputMaps(border=True)),
        (4, OutputMaps(3)),
        (7, OutputMaps(5, distance=True)),
        (1, OutputMaps(4, border=True)),
    ],
)
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_any_channels_and_classes(channels, maps, upsampling):
    model = build_unet(channels, maps, filters=2, depth=2, upsampling=upsampling)
    probability = to_numpy(model(np.random.default_rng(0).random((2, 20, 28, channels), dtype=np.float32)))
    assert probability.shape == (2, 20, 28, maps.count)
    assert probability.dtype == np.float32
    assert (probability >= 0).all() and (probability <= 1).all()
    if not maps.single:
        np.testing.assert_allclose(probability[..., : maps.class_count].sum(axis=-1), 1, atol=1e-6)


def test_no_relu_before_the_last_activation():
    """A ReLU there cannot say less than 0.5: predictions go blank. The last layer must reach both sides."""
    last = build_unet(filters=2, depth=1).layers[-1]
    assert isinstance(last, keras.layers.Conv2D)
    assert last.activation is keras.activations.sigmoid
    kernel, bias = last.get_weights()
    last.set_weights([np.abs(kernel), np.full_like(bias, -3.0)])
    assert to_numpy(last(np.zeros((1, 4, 4, 2)))).max() < 0.05


@pytest.mark.parametrize(
    "wrong", [{"filters": 0}, {"depth": 0}, {"channels": 0}, {"padding": "full"}, {"dropout": 1}, {"upsampling": "x"}]
)
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        build_unet(**wrong)


def test_probabilities_stay_float32_in_bfloat16(bfloat16):
    model = build_unet(filters=2, depth=1)
    assert model.get_layer("bottom_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("bottom_conv1").kernel.dtype == "float32"
    assert keras.backend.standardize_dtype(model(np.ones((1, 8, 8, 1))).dtype) == "float32"


TRUTH = np.array([[0, 1], [1, 0]], np.uint8).reshape(1, 2, 2, 1)
PROBABILITY = np.array([[0.2, 0.9], [0.4, 0.1]], np.float32).reshape(1, 2, 2, 1)


def test_losses_of_four_pixels():
    right = np.array([0.8, 0.9, 0.4, 0.9])
    entropy = -np.log(right)
    dice = 1 - (2 * (0.9 + 0.4) + 1) / (2 + 1.6 + 1)  # 2 true pixels, 1.6 predicted, smoothed by 1
    expected = {
        "cross_entropy": entropy.mean(),
        "dice": dice,
        "cross_entropy_dice": entropy.mean() + dice,
        "focal": ((1 - right) ** 2 * entropy).mean(),
    }
    for kind, value in expected.items():
        assert float(PixelLoss(kind)(TRUTH, PROBABILITY)) == pytest.approx(value, rel=1e-5), kind


def test_losses_of_three_classes():
    truth = np.array([0, 1, 2]).reshape(1, 1, 3, 1)
    probability = np.float32([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]]).reshape(1, 1, 3, 3)
    entropy = -np.log([0.8, 0.6, 0.4]).mean()
    dice = 1 - np.mean([(2 * 0.6 + 1) / (1 + 1.0 + 1), (2 * 0.4 + 1) / (1 + 0.7 + 1)])
    assert float(PixelLoss("cross_entropy_dice", OutputMaps(3))(truth, probability)) == pytest.approx(entropy + dice, rel=1e-5)


def test_pixel_weights_weigh_the_cross_entropy():
    weights = np.array([[0.0, 0.0], [4.0, 0.0]]).reshape(1, 2, 2)
    assert float(PixelLoss("cross_entropy")(TRUTH, PROBABILITY, weights)) == pytest.approx(-np.log(0.4), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "dice", "cross_entropy_dice", "focal"])
def test_losses_are_finite_at_the_extremes_of_bfloat16(kind, bfloat16):
    for certain in (0.0, 1.0):
        value = PixelLoss(kind)(TRUTH, keras.ops.cast(np.full_like(PROBABILITY, certain), "bfloat16"))
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert np.isfinite(float(value))


def test_dice_and_iou_are_exact_over_an_epoch_not_means_of_batches():
    dice, iou = Overlap("dice"), Overlap("iou")
    ones, zeros = np.ones((1, 4, 4, 1)), np.zeros((1, 4, 4, 1))
    one_pixel = zeros.copy()
    one_pixel[0, 0, 0] = 1
    for metric in (dice, iou):
        metric.update_state(ones, ones)  # 16 of 16: Dice 1
        metric.update_state(one_pixel, zeros)  # 0 of 1: Dice 0; the mean of both would be 0.5
    assert float(dice.result()) == pytest.approx(32 / 33)
    assert float(iou.result()) == pytest.approx(16 / 17)
    dice.reset_state()
    assert float(dice.result()) == 1.0  # nothing to find, nothing claimed


def test_counts_stay_exact_where_float32_would_not():
    metric = Overlap("iou")
    metric.high.assign(np.full((3, 1), 2**4))  # 2**24 pixels so far: a float32 could not count one more
    metric.update_state(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))
    counts = to_numpy(metric.high).astype(int) * Overlap.BASE + to_numpy(metric.low)
    assert counts.ravel().tolist() == [2**24 + 1] * 3


def test_pixels_of_weight_zero_do_not_count():
    metric = Overlap("dice")
    metric.update_state(TRUTH, PROBABILITY, np.array([[1, 1], [0, 1]]).reshape(1, 2, 2))
    assert float(metric.result()) == 1.0  # the only wrong pixel is left out


def test_overlap_of_several_classes_is_their_mean():
    metric = Overlap("dice", OutputMaps(3))
    truth = np.array([1, 1, 2, 0]).reshape(1, 2, 2, 1)
    predicted = np.eye(3)[[1, 2, 2, 0]].reshape(1, 2, 2, 3)
    metric.update_state(truth, predicted)
    assert float(metric.result()) == pytest.approx(2 / 3)  # class 1: 2/3, class 2: 2/3


def test_inside_and_border_are_one_foreground():
    """Inside taken for border is no mistake of the foreground; 0.3 + 0.3 of any foreground is."""
    metric = Overlap("dice", OutputMaps(border=True))
    truth = np.array([1, 1, 2, 0]).reshape(1, 2, 2, 1)
    shares = np.array([[0.1, 0.1, 0.8], [0.2, 0.8, 0], [0.3, 0.4, 0.3], [0.4, 0.3, 0.3]]).reshape(1, 2, 2, 3)
    metric.update_state(truth, shares)
    assert float(metric.result()) == pytest.approx(6 / 7)  # three of three found, one too many


@pytest.mark.parametrize("maps", [OutputMaps(distance=True), OutputMaps(3, distance=True)])
def test_a_distance_map_adds_its_error_and_counts_in_no_overlap(maps):
    truth, distance = TRUTH.astype("float32"), np.full(TRUTH.shape, 0.75, "float32")
    plain = OutputMaps(maps.classes)
    shares = PROBABILITY if plain.single else np.concatenate([1 - PROBABILITY, PROBABILITY, 0 * PROBABILITY], -1)
    alone = to_numpy(PixelLoss("cross_entropy", plain).call(truth, shares))
    both = PixelLoss("cross_entropy", maps).call(
        np.concatenate([truth, distance], -1), np.concatenate([shares, 0 * distance], -1)
    )
    np.testing.assert_allclose(to_numpy(both), alone + DISTANCE_WEIGHT * 0.75, rtol=1e-6)
    metric, alone = Overlap("dice", maps), Overlap("dice", plain)
    metric.update_state(np.concatenate([truth, distance], -1), np.concatenate([shares, distance], -1))
    alone.update_state(TRUTH, shares)
    assert float(metric.result()) == float(alone.result())


def test_a_tiny_network_overfits_two_images(discs):
    keras.utils.set_random_seed(0)
    samples = discs(2)
    images = np.stack([sample.image for sample in samples]) / 255
    masks = np.stack([sample.mask for sample in samples])[..., None]
    model = build_unet(filters=4, depth=2, dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01), PixelLoss(), metrics=[Overlap("dice")], jit_compile=False)
    model.fit(images, masks, epochs=150, verbose=0)
    assert model.evaluate(images, masks, verbose=0, return_dict=True)["dice"] > 0.95
