"""The shipped networks' model card: limits of flags fitted on the choose set, their worth counted on another."""

import numpy as np
import pandas as pd
import pytest

import quality
from weights import make

GOOD = {
    "objects": 9, "foreground_share": 0.2, "contrast_to_noise": 40.0, "saturated_share": 0.001, "sharpness": -0.8,
    "doubtful_share": 0.01, "disagreement": 0.02, "diameter": 20.0, "diameter_ratio": 1.0, "dice": 0.95,
}  # fmt: skip


def table(*changes):
    return pd.DataFrame([GOOD | change for change in changes])


def test_a_limit_lies_between_the_good_and_the_bad():
    doubt = table({}, {"doubtful_share": 0.03}, {"doubtful_share": 0.05, "dice": 0.6}, {"doubtful_share": 0.07, "dice": 0.5})
    limits = make.fit_limits(doubt)
    assert limits["in doubt"] == pytest.approx(0.04)
    assert {name for name in limits if limits[name] != quality.LIMITS[name]} == {"in doubt"}
    assert quality.flags(doubt.iloc[2].to_dict(), limits) == ["in doubt"] and quality.flags(GOOD, limits) == []


def test_without_bad_images_the_usual_limits_stay():
    assert make.fit_limits(table({}, {"doubtful_share": 0.9})) == quality.LIMITS


def test_the_worth_of_a_flag_is_counted():
    rows = table({}, {"disagreement": 0.5, "dice": 0.5}, {"disagreement": 0.4, "dice": 0.9}, {"diameter_ratio": None})
    worth = make.worth_of_flags(rows, quality.LIMITS).set_index("flag")
    assert worth.loc["unstable", ["images", "with Dice below 0.8"]].tolist() == [2, 1]
    assert worth.loc["unstable", "mean Dice of these"] == pytest.approx(0.7)
    assert worth.loc["unstable", "of the others"] == pytest.approx(0.95)
    assert worth.loc["any flag", "images"] == 2 and worth.loc["blurred", "images"] == 0
    assert np.isnan(float(worth.loc["blurred", "mean Dice of these"] or np.nan))
