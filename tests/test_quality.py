"""Quantities without labels on drawn images, and the flags they raise."""

import cv2
import numpy as np
import pytest

from scores import quality as quality_module
from scores.measurements import measure_objects
from scores.quality import LIMITS, RULES, flags, measure_quality, noise, sharpness


def disc(noise=2.0, level=150.0):
    """A disc of 40 px on a dark field with noise: (image (128, 128), labels)."""
    y, x = np.mgrid[:128, :128] - 64
    labels = (y**2 + x**2 < 20**2).astype(int)
    return 20 + level * labels + np.random.default_rng(0).normal(0, noise, labels.shape), labels


def quality(image, labels, probability=None, other=None, usual=40.0):
    probability = labels.astype(np.float32) if probability is None else probability
    masks = [labels > 0, labels > 0 if other is None else other]
    return measure_quality(image, probability, labels > 0, masks, measure_objects(labels), usual)


def test_a_good_image_has_no_flag():
    image, labels = disc()
    found = quality(image, labels)
    assert flags(found) == [] and found["objects"] == 1 and found["disagreement"] == 0
    assert found["foreground_share"] == pytest.approx(0.076, abs=0.001)
    assert found["diameter_ratio"] == pytest.approx(1, abs=0.02) and found["contrast_to_noise"] == pytest.approx(75, rel=0.15)


def test_the_noise_is_found_beside_edges_and_slopes():
    image, _ = disc(noise=5.0)
    assert noise(image + np.arange(128)) == pytest.approx(5, rel=0.1) and noise(np.zeros((2, 9))) == 0


def test_an_image_of_many_strips_has_the_values_of_one_strip(monkeypatch):
    image = np.tile(disc()[0], (1, 2))
    whole = noise(image), sharpness(image)
    monkeypatch.setattr(quality_module, "STRIP", 20)
    assert (noise(image), sharpness(image)) == pytest.approx(whole, rel=1e-6)


def test_every_flag_is_raised_by_its_own_cause():
    image, labels = disc()
    half = np.where(np.arange(128)[:, None] < 40, 0.5, labels).astype(np.float32)
    moved = np.roll(labels, 20, axis=1)
    causes = {
        "empty": quality(image, 0 * labels),
        "almost full": quality(image, np.ones_like(labels), usual=130.0),
        "low contrast": quality(disc(noise=80.0)[0], labels),
        "saturated": quality(np.minimum(image, 160), labels),
        "blurred": quality(cv2.GaussianBlur(disc(noise=0)[0], (0, 0), 12), labels),
        "in doubt": quality(image, labels, half),
        "unstable": quality(image, labels, other=moved > 0),
        "small objects": quality(image, labels, usual=110.0),
        "large objects": quality(image, labels, usual=15.0),
    }
    assert list(causes) == list(RULES) == list(LIMITS)
    for name, found in causes.items():
        assert flags(found) == [name]


def test_limits_of_a_model_card_are_taken():
    image, labels = disc()
    assert flags(quality(image, labels), LIMITS | {"almost full": 0.01}) == ["almost full"]


def test_a_constant_image_and_one_without_training_diameter():
    labels = np.zeros((16, 16), int)
    found = quality(np.full((16, 16), 7), labels, usual=None)
    assert found["contrast_to_noise"] == 0 and found["diameter"] is None and found["diameter_ratio"] is None
    assert {"empty", "low contrast"} <= set(flags(found)) and sharpness(np.full((16, 16), 7)) == -6
