"""The committed results: complete, linked, with intervals that can be computed again, in the terms of today; how to collect."""

import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
ABSOLUTE = r"""(^|[\s"'(=,])(/\w[\w.-]*/\w|[A-Z]:\\)"""  # the beginning of a path of some machine
RESULTS = sorted(path.parent for path in (ROOT / "results").rglob("README.md") if path.parent.name != "results")

OLD_TERMS = re.compile(
    r"fit_images|fit-images|choose_|report_(share|dice)|(fit|choose|report) set|\bto (fit|choose|report)\b|\bviews\b"
    r"|separation|least_area|gap_depth|\"(fit|choose|report|cluster|clusters)\"|(^|,)cluster,|\| cluster \||per_cluster",
    re.MULTILINE,
)

sys.path.insert(0, str(ROOT / "results"))
import collect

from recipe import read_recipe
from scores.intervals import mean_interval, stratum_table, summarise
from system.files import read_json, write_json


@pytest.mark.parametrize("folder", RESULTS, ids=lambda path: str(path.relative_to(ROOT / "results")))
def test_a_result_is_complete(folder):
    text = (folder / "README.md").read_text()
    assert "python train_and_predict.py" in text
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert pictures and all((folder / name).stat().st_size > 2000 for name in pictures)
    assert (folder / "scores.json").exists() or (folder / "summary.csv").exists()
    for path in [*folder.rglob("*.json"), *folder.rglob("*.csv"), folder / "README.md"]:
        assert not re.search(ABSOLUTE, path.read_text()), path


@pytest.mark.parametrize("folder", [*RESULTS, ROOT / "weights"], ids=lambda path: path.name)
def test_results_use_the_terms_of_today(folder):
    for path in [*folder.glob("*.json"), *folder.glob("*.csv"), *folder.glob("*.md")]:
        assert not OLD_TERMS.search(path.read_text()), path


@pytest.mark.parametrize("folder", [f for f in RESULTS if (f / "scores.json").exists()], ids=lambda path: path.name)
def test_intervals_of_a_result_can_be_computed_again(folder):
    scores, table = read_json(folder / "scores.json"), pd.read_csv(folder / "scores.csv")
    card = read_json(folder / "model.json")
    assert card["scores"] == scores
    again = summarise(table)
    for name in collect.PIXEL_SCORES:
        for key, value in again[name].items():
            assert scores[name][key] == pytest.approx(value, nan_ok=False) or list(value) == scores[name][key] == [None, None]
    kind = read_recipe(card["training"]["configuration"]["recipe"]).stratum
    strata = stratum_table(table, kind).set_index(kind)
    for row in scores[f"{kind}s"]:
        for key in ("dice_low", "dice_high"):
            assert row[key] == strata.loc[row[kind], key] or row[key] == pytest.approx(strata.loc[row[kind], key])
    if "map_interval" in scores:
        objects = pd.read_csv(folder / "objects.csv")
        assert scores["map_interval"] == pytest.approx(mean_interval(objects["map"], objects["group"]))


@pytest.fixture
def run(tmp_path):
    """What a finished run leaves, in small."""
    folder = tmp_path / "run"
    score = {"mean": 0.5, "mean_interval": [0.375, 0.625], "median": 0.5, "worst": 0.25, "pooled": 0.5}
    write_json(folder / "scores.json", {"title": "Cells", "threshold": 0.5, "validation_dice": 0.75, "licence": None,
                                        "seg": 0.875, "seg_interval": [0.75, 0.9375], "found": 0.25, "images": 12, "groups": 3,
                                        **dict.fromkeys(collect.PIXEL_SCORES, score)})  # fmt: skip
    write_json(folder / "split.json", {"train": {"a": {}}, "validation": {"b": {}}, "test": {"c": {}, "d": {}}})
    config = {"recipe": "cells", "data": "/somewhere/own", "output": "/somewhere/else", "epochs": 3}
    usual = read_recipe("cells").config.to_json()
    del usual["border"]  # an old run, from before this setting existed, and with one that no longer exists
    usual["stain"] = 0.5
    write_json(folder / "config.json", {"source": "/somewhere/own", "config": {**usual, **config}})
    write_json(
        folder / "environment.json", {"revision": "abc", "processor": "P", "cores": 2, "gpus": [], "precision": "float32"}
    )
    write_json(folder / "model.json", {"training": {"minutes": 2.25, "best_epoch": 2, "epochs": 3}})
    pd.DataFrame({"kind": [1], "found": [0.125]}).to_csv(folder / "objects.csv", index=False)
    pd.DataFrame({"kind": range(13)}).to_csv(folder / "long.csv", index=False)
    (folder / "figures").mkdir()
    shutil.copy(next(iter((ROOT / "results/dsb/figures").glob("*.png"))), folder / "figures" / "a_figure.png")
    return folder


