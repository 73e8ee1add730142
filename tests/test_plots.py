"""Figures of a run's numbers: the best epoch, a dot for each image and run, readable axes."""

import numpy as np
import pandas as pd
import pytest

from experiment import plots
from metrics import best_epoch
from scores.measurements import measure_objects


def history(dice):
    epochs = len(dice)
    return pd.DataFrame(
        {"epoch": np.arange(1, epochs + 1), "val_dice": dice, "dice": np.linspace(0.1, 0.9, epochs), "loss": np.ones(epochs)}
    )


def lines(axis):
    return {line.get_label(): line for line in axis.lines}


def test_the_best_epoch_is_marked():
    drawn = lines(plots.training_curves(history([0.1, 0.9, 0.5]), 2, "t").axes[1])
    assert list(drawn) == ["train (augmented, with dropout)", "validation", "best epoch, 2"]
    assert drawn["best epoch, 2"].get_xdata()[0] == 2


@pytest.mark.parametrize("smoothing", [2, 3, 5])
def test_the_curve_that_decides_is_drawn_and_highest_at_the_best_epoch(smoothing):
    table = history([0.2, 0.5, 0.6, 0.61, 0.5, 0.95, 0.55, 0.8, 0.5])  # the highest single epoch is luck
    best = best_epoch(table, smoothing)
    drawn = lines(plots.training_curves(table, best, "t", smoothing).axes[1])
    mean = drawn[f"validation, mean of the last {smoothing} epochs"].get_ydata()
    assert 1 + np.argmax(mean) == best != 6
    np.testing.assert_allclose(drawn["validation"].get_ydata(), table["val_dice"])


def test_one_epoch_is_seen():
    drawn = lines(plots.training_curves(history([0.5]), 1, "t").axes[1])
    assert drawn["validation"].get_marker() == "o"


def dots(axis):
    """What is drawn as dots: (places, heights)."""
    points = [part.get_offsets() for part in axis.collections if "Path" in type(part).__name__ and len(part.get_offsets())]
    return np.concatenate(points).T


def test_every_image_is_a_dot():
    table = pd.DataFrame({"stratum": ["dim", "dim", "bright"], "dice": [0.9, 0.8, 0.2]})
    axis = plots.dice_per_stratum(table, "t", "k-means cluster").axes[0]
    places, heights = dots(axis)
    assert sorted(heights.tolist()) == [0.2, 0.8, 0.9]
    assert places.round().tolist() == [0, 1, 1] and axis.get_ylim()[0] < 0.2
    assert [text.get_text() for text in axis.get_xticklabels()] == ["bright\n1 image", "dim\n2 images"]


def test_a_single_stratum_says_nothing_and_is_not_drawn():
    assert plots.dice_per_stratum(pd.DataFrame({"stratum": ["all", "all"], "dice": [0.9, 0.8]}), "t") is None


def test_numbers_stand_in_their_order_beside_names():
    table = pd.DataFrame({"stratum": pd.Series([10, 2, "dim"], dtype=object), "dice": [0.9, 0.8, 0.7]})
    names = [text.get_text().split("\n")[0] for text in plots.dice_per_stratum(table, "t").axes[0].get_xticklabels()]
    assert names == ["2", "10", "dim"]


def squares(shift):
    """Three squares, ``shift`` px larger than they are, measured."""
    labels = np.zeros((60, 60), int)
    for number, corner in enumerate((2, 20, 40), 1):
        labels[corner : corner + 8 + number + shift, corner : corner + 8 + number + shift] = number
    return measure_objects(labels)


def test_agreement_shows_the_bias_of_every_quantity_with_its_unit():
    figure = plots.agreement(squares(0), squares(2), "title")
    panels = {axis.get_title(): axis for axis in figure.axes}
    assert {"Smallest Feret diameter (px)", "Area (px²)", "Elongation (length / width)", "Orientation (degrees)"} <= set(panels)
    texts = panels["Smallest Feret diameter (px)"].get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["mean difference 2", "limits of agreement 2 to 2"]


def test_scores_over_the_threshold_name_their_best():
    table = pd.DataFrame({"threshold": [0.1, 0.2], "v_rand": [0.5, 0.75], "v_info": [0.9, 0.8]})
    axis = plots.scores_over_threshold(table, 0.2, "title").axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[:2] == ["V_rand, best 0.750", "V_info, best 0.900"]
    assert axis.get_xlabel() == "Threshold on the probability of membrane"  # as isbi.threshold_table has it, not of cell


def test_a_series_shows_runs_means_and_intervals():
    runs = pd.DataFrame({"run": [2, 2, 4], "dice_mean": [0.5, 0.7, 0.9]})
    table = pd.DataFrame(
        {"run": [2, 4], "dice_mean": [0.6, 0.9], "dice_mean_low": [0.5, np.nan], "dice_mean_high": [0.7, np.nan]}
    )
    figure = plots.series(table, {"dice_mean": runs}, "train_images", "title")
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["2", "4"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("Number of training images", "Dice, mean of the images")
    drawn, interval = axis.collections
    assert drawn.get_offsets().tolist() == [[0, 0.5], [0, 0.7], [1, 0.9]]
    assert len(interval.get_segments()) == 1  # a single run has none
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one run", "mean", "95 % interval of the mean"]


def test_every_panel_of_a_series_keeps_its_scale():
    table = pd.DataFrame({"run": ["a" * 30, "b" * 30]})
    for name in ("one", "two", "three"):
        table[name], table[f"{name}_low"], table[f"{name}_high"] = 0.5, np.nan, np.nan
    scores = {name: table[["run", name]] for name in ("one", "two", "three")}
    for axis in plots.series(table, scores, "split, hold_out", "t").axes:
        assert len(axis.get_yticks()) > 1 and axis.get_xticklabels()[0].get_rotation() == 30
        assert axis.get_xlabel() == "Kind of split, Held out for the test"


def test_counts_tell_the_stains_apart():
    table = pd.DataFrame({"count": [5, 5], "counted": [5, 3], "focus": [1, 1], "stain": [1, 2]})
    axis = plots.counts({"test set": table}, "t").axes[0]
    shown = [text.get_text() for text in axis.get_legend().get_texts()]
    assert shown == ["focus F1", "stain w1", "stain w2", "all counted right"]
