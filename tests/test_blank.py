"""Explanations of images in which nothing is found, what they cost, and what they advise."""

import numpy as np
import pytest
from drawn import nuclei, squares

from inference.blank import busiest_part, explain_blank, explain_content
from segmentation import open_network, segment


def explain(image, network, **how):
    """What is said of an image when nothing was found in it."""
    return explain_blank(image, segment(image, network, **how).quality, network, **how)


def counting(network):
    """The same network, and a list of the px of each batch that it computes."""
    seen = []
    return network._replace(predict=lambda batch: seen.append(batch[..., 0].size) or network.predict(batch)), seen


def test_why_nothing_is_found(network):
    network = open_network(network)
    noise = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    dim = network._replace(card=network.card | {"threshold": 0.9999999})
    assert "The contrast is 5.0 times the noise" in explain(noise[..., None], dim)
    assert "the threshold 1.00: nothing looks like" in explain(255 - squares()[..., None], dim)
    few = np.zeros((100, 100, 1), np.uint8)
    few[3, 3] = 255
    assert "Fewer than 1.2 % of the pixels differ" in explain(few, network)
    assert "Every pixel has the value 10, 20, 30" in explain(np.full((9, 9, 3), (10, 20, 30), np.uint8), network)
    assert "Every pixel has the value 7" in explain(np.full((9, 9, 4), 7, np.uint8), network)
    assert "try it with --invert" in explain(255 - squares()[..., None], network)
    assert "try it without --invert" in explain(squares()[..., None], network, invert=True)


def test_specks_explain_a_blank_prediction(network):
    network = open_network(network)
    specks = np.zeros((75, 131, 1), np.uint8)
    specks[10:70:10, 10:130:10] = 250
    large = network._replace(card=network.card | {"scores": {"watershed": {"h": 1.0, "minimum_area": 30}}})
    assert segment(specks, large, diameter=None).quality["objects"] == 0
    assert "too small or too doubtful to count as objects" in explain(specks, large, diameter=20)


def test_objects_in_a_single_colour_explain_a_blank_prediction(network):
    blue = np.stack([np.zeros_like(squares()), np.full_like(squares(), 100), squares()], axis=-1)
    assert "try --channel 3" in explain(blue, open_network(network))


def test_objects_of_another_size_explain_a_blank_prediction(network):
    """Objects of 5 px, each below the minimum area of a network for objects of 20 px."""
    network = open_network(network)
    network = network._replace(card=network.card | {"scores": {"watershed": {"h": 1.0, "minimum_area": 60}}})
    y, x = np.mgrid[:300, :300] % 18 - 9
    image = np.where(y**2 + x**2 < 3**2, 200, 10).astype(np.uint8)
    assert "at another scale: try --diameter 5" in explain(image, network, diameter=None)


@pytest.mark.parametrize("tint", [(1, 0, 0), (0, 0, 1), (0, 0.5, 1), (1, 1, 1)], ids=["red", "blue", "azure", "gray"])
def test_a_tinted_image_is_explained_as_in_gray(network, tint):
    """Its pixels are looked at as gray, and its colours are not advised as channels, which would show the same."""
    gray = np.zeros((100, 100))
    gray[::25, ::8] = 250  # 0.5 % of the pixels, and less of all values of the colours
    network = open_network(network)
    for image in (gray, 250 - gray):
        tinted = np.round(image[..., None] * tint).astype(np.uint8)
        assert explain_content(tinted) == explain_content(image.astype(np.uint8))
        assert "--channel" not in explain(tinted, network)
    dark = (255 - squares())[..., None] * np.array(tint)
    assert "try it with --invert" in explain(np.round(dark).astype(np.uint8), network)


def blank_images(side):
    """Images of several kinds without anything that the network finds."""
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 5, (side, side))
    y, x = np.mgrid[:side, :side]
    return {
        "noise": noise.astype(np.float32),
        "slope": (x + rng.normal(0, 1, x.shape)).astype(np.float32),
        "colours": (noise[..., None] + rng.normal(0, 5, (side, side, 3))).clip(0, 255).astype(np.uint8),
        "dots": np.where((y % 6 == 0) & (x % 6 == 0), 200, 10).astype(np.uint8),
    }


@pytest.mark.parametrize("kind", blank_images(8))
@pytest.mark.parametrize("side", [256, 600])
def test_an_explanation_costs_no_more_than_a_segmentation(network, kind, side):
    """Counted in px that the network computes."""
    network = open_network(network)
    spied, seen = counting(network._replace(card=network.card | {"threshold": 0.9999999}))
    image = blank_images(side)[kind]
    quality = segment(image, spied).quality
    cost = sum(seen)
    assert quality["objects"] == 0 and cost >= 2 * side**2
    seen.clear()
    assert explain_blank(image, quality, spied)
    assert 0 < sum(seen) <= cost


def test_a_large_image_costs_a_few_parts_of_512_px(network):
    network = open_network(network)
    spied, seen = counting(network._replace(card=network.card | {"threshold": 0.9999999}))
    image = blank_images(3000)["slope"]
    quality = {"contrast_to_noise": 50.0, "highest_probability": 0.1}
    assert "Settings were tried on a part of 512x512 px." in explain_blank(image, quality, spied)
    assert max(seen) <= 528**2 and sum(seen) < 8 * 528**2  # 512 px and the padding to whole pooling cells


def test_the_part_with_the_objects_is_tried(network):
    """Dark nuclei in a corner of a large field, which the middle does not show."""
    image = np.full((1500, 1500), 140, np.uint8)
    field, _ = nuclei()
    image[-field.shape[0] :, : field.shape[1]] = 160 - field
    image[100:104, 1200:1204] = 255  # dirt
    assert "try it with --invert" in explain(image, open_network(network))
    part = busiest_part(image[..., None], 128)
    assert part.shape == (128, 128, 1) and part.min() < 40


def test_a_part_larger_than_the_image_is_the_image():
    image = np.arange(60, dtype=np.uint16).reshape(6, 10, 1)
    assert busiest_part(image, 10) is not None and busiest_part(image, 10).shape == (6, 10, 1)
    assert busiest_part(image, 6).shape == (6, 6, 1)