def test_a_run_is_collected_with_its_command_and_scores(run, tmp_path, monkeypatch):
    target = tmp_path / "results" / "own"
    monkeypatch.setattr(sys, "argv", ["collect.py", str(run), str(target)])
    collect.main()
    text = (target / "README.md").read_text()
    assert "    python train_and_predict.py cells --data own --border 0 --epochs 3\n" in text and "/somewhere" not in text
    assert "Images: 1 train, 1 validation, 2 test." in text and "2.2 minutes of training on P with 2 cores" in text
    assert "best epoch 2 of 3" in text
    assert "Test set, 12 images of 3 independent groups, 8-fold test-time augmentation:" in text
    assert "| dice | 0.500 | 0.375 to 0.625 | 0.500 | 0.250 | 0.500 |" in text
    assert "| seg | 0.875 | 0.750 to 0.938 |" in text and "| found | 0.250 |  |" in text
    assert "| 1 | 0.125 |" in text and "long.csv" not in text and (target / "long.csv").exists()
    assert "![a figure](figures/a_figure.png)" in text and (target / "figures/a_figure.png").exists()
    assert not (target / "config.json").exists()


def test_results_without_an_interval_say_why():
    score = {"mean": 0.5, "mean_interval": [None, None], "median": 0.5, "worst": 0.25, "pooled": 0.5}
    scores = {"images": 5, "groups": 1, **dict.fromkeys(collect.PIXEL_SCORES, score)}
    text = collect.scored(scores, 1, "block")
    assert text == "Test set, 5 images of 1 block (3 are needed for an interval), no test-time augmentation"
    assert "interval" not in collect.pixel_table(scores)


def test_a_series_is_collected_with_its_intervals(tmp_path, run, monkeypatch):
    folder = tmp_path / "series"
    for seed in range(3):
        shutil.copytree(run, folder / f"filters=8_seed={seed}")
    values = {"filters": [8], "seed": [0, 1, 2]}
    write_json(folder / "series.json", {"recipe": "cells", "given": {"epochs": 3}, "values": values})
    (folder / "figures").mkdir()
    summary = {"run": [8], "runs": [3], "dice_mean": [0.5], "dice_mean_low": [0.25], "dice_mean_high": [0.75], "seg": [0.875]}
    pd.DataFrame(summary | {"seg_low": [None], "seg_high": [None]}).to_csv(folder / "summary.csv", index=False)
    pd.DataFrame({"filters": [8], "runs": [3], "dice_mean_sd": [0.125]}).to_csv(folder / "spread.csv", index=False)
    target = tmp_path / "collected"
    monkeypatch.setattr(sys, "argv", ["collect.py", str(folder), str(target)])
    collect.main()
    text = (target / "README.md").read_text()
    assert text.startswith("# Cells: a series\n\n    python train_and_predict.py cells --data own")
    assert "--filters 8 --seed 0,1,2\n" in text and "3 runs. The first one: 2.2 minutes of training" in text
    assert "the 95 % interval of this mean (low, high)" in text
    assert "| 8 | 3 | 0.500 | 0.250 | 0.750 | 0.875 |" in text and "| 8 | 3 | 0.125 |" in text


def test_small_numbers_stay_numbers_and_unknown_ones_are_left_out():
    table = collect.markdown(pd.DataFrame({"learning_rate": [1e-5, 0.001, 0.0], "sd": [float("nan"), 0.25, None]}))
    assert table.splitlines()[2:] == ["| 1e-05 |  |", "| 0.001 | 0.250 |", "| 0.000 |  |"]
