"""Intervals of scores over groups of images, and the summaries that hold them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data import Sample
from experiment.reporting import describe
from metrics import score_table
from scores.intervals import (
    MINIMUM_GROUPS,
    MINIMUM_GROUPS_OF_MEDIAN,
    _cr2,
    can_be_median,
    class_table,
    limits,
    mean_interval,
    median_interval,
    ratio_interval,
    stratum_table,
    summarise,
)

SQUARE = np.pad(np.ones((2, 2), int), ((0, 1), (0, 1)))
HALF = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0]])  # Dice 0.5


def test_single_images_around_a_half_give_students_interval():
    """There the logit is nearly straight, so that its limits lie inside those of Student's t."""
    values = np.array([0.49, 0.5, 0.5, 0.51, 0.48, 0.52])
    expected = stats.t.interval(0.95, 5, 0.5, stats.sem(values))
    assert mean_interval(values, np.arange(6)) == pytest.approx(expected, abs=1e-5)


def test_images_of_one_group_count_as_one():
    values, groups = np.repeat([0.7, 0.8, 0.9], 20), np.repeat([3, 5, 9], 20)
    assert mean_interval(values, groups) == pytest.approx(mean_interval([0.7, 0.8, 0.9], [3, 5, 9]))
    alone = mean_interval(values, np.arange(60))
    assert alone[1] - alone[0] < 0.1 < mean_interval(values, groups)[1] - mean_interval(values, groups)[0]


def test_the_limits_lie_within_what_is_possible():
    low, high = mean_interval([1.0, 1.0, 0.5], [0, 1, 2])
    assert 0 < low < 0.1 and high == 1
    low, high = mean_interval([0.0, 0.0, 5.0], [0, 1, 2], upper=np.inf)
    assert low == 0 and high > 10


@pytest.mark.parametrize("groups", [[0, 0, 0, 0], ["a", "a", "b", "b"]])
def test_fewer_than_three_groups_have_no_interval(groups):
    values = [0.5, 0.6, 0.8, 0.9]
    assert mean_interval(values, groups) == ratio_interval(values, [1, 2, 3, 4], groups) == (None, None)
    assert MINIMUM_GROUPS == 3


def test_groups_without_any_pixel_are_not_counted():
    assert ratio_interval([1, 2, 0, 0], [2, 3, 0, 0], [0, 1, 2, 3]) == (None, None)
    assert ratio_interval([1, 2, 3, 0], [2, 3, 4, 0], [0, 1, 2, 3]) == ratio_interval([1, 2, 3], [2, 3, 4], [0, 1, 2])


def test_groups_that_do_not_differ_have_no_interval():
    assert mean_interval([0.7] * 5, range(5)) == median_interval([0.7] * 5, range(5)) == (None, None)
    assert mean_interval([1.0] * 3, range(3)) == (None, None)


@pytest.mark.parametrize("wrong", [[0.5, 1.2, 0.3], [0.5, -0.1, 0.3], [0.5, np.nan, 0.3]])
def test_values_outside_the_scale_are_refused(wrong):
    with pytest.raises(ValueError, match="an interval needs scores from 0 to 1; found"):
        mean_interval(wrong, range(3))


def test_a_group_with_most_images_leaves_few_degrees_of_freedom():
    assert _cr2(np.full(6, 1 / 6))[1] == pytest.approx(5)
    assert _cr2(np.array([40, 1, 1, 1]) / 43)[1] < 1.5
    weights = np.array([0.5, 0.2, 0.2, 0.1])
    factors, freedom = _cr2(weights)
    deviation = np.eye(4) - weights  # row g: what makes the deviation of group g
    matrix = deviation.T @ np.diag(factors) @ deviation
    assert np.trace(matrix) == pytest.approx((weights**2).sum())  # the variance of a mean with these weights: no bias
    assert freedom == pytest.approx(np.trace(matrix) ** 2 / np.trace(matrix @ matrix))


@pytest.mark.parametrize("groups", [3, 5, 8])
@pytest.mark.parametrize("mean", [0.5, 0.95])
def test_nine_of_ten_intervals_hold_the_mean(groups, mean):
    """An interval of the percentiles of a bootstrap holds it in 70 % for three groups and in 87 % for eight."""
    rng = np.random.default_rng(0)
    of_groups = rng.beta(12 * mean, 12 * (1 - mean), (4000, groups))
    sizes = rng.integers(1, 30, of_groups.shape)
    low, high = limits(of_groups * sizes, sizes)
    assert ((low <= mean) & (mean <= high)).mean() > 0.92


def test_the_median_interval_of_six_images_is_their_range():
    """Five of six lie on one side of the median in 22 % of all draws, all six in 3 %: less than 5 %."""
    values = np.array([0.3, 0.9, 0.5, 0.7, 0.6, 0.8])
    assert median_interval(values, range(6)) == (0.3, 0.9)
    assert MINIMUM_GROUPS_OF_MEDIAN == 5 and median_interval(values[:5], range(5)) == (0.3, 0.9)
    assert median_interval(values, [0, 1, 2, 3, 3, 3]) == (None, None)


