"""Scores of drawn masks that a person can check by hand."""

import numpy as np
import pandas as pd
import pytest

from data import Sample
from metrics import (
    Counts,
    bootstrap_interval,
    class_scores,
    count_pixels,
    fit_threshold,
    pixel_scores,
    score_table,
    stratum_table,
    summarise,
    to_mask,
)

TRUTH = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
PREDICTED = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]])


def test_counts_of_a_shifted_square():
    assert count_pixels(TRUTH, PREDICTED) == Counts(2, 2, 2, 3)


def test_scores_of_a_shifted_square():
    scores = pixel_scores(count_pixels(TRUTH, PREDICTED))
    assert scores == pytest.approx({"dice": 0.5, "iou": 1 / 3, "precision": 0.5, "recall": 0.5, "f1": 0.5, "accuracy": 5 / 9})


def test_scores_where_precision_and_recall_differ():
    scores = pixel_scores(Counts(3, 1, 2, 4))
    assert scores == pytest.approx({"dice": 6 / 9, "iou": 0.5, "precision": 0.75, "recall": 0.6, "f1": 6 / 9, "accuracy": 0.7})


def test_nothing_to_find_and_nothing_claimed_is_right():
    assert pixel_scores(count_pixels(np.zeros((2, 2)), np.zeros((2, 2))))["dice"] == 1
    assert pixel_scores(count_pixels(np.zeros((2, 2)), np.ones((2, 2))))["dice"] == 0


def test_masks_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\) px and the predicted one \(2, 2\)"):
        count_pixels(TRUTH, np.zeros((2, 2)))


def test_scores_of_three_classes_are_the_mean_of_the_two_above_background():
    scores, counts = class_scores(np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 0]]), 3)
    assert scores["dice"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert counts == Counts(2, 1, 1, 4)


def test_decisions():
    probability = np.array([[[0.4], [0.6]]])
    assert to_mask(probability, 0.5).tolist() == [[0, 1]]
    assert to_mask(probability, 0.3).tolist() == [[1, 1]]
    assert to_mask(np.array([[[0.2, 0.5, 0.3]]]), None, 3).tolist() == [[1]]


def test_the_threshold_is_the_one_that_separates():
    probability = np.array([[0.1, 0.28], [0.33, 0.9]])[..., None]
    threshold, dice = fit_threshold([probability], [np.array([[0, 0], [5, 5]])])
    assert (threshold, dice) == (0.3, 1.0)


def test_the_interval_draws_whole_groups():
    values, groups = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])
    assert bootstrap_interval(values, groups) == (0.0, 1.0)  # two independent groups: all or nothing
    assert bootstrap_interval(np.zeros(4), [0, 0, 0, 1], len) == (2, 6)  # twice the group of one, or that of three
    low, high = bootstrap_interval(np.tile([0.0, 1.0], 200), np.arange(400))
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.01)  # the normal approximation: 0.5 / sqrt(400)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.01)
    assert bootstrap_interval([0.5, 0.5], np.arange(2)) == (0.5, 0.5)
    assert bootstrap_interval([0.5, 0.9], np.zeros(2)) == (None, None)  # one group says nothing about others


@pytest.fixture
def table():
    image = np.zeros((3, 3, 1), np.uint8)
    samples = [Sample("a", image, TRUTH * 9, group=0, stratum=7), Sample("b", image, TRUTH, group=1, stratum=7)]
    return score_table(samples, [TRUTH, np.zeros((3, 3))])


def test_one_row_per_image(table):
    assert table["name"].tolist() == ["a", "b"]
    assert table["dice"].tolist() == [1.0, 0.0]
    assert table["true_positive"].tolist() == [4, 0]


def test_summary_holds_mean_median_and_pooled(table):
    summary = summarise(table)
    assert (summary["images"], summary["groups"]) == (2, 2)
    assert summary["dice"]["mean"] == summary["dice"]["median"] == 0.5
    assert summary["dice"]["pooled"] == pytest.approx(2 * 4 / (2 * 4 + 4))
    assert summary["dice"]["mean_interval"] == (0.0, 1.0)
    assert summary["dice"]["pooled_interval"] == (0.0, 1.0)


def test_a_cluster_of_one_group_has_no_interval_and_no_nan(table):
    single = table.iloc[:1].assign(stratum=3)
    rows = stratum_table(pd.concat([table, single])).set_index("cluster")
    assert rows.loc[3, "dice_low"] is None and rows.loc[3, "dice_high"] is None
    assert rows.loc[7, "dice_low"] == 0.0


def test_one_row_per_cluster(table):
    row = stratum_table(pd.concat([table, table.assign(stratum=3, dice=1.0)])).set_index("cluster")
    assert row["images"].to_dict() == {3: 2, 7: 2}
    assert row["dice"].to_dict() == {3: 1.0, 7: 0.5}
