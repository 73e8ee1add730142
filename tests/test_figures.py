"""Figures hold what they say: colours of the overlay, one picture per sample, the best epoch."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import figures

IMAGE = np.arange(16, dtype=np.uint16).reshape(4, 4, 1) * 4000
TRUTH = np.array([[1, 1, 0, 0]] * 4)
PREDICTED = np.array([[1, 0, 1, 0]] * 4)


def test_the_overlay_tints_each_kind_of_pixel():
    picture = figures.overlay(np.zeros((4, 4, 1), np.uint8), TRUTH, PREDICTED)
    assert picture.shape == (4, 4, 3)
    sky, yellow, vermilion, nothing = picture[0]
    assert sky[2] > sky[0]
    assert yellow[1] > 0.4 > vermilion[1] and yellow[0] > 0.4 < vermilion[0]
    assert nothing.tolist() == [0, 0, 0]


def test_sixteen_bit_images_are_stretched_to_white():
    assert figures.stretch(IMAGE).min() == 0 and figures.stretch(IMAGE).max() == 1
    assert (figures.stretch(np.full((2, 2, 1), 9)) == 0).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_column_per_sample(count):
    images, masks, names = [IMAGE] * count, [TRUTH] * count, [f"n{i}" for i in range(count)]
    rows = figures.three_rows(images, masks, masks, names, "title")
    assert len(rows.axes) == 3 * count
    assert [axis.get_title() for axis in rows.axes[:count]] == names
    overlays = figures.overlays(images, masks, masks, names, "title")
    assert [axis.get_title() for axis in overlays.axes if axis.axison] == names
    assert overlays.get_suptitle() == "title"


def test_colour_images_stay_in_colour():
    figure = figures.three_rows([np.zeros((4, 4, 3), np.uint8)], [TRUTH], [TRUTH], ["a"], "t")
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 3)


def test_the_best_epoch_is_marked():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3], "val_dice": [0.1, 0.9, 0.5], "dice": [0.1, 0.2, 0.3], "loss": [3, 2, 1], "val_loss": [3, 2, 2]}
    )
    figure = figures.training_curves(history, "t")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert "best epoch, 2" in labels


def test_every_cluster_has_its_row_and_count():
    figure = figures.stratum_examples([IMAGE] * 5, [0, 0, 0, 1, 1], "t", columns=2)
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["0\n3 images", "1\n2 images"]


def test_every_image_is_a_dot():
    table = pd.DataFrame({"stratum": [0, 0, 3], "dice": [0.9, 0.8, 0.2]})
    figure = figures.dice_per_stratum(table, "t")
    assert isinstance(figure, Figure)
    dots = [
        collection.get_offsets()
        for collection in figure.axes[0].collections
        if len(collection.get_offsets()) and "Path" in type(collection).__name__
    ]
    assert sorted(np.concatenate(dots)[:, 1].tolist()) == [0.2, 0.8, 0.9]
    assert figure.axes[0].get_ylim()[0] < 0.2


def test_augmentations_stand_beside_each_other():
    figure = figures.augmentations({"none": (IMAGE / 1.0, TRUTH), "flip": (IMAGE[::-1] / 1.0, TRUTH)}, "t")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["none", "flip"]
