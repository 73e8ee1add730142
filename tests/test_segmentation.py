"""A saved network on an image: masks, objects, measurements; what cannot be opened is refused by name."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from drawn import nuclei, squares

import segmentation
from data import to_channels
from segmentation import Segmentation, open_network, segment
from system.backend import keras
from system.files import read_json, write_json

MOST_BYTES = 25  # per px of an image


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 200), (np.uint16, 60_000), (np.float32, 0.9), (np.int32, 70_000)])
def test_two_squares_are_two_objects_at_any_bit_depth(network, dtype, high):
    image = squares(dtype, high) if dtype != np.float32 else squares(np.float32, 0.9) - 10 * (squares() == 10)
    found = segment(image, open_network(network), pixel_size=0.5)
    assert isinstance(found, Segmentation) and found.mask.shape == found.objects.shape == found.probability.shape == (75, 131)
    assert set(np.unique(found.mask)) == {0, 255} and found.mask.dtype == np.uint8 and found.objects.max() == 2
    assert found.probability.dtype == np.float32 and found.probability[10, 10] > 0.99 > 0.01 > found.probability[0, 0]
    assert found.measurements["area"].tolist() == [400, 400] and found.measurements["area_um2"].tolist() == [100, 100]
    assert found.measurements[["row", "column"]].to_numpy().tolist() == [[14.5, 14.5], [49.5, 109.5]]


def test_colour_becomes_what_the_network_sees(network):
    colour = np.repeat(squares()[..., None], 4, axis=2)
    np.testing.assert_array_equal(segment(colour, network).objects, segment(squares(), network).objects)


TINTS = {"blue": (0, 0, 1), "red": (1, 0, 0), "cyan": (0, 0.7, 1), "gray": (1, 1, 1), "transparent": (0, 0, 1, 1)}


@pytest.mark.parametrize("tint", TINTS.values(), ids=TINTS)
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tinted_image_gives_what_its_gray_image_gives(network, tint, invert, dtype):
    """Large squares, so that the search for the scale must find them: the same scale, objects and intensities."""
    network = open_network(network)
    gray = np.kron(squares(dtype, 200), np.ones((4, 4), dtype))
    gray = 211 - gray if invert else gray
    expected, found = (
        segment(image, network, invert=invert) for image in (gray, np.round(gray[..., None] * tint).astype(dtype))
    )
    assert expected.quality["scale"] < 0.5 and found.quality["scale"] == expected.quality["scale"]
    np.testing.assert_array_equal(found.objects, expected.objects)
    pd.testing.assert_frame_equal(found.measurements, expected.measurements)


@pytest.mark.parametrize("invert", [False, True])
def test_a_stained_image_gives_what_the_gray_image_gives_that_the_network_sees(network, invert):
    """Orange squares on a blue field, which is as bright in blue as the squares are in red."""
    network, large = open_network(network), np.kron(squares(), np.ones((4, 4), np.uint8))
    colour = np.where(large[..., None] > 100, np.uint8([250, 160, 0]), np.uint8([0, 20, 230]))
    found, gray = (segment(image, network, invert=invert) for image in (colour, to_channels(colour, 1)))
    assert found.quality["scale"] == gray.quality["scale"] and found.objects.max() == gray.objects.max() == (1 if invert else 2)
    np.testing.assert_array_equal(found.objects, gray.objects)


def test_intensities_of_colours_are_not_rounded(network):
    colour = np.where(squares()[..., None] > 100, np.uint8([200, 171, 33]), np.uint8([10, 10, 10]))
    table = segment(colour, network).measurements
    np.testing.assert_allclose(table["mean_intensity"], 0.299 * 200 + 0.587 * 171 + 0.114 * 33, atol=1e-3)
    blue = squares(high=171)[..., None] * np.array([0, 0, 1], np.uint8)
    assert segment(blue, network).measurements["mean_intensity"].tolist() == [171, 171]


def test_a_scaled_network_gives_masks_of_the_images_size(network):
    card = read_json(network.with_suffix(".json"))
    card["training"]["configuration"]["image_scale"] = 0.5
    write_json(network.with_suffix(".json"), card)
    found = segment(squares(), network)
    assert found.mask.shape == (75, 131) and found.objects.max() == 2 and 350 < found.measurements["area"].min() < 450


def test_the_expected_diameter_scales_the_image(network):
    alone = segment(squares(), network)
    assert alone.quality["scale"] == 1 and alone.quality["diameter"] == pytest.approx(22.57, abs=0.01)
    assert segment(squares(), network, diameter="auto").quality["scale"] == 1  # 10 to 40 px are usual
    scaled = segment(squares(), network, diameter=10)
    assert scaled.quality["scale"] == 2 and scaled.mask.shape == (75, 131) and scaled.objects.max() == 2
    large = np.kron(squares(), np.ones((4, 4), np.uint8))
    assert segment(large, network, diameter="auto").quality["scale"] == pytest.approx(np.sqrt(20 * 40) / 90.3, abs=0.001)
    card = read_json(network.with_suffix(".json"))
    write_json(network.with_suffix(".json"), card | {"training_data": {}})
    with pytest.raises(ValueError, match="the model card does not say how large"):
        segment(squares(), network, diameter=10)


def test_a_large_image_is_not_enlarged_beyond_what_memory_allows(network, monkeypatch):
    network, image = open_network(network), squares()[::3, ::3]
    assert segment(image, network).quality["scale"] > 1.5
    monkeypatch.setattr(segmentation, "LARGEST", 1.21 * image.size)
    assert segment(image, network).quality["scale"] <= 1.1
    monkeypatch.setattr(segmentation, "LARGEST", 1)
    assert segment(image, network).quality["scale"] == 1


def test_small_objects_are_found_when_their_diameter_is_known(network):
    """What was too small for the training's objects counts in px of the enlarged image; "auto" finds out itself."""
    card = read_json(network.with_suffix(".json"))
    write_json(network.with_suffix(".json"), card | {"scores": {"watershed": {"h": 1.0, "minimum_area": 60}}})
    y, x = np.mgrid[:90, :90] % 18 - 9
    image = np.where(y**2 + x**2 < 3.5**2, 200, 10).astype(np.uint8)
    blank = segment(image, network, diameter=None)
    assert blank.objects.max() == 0 and not blank.mask.any()
    for diameter in (7, "auto"):
        found = segment(image, network, diameter=diameter)
        assert found.objects.max() == 25 and found.quality["scale"] > 2 and 0.7 < found.quality["diameter_ratio"] < 1.2


