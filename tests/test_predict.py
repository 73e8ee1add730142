"""A saved network on an image: masks, objects, measurements; what cannot be opened is refused by name."""

import numpy as np
import pytest

import run_folder
from backend import keras
from files import read_json, write_json
from predict import Segmentation, open_network, segment


@pytest.fixture
def network(small, tmp_path):
    """A network file with its card whose probability is the sigmoid of ten times (intensity - 0.5)."""
    inputs = keras.Input((None, None, 1))
    outputs = keras.layers.Conv2D(1, 1, activation="sigmoid", name="brightness")(inputs)
    model = keras.Model(inputs, outputs)
    model.get_layer("brightness").set_weights([np.full((1, 1, 1, 1), 10.0), np.array([-5.0])])
    run_folder.save_model(model, tmp_path / "model.keras")
    card = {"threshold": 0.5, "training": {"configuration": small.to_json()}, "scores": {}}
    write_json(tmp_path / "model.json", card)
    return tmp_path / "model.keras"


def squares(dtype=np.uint8, high=200):
    """Two bright squares of 20 px on a dark field, odd sides."""
    image = np.full((75, 131), 10, dtype)
    image[5:25, 5:25], image[40:60, 100:120] = high, high
    return image


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


def test_a_scaled_network_gives_masks_of_the_images_size(network):
    card = read_json(network.with_suffix(".json"))
    card["training"]["configuration"]["image_scale"] = 0.5
    write_json(network.with_suffix(".json"), card)
    found = segment(squares(), network)
    assert found.mask.shape == (75, 131) and found.objects.max() == 2 and 350 < found.measurements["area"].min() < 450


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(9), "has 1 dimensions, expected"),
        (np.zeros((2, 3, 4, 5)), "has 4 dimensions, expected"),
        (np.full((8, 8), np.nan), "64 pixels are NaN or infinite"),
        (np.zeros((8, 0)), r"image of shape \(8, 0, 1\)"),
        (np.zeros((8, 8, 7)), "has 7 channels, cannot be made into 1"),
    ],
)
def test_what_is_no_image_is_refused(network, image, message):
    with pytest.raises(ValueError, match=message):
        segment(image, network)


def test_files_that_are_no_networks_are_named(network, small, tmp_path):
    card = network.with_suffix(".json")
    with pytest.raises(ValueError, match=r"nowhere\.keras: is not there"):
        open_network(tmp_path / "nowhere.keras")
    whole = network.read_bytes()
    network.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.keras: cannot be opened as a network .*truncated"):
        open_network(network)
    network.write_bytes(whole)
    write_json(card, {"axes": "YXC"})
    with pytest.raises(ValueError, match=r"model\.json: not a model card"):
        open_network(network)
    write_json(card, {"training": {"configuration": small.replace(classes=3).to_json()}})
    with pytest.raises(ValueError, match=r"model\.keras: tells 3 classes apart"):
        open_network(network)
    card.unlink()
    with pytest.raises(ValueError, match=r"model\.json: is not there; a network is a \.keras file with its model card"):
        open_network(network)


def test_code_in_a_file_is_not_executed(network):
    inputs = keras.Input((None, None, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)).save(network)
    with pytest.raises(ValueError, match=r"model\.keras: cannot be opened as a network .*unsafe"):
        open_network(network)
