"""Scores of drawn masks that a person can check by hand."""

import numpy as np
import pytest

from data import Sample
from maps import OutputMaps
from metrics import (
    Counts,
    count_pixels,
    fit_threshold,
    pixel_scores,
    score_table,
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


def test_scores_of_three_classes_stand_beside_their_mean():
    truth = np.array([[1, 1, 2, 0], [3, 0, 0, 0]])  # object 3 is of class 2
    sample = Sample("a", np.zeros((2, 4, 1), np.uint8), truth, object_classes=np.array([0, 1, 2, 2], np.uint8))
    assert sample.class_map.tolist() == [[1, 1, 2, 0], [2, 0, 0, 0]]
    row = score_table([sample], [np.array([[1, 2, 2, 0], [2, 0, 0, 0]])], 3).iloc[0]
    assert row["dice_class_1"] == pytest.approx(2 / 3) and row["dice_class_2"] == pytest.approx(4 / 5)
    assert row["dice"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert row[list(Counts._fields)].tolist() == [4, 0, 0, 4]  # of all foreground
    assert row["accuracy"] == 7 / 8


def test_the_threshold_is_the_one_that_separates():
    probability = np.array([[0.1, 0.28], [0.33, 0.9]])[..., None]
    threshold, dice = fit_threshold([probability], [np.array([[0, 0], [5, 5]])], OutputMaps())
    assert (threshold, dice) == (0.3, 1.0)


@pytest.fixture
def table():
    image = np.zeros((3, 3, 1), np.uint8)
    samples = [Sample("a", image, TRUTH * 9, group=0, stratum=7), Sample("b", image, TRUTH, group=1, stratum=7)]
    return score_table(samples, [TRUTH, np.zeros((3, 3))])


def test_one_row_per_image(table):
    assert table["name"].tolist() == ["a", "b"]
    assert table["dice"].tolist() == [1.0, 0.0]
    assert table["true_positive"].tolist() == [4, 0]
