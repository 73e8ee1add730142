"""Series of runs: their folders, tables and intervals."""

import numpy as np
import pandas as pd
import pytest

from config import Config
from experiment import run_folder, series
from scores.intervals import mean_interval
from system.files import write_json


def finish(folder, dice):
    """What a finished run leaves that a series reads."""
    write_json(folder / "scores.json", {"title": "Cells", "simulated": True, "dice": {"mean": dice, "mean_interval": [0, 1]}})


def test_every_combination_has_a_folder(tmp_path):
    steps = series.runs(tmp_path, {"train_images": [2, 4], "seed": [0, 1]})
    assert [change for change, _ in steps] == [{"train_images": n, "seed": s} for n in (2, 4) for s in (0, 1)]
    assert steps[1][1] == tmp_path / "train_images=2_seed=1"


def test_a_series_is_kept_and_found_again(tmp_path):
    folder = series.start("cells", {"epochs": 3}, {"seed": [0, 1]}, tmp_path)
    assert series.read(folder) == ("cells", {"epochs": 3, "output": None}, {"seed": [0, 1]})
    assert run_folder.find_run("cells", root=tmp_path) == folder and run_folder.is_series(folder)
    assert run_folder.to_resume(folder / "seed=0") == folder
    with pytest.raises(ValueError, match="exists already and is not overwritten"):
        series.start("cells", {"output": str(folder)}, {"seed": [0]}, tmp_path)


def test_values_that_cannot_work_are_found_before_the_first_run():
    with pytest.raises(ValueError, match="--dropout is 2; it must be from 0 to 1"):
        series.check(Config(), {"seed": [0], "dropout": [0.5, 2]})
    with pytest.raises(ValueError, match="--seed 1,2,1: a value is given twice"):
        series.check(Config(), {"seed": [1, 2, 1]})


def test_means_and_intervals_over_repeats(tmp_path):
    values = {"train_images": [2, 4], "seed": [0, 1, 2]}
    dice = {2: (0.5, 0.6, 0.7), 4: (0.8, 0.8, 0.8)}
    folder = series.start("cells", {}, values, tmp_path)
    for change, run in series.runs(folder, values):
        finish(run, dice[change["train_images"]][change["seed"]])
    summary, spread = series.write_results(folder, values, ("dice_mean", "seg"), "Cells")
    assert spread["dice_mean_lowest"].tolist() == [0.5, 0.8] and spread["dice_mean_sd"][0] == pytest.approx(0.1)
    few, many = summary.to_dict("records")
    assert (few["run"], few["runs"], few["dice_mean"]) == (2, 3, pytest.approx(0.6))
    assert (few["dice_mean_low"], few["dice_mean_high"]) == mean_interval([0.5, 0.6, 0.7], range(3))
    assert many["dice_mean"] == pytest.approx(0.8) and np.isnan(many["dice_mean_low"])  # three equal runs show no variation
    assert len(pd.read_csv(folder / "series.csv")) == 6 and (folder / "figures/series.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"this run is finished, its scores are in summary\.csv"):
        run_folder.find_run("cells", str(folder))


def test_one_run_per_value_has_no_interval(tmp_path):
    values = {"hold_out": ["1", "2"]}
    folder = series.start("isbi", {}, values, tmp_path)
    for number, (_, run) in enumerate(series.runs(folder, values)):
        finish(run, 0.5 + 0.2 * number)
    summary, spread = series.write_results(folder, values, ("dice_mean",), "Membranes")
    assert summary["dice_mean_low"].isna().all() and summary["run"].tolist() == ["1", "2"]
    assert spread.to_dict("records") == [
        {"runs": 2, "dice_mean_mean": 0.6, "dice_mean_sd": pytest.approx(0.2 / np.sqrt(2)), "dice_mean_lowest": 0.5}
    ]
    assert (folder / "spread.csv").exists()


def test_what_was_held_out_is_spread_within_equal_settings():
    """An honest and a leaky split are never averaged."""
    table = pd.DataFrame({"split": ["a", "a", "b", "b"], "hold_out": [1, 2, 1, 2], "dice": [0.5, 0.7, 0.9, 0.9]})
    spread = series.spread(table, {"split": ["a", "b"], "hold_out": [1, 2]}, ["dice"])
    assert spread["split"].tolist() == ["a", "b"] and spread["dice_mean"].tolist() == [0.6, 0.9]


def test_only_numbers_are_kept():
    scores = {
        "title": "a",
        "simulated": True,
        "images": 3,
        "v_rand": 0.9,
        "dice": {"mean": 0.5, "mean_interval": [0, 1]},
        "x": None,
    }
    assert series.flatten(scores) == {"images": 3, "v_rand": 0.9, "dice_mean": 0.5}


def test_two_runs_have_no_interval():
    table = pd.DataFrame({"run": [1, 1, 2, 2, 2], "dice_mean": [0.5, 0.7, 0.5, 0.6, 0.7]})
    few, many = series.summarise(table, "run", ["dice_mean"], ["dice_mean"]).to_dict("records")
    assert np.isnan(few["dice_mean_low"]) and few["dice_mean"] == pytest.approx(0.6) and many["dice_mean_low"] > 0


def test_only_main_scores_have_intervals():
    table = pd.DataFrame({"run": [1, 1, 1], "dice_mean": [0.5, 0.6, 0.7], "threshold": [0.3, 0.4, 0.5]})
    assert list(series.summarise(table, "run", ["dice_mean", "threshold"], ["dice_mean"])) == [
        "run", "runs", "dice_mean", "dice_mean_low", "dice_mean_high", "threshold",
    ]  # fmt: skip


def test_three_runs_of_skewed_scores_hold_the_mean_in_nine_of_ten():
    """Student's t would hold it in 88 % of these draws."""
    scores = 1 - np.random.default_rng(0).exponential(0.05, (2000, 3)).clip(max=1)
    table = pd.DataFrame({"run": np.repeat(np.arange(2000), 3), "dice": scores.ravel()})
    summary = series.summarise(table, "run", ["dice"], ["dice"])
    assert ((summary["dice_low"] <= 0.95) & (summary["dice_high"] >= 0.95)).mean() > 0.92


def test_scores_above_one_and_below_zero():
    low, high = series.interval_of_runs(pd.Series([1.0, 2.0, 6.0]), 6.0)  # a mean count error has no upper limit
    assert 0 <= low < 3 < 6 < high
    assert series.interval_of_runs(pd.Series([-1.0, 0.2, 0.5]), 0.5) == pytest.approx((np.nan, np.nan), nan_ok=True)
    assert series.interval_of_runs(pd.Series([0.4, 0.5, np.nan]), 0.5) == pytest.approx((np.nan, np.nan), nan_ok=True)
