"""The committed results: complete, linked, without paths of a machine; and how they are collected."""

import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
ABSOLUTE = r"""(^|[\s"'(=,])(/\w[\w.-]*/\w|[A-Z]:\\)"""  # the beginning of a path of some machine
RESULTS = sorted(path.parent for path in (ROOT / "results").rglob("README.md") if path.parent.name != "results")

sys.path.insert(0, str(ROOT / "results"))
import collect

from system.files import write_json


@pytest.mark.parametrize("folder", RESULTS, ids=lambda path: str(path.relative_to(ROOT / "results")))
def test_a_result_is_complete(folder):
    text = (folder / "README.md").read_text()
    assert "python train_and_predict.py" in text
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert pictures and all((folder / name).stat().st_size > 2000 for name in pictures)
    assert (folder / "scores.json").exists() or (folder / "summary.csv").exists()
    for path in [*folder.rglob("*.json"), *folder.rglob("*.csv"), folder / "README.md"]:
        assert not re.search(ABSOLUTE, path.read_text()), path


@pytest.fixture
def run(tmp_path):
    """What a finished run leaves, in small."""
    folder = tmp_path / "run"
    score = {"mean": 0.5, "median": 0.5, "worst": 0.25, "pooled": 0.5}
    write_json(folder / "scores.json", {"title": "Cells", "threshold": 0.5, "validation_dice": 0.75, "licence": None, "seg": 0.875,
                                        **dict.fromkeys(collect.PIXEL_SCORES, score)})  # fmt: skip
    write_json(folder / "split.json", {"train": {"a": {}}, "validation": {"b": {}}, "test": {"c": {}, "d": {}}})
    config = {"recipe": "cells", "data": "/somewhere/own", "output": "/somewhere/else", "epochs": 3}
    usual = collect.import_module("cells").CONFIG.to_json()
    del usual["border"]  # as if it was run before there was that setting, and when there was one that is gone
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
    assert "1 to fit, 1 to choose, 2 to report" in text and "2.2 minutes of training, best epoch 2 of 3" in text
    assert "| dice | 0.500 | 0.500 | 0.250 | 0.500 |" in text and "| 0.875 |" in text
    assert "| 1 | 0.125 |" in text and "long.csv" not in text and (target / "long.csv").exists()
    assert "![a figure](figures/a_figure.png)" in text and (target / "figures/a_figure.png").exists()
    assert not (target / "config.json").exists()


def test_small_numbers_stay_numbers_and_unknown_ones_are_left_out():
    table = collect.markdown(pd.DataFrame({"learning_rate": [1e-5, 0.001, 0.0], "sd": [float("nan"), 0.25, None]}))
    assert table.splitlines()[2:] == ["| 1e-05 |  |", "| 0.001 | 0.250 |", "| 0.000 |  |"]