def test_many_images_narrow_the_median_interval():
    low, high = median_interval(np.arange(400) / 400, np.arange(400))
    assert low == pytest.approx(0.5 - 0.05, abs=0.01) and high == pytest.approx(0.5 + 0.05, abs=0.01)  # 1.96 / 2 / 20


def test_most_images_with_the_same_score():
    values = np.append(np.ones(40), np.linspace(0.2, 0.9, 10))
    assert median_interval(values, np.arange(50)) == (1.0, 1.0)


def test_the_median_interval_holds_the_values_that_can_be_the_median():
    rng = np.random.default_rng(0)
    for _ in range(50):
        groups = rng.integers(8, size=40)
        values = rng.random(8)[groups] / 2 + rng.random(40) / 2
        low, high = median_interval(values, groups)
        each = [values[groups == group] for group in np.unique(groups)]
        below = np.array([[(part < value).sum() for part in each] for value in (0.3, 0.5, 0.7)])
        possible = can_be_median(below, below, np.array([len(part) for part in each]))
        assert ((low <= np.array([0.3, 0.5, 0.7])) & (np.array([0.3, 0.5, 0.7]) <= high))[possible].all()


@pytest.fixture
def table():
    """Three groups with Dice 1, 0.5 and 0 in stratum 7."""
    image = np.zeros((3, 3, 1), np.uint8)
    samples = [Sample(str(number), image, SQUARE, group=number, stratum=7) for number in range(3)]
    return score_table(samples, [SQUARE, HALF, np.zeros((3, 3), int)])


def test_a_summary_holds_mean_median_and_pooled(table):
    summary = summarise(table)
    assert (summary["images"], summary["groups"]) == (3, 3)
    dice = summary["dice"]
    assert dice["mean"] == dice["median"] == 0.5 and dice["worst"] == 0
    assert dice["pooled"] == pytest.approx(2 * 6 / (2 * 6 + 2 + 6))
    assert dice["mean_interval"] == mean_interval([1, 0.5, 0], range(3)) and dice["mean_interval"][0] < 0.1
    assert dice["pooled_interval"] == ratio_interval([8, 4, 0], [8, 8, 4], range(3))
    assert dice["median_interval"] == (None, None)


def test_one_row_per_stratum(table):
    rows = stratum_table(pd.concat([table, table.iloc[1:].assign(stratum=3)]), "block").set_index("block")
    assert rows["images"].to_dict() == {3: 2, 7: 3} and rows["dice"].to_dict() == {3: 0.25, 7: 0.5}
    assert rows.loc[3, "dice_low"] is None and rows.loc[3, "dice_high"] is None  # two groups; JSON has no NaN
    assert rows.loc[7, "dice_low"] < 0.1


def test_one_row_per_class(table):
    part = table.assign(dice_class_1=[1.0, 0.5, 0.0], iou_class_1=0.25, dice_class_2=0.5, iou_class_2=0.5)
    first, second = class_table(part, 3).to_dict("records")
    assert (first["class"], first["dice"], first["iou"]) == (1, 0.5, 0.25)
    assert (first["dice_low"], first["dice_high"]) == mean_interval([1, 0.5, 0], range(3))
    assert (second["class"], second["dice_low"], second["dice_high"]) == (2, None, None)  # all images are alike


def test_the_terminal_says_why_there_is_no_interval(table):
    few, many = table.iloc[:2], pd.concat([table, table.assign(group=table["group"] + 3, dice=0.6)])
    summaries = [{"threshold": 0.5, **summarise(part), "blocks": stratum_table(part, "block")} for part in (few, many)]
    texts = [describe(summary | {"blocks": summary["blocks"].to_dict("records")}, "Nuclei", "block") for summary in summaries]
    assert "no 95 % intervals: independent groups of images: 2, needed: 3" in texts[0] and "(95 %" not in texts[0]
    assert "no 95 %" not in texts[1] and "(95 %" in texts[1]


def test_pixels_of_several_classes_together_are_the_mean_over_the_classes():
    image = np.zeros((1, 4, 1), np.uint8)
    mask, classes = np.array([[1, 1, 2, 0]]), np.array([0, 1, 2], np.uint8)
    samples = [Sample(name, image, mask, group=number, object_classes=classes) for number, name in enumerate("ab")]
    summary = summarise(score_table(samples, [np.array([[1, 1, 2, 0]]), np.array([[1, 0, 1, 0]])], 3))
    assert summary["dice"]["pooled"] == pytest.approx((6 / 8 + 2 / 3) / 2)  # class 1: 3 of 4 and 4; class 2: 1 of 2 and 1
    assert summary["accuracy"]["pooled"] == 6 / 8 and summary["accuracy"]["mean"] == 6 / 8
    assert summary["dice"]["pooled_interval"] == (None, None)