def test_the_first_look_is_not_computed_again(network):
    network, seen = open_network(network), []
    spied = network._replace(predict=lambda batch: seen.append(batch.shape) or network.predict(batch))
    found = segment(squares(), spied)
    assert len(seen) == 2 and found.quality["scale"] == 1  # two tta
    np.testing.assert_array_equal(found.probability, segment(squares(), network, diameter=None).probability)


def test_one_prediction_and_the_mean_of_eight(network):
    for tta in (1, 8):
        found = segment(squares(), network, tta=tta)
        assert found.objects.max() == 2 and (found.quality["disagreement"] or 0) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("a.png", "a.png: segment takes the pixels of an image"),
        (np.zeros(9), r"has the shape \(9,\), expected"),
        (np.zeros((2, 3, 4, 5)), r"has the shape \(2, 3, 4, 5\), expected"),
        (np.full((8, 8), np.nan), "64 pixels are NaN or infinite"),
        (np.zeros((8, 0)), r"image of shape \(8, 0, 1\)"),
        (np.zeros((8, 8, 7)), "of many channels the one that shows the objects"),
    ],
)
def test_what_is_no_image_is_refused(network, image, message):
    with pytest.raises(ValueError, match=message):
        segment(image, network)


def test_files_that_are_no_networks_are_named(network, tmp_path):
    card = network.with_suffix(".json")
    with pytest.raises(ValueError, match=r"nowhere\.keras: is not there"):
        open_network(tmp_path / "nowhere.keras")
    whole = network.read_bytes()
    network.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.keras: cannot be opened as a network .* truncated"):
        open_network(network)
    network.write_bytes(whole)
    for other in ({"axes": "YXC"}, []):
        write_json(card, other)
        with pytest.raises(ValueError, match=r"model\.json: is no model card"):
            open_network(network)
    card.unlink()
    with pytest.raises(ValueError, match=r"model\.json: is not there; a network is a \.keras file with its model card"):
        open_network(network)


def test_code_in_a_file_is_not_executed(network):
    inputs = keras.Input((None, None, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(network)
    with pytest.raises(ValueError, match=r"model\.keras: cannot be opened as a network .*unsafe"):
        open_network(network)


@pytest.mark.parametrize(
    ("image", "given", "message"),
    [
        (np.zeros((10, 40, 50)), {}, "image: has the shape \\(10, 40, 50\\), .* Of a volume give one slice"),
        (squares(), {"diameter": -3}, "diameter is -3; it must be above 0"),
        (squares(), {"pixel_size": 0}, "pixel_size is 0; it must be above 0"),
    ],
)
def test_arguments_that_cannot_be(network, image, given, message):
    with pytest.raises(ValueError, match=message):
        segment(image, network, **given)


def test_a_network_and_the_card_of_another_are_refused(network):
    card = network.with_suffix(".json")
    card.write_text(card.read_text().replace('"channels": 1', '"channels": 3'))
    with pytest.raises(ValueError, match="model.keras: its model card .*model.json describes another network"):
        open_network(network)
    card.write_text(card.read_text().replace('"threshold": 0.5', '"threshold": null'))
    with pytest.raises(ValueError, match="model.json: is no model card"):
        open_network(network)


def test_a_single_prediction_says_nothing_of_disagreement(network):
    assert segment(squares(), network, tta=1).quality["disagreement"] is None
    assert segment(squares(), network, tta=2).quality["disagreement"] == 0


def test_memory_is_bounded_by_the_image_and_its_result(network):
    """Arrays of numpy at their highest, without what Keras holds: one row of tiles more or less must not matter."""
    network, image = open_network(network), np.tile(nuclei()[0], (10, 10))
    segment(image[:200, :200], network)
    tracemalloc.start()
    try:
        found = segment(image, network)
        peak = tracemalloc.get_traced_memory()[1] / image.size
    finally:
        tracemalloc.stop()
    assert found.objects.max() == 1200 and peak < MOST_BYTES
