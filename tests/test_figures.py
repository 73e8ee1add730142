"""Figures hold what they say: colours of the overlay, one picture per sample, the best epoch."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import figures
from scores.measurements import measure_objects

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
    figure = figures.training_curves(history, 2, "t")
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert "best epoch, 2" in labels


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


def squares(shift):
    """Tables of three squares, measured ``shift`` px larger than they are."""
    labels = np.zeros((60, 60), int)
    for number, corner in enumerate((2, 20, 40), 1):
        labels[corner : corner + 8 + number + shift, corner : corner + 8 + number + shift] = number
    return labels, measure_objects(labels)


def test_the_outlines_of_both_are_drawn():
    truth, found = squares(0)[0], squares(2)[0]
    figure = figures.outlines([np.zeros((60, 60, 1), np.uint8)], {"truth": [truth], "prediction": [found]}, ["a"], "title")
    yellow, sky = (layer.get_array() for layer in figure.axes[0].images[1:])
    assert yellow[2, 2, 3] == 1 and yellow[6, 6, 3] == 0 and sky[12, 12, 3] == 1


def test_agreement_shows_the_bias_of_every_quantity():
    figure = figures.agreement(squares(0)[1], squares(2)[1], "title")
    panels = {axis.get_title().split(",")[0]: axis for axis in figure.axes}
    assert {"feret min", "area", "elongation", "orientation"} <= set(panels)
    assert panels["feret min"].get_legend().get_texts()[0].get_text() == "bias 2"


def test_scores_over_the_threshold_name_their_best():
    table = pd.DataFrame({"threshold": [0.1, 0.2], "v_rand": [0.5, 0.75], "v_info": [0.9, 0.8]})
    axis = figures.scores_over_threshold(table, 0.2, "title").axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[:2] == ["V_rand, best 0.750", "V_info, best 0.900"]


def test_a_series_shows_runs_means_and_intervals():
    runs = pd.DataFrame({"run": [2, 2, 4], "dice": [0.5, 0.7, 0.9]})
    table = pd.DataFrame({"run": [2, 4], "dice": [0.6, 0.9], "dice_low": [0.5, np.nan], "dice_high": [0.7, np.nan]})
    axis = figures.series(table, {"dice": runs}, "train_images", "title").axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["2", "4"] and axis.get_xlabel() == "train images"
    dots, interval = axis.collections
    assert dots.get_offsets().tolist() == [[0, 0.5], [0, 0.7], [1, 0.9]]
    assert len(interval.get_segments()) == 1  # a single run has none


def test_wide_images_make_low_rows():
    wide, mask = np.zeros((4, 16, 1), np.uint8), np.zeros((4, 16), int)
    heights = [
        figures.three_rows([image], [truth], [truth], ["a"], "t").get_figheight()
        for image, truth in ((wide, mask), (IMAGE, TRUTH))
    ]
    assert heights[0] < 0.5 * heights[1]


def test_counts_tell_the_stains_apart():
    table = pd.DataFrame({"count": [5, 5], "counted": [5, 3], "focus": [1, 1], "stain": [1, 2]})
    axis = figures.counts({"test set": table}, "t").axes[0]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["F1", "stain w1", "stain w2"]


def test_every_panel_of_a_series_keeps_its_scale():
    table = pd.DataFrame({"run": ["a" * 30, "b" * 30]})
    for name in ("one", "two", "three"):
        table[name], table[f"{name}_low"], table[f"{name}_high"] = 0.5, np.nan, np.nan
    scores = {name: table[["run", name]] for name in ("one", "two", "three")}
    for axis in figures.series(table, scores, "hold_out", "t").axes:
        assert len(axis.get_yticks()) > 1 and axis.get_xticklabels()[0].get_rotation() == 30
