"""What a recipe must have is checked when it is read, and a series gets every setting."""

from pathlib import Path

import pytest

import recipe
import train_and_predict
from config import Config
from experiment.images import Source, find_source, title_of
from recipe import RECIPES, Recipe, first_data, read_recipe


def load(source, config):
    return []


def split(samples, config):
    return None


def a_recipe(**changes):
    parts = {"name": "mine", "title": "Mine", "licence": None, "config": Config(recipe="mine"), "load": load, "split": split}
    return Recipe(**parts | changes)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_complete(name):
    found = read_recipe(name)
    assert found.name == name and found.title and found.simulate and found.published["settings"]
    assert found.settings(simulated=True) == found.simulated and found.settings(simulated=False) == found.config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {}}, "recipe mine: config is {}; expected a Config"),
        ({"config": Config(recipe="dsb")}, "recipe mine: its config is of recipe 'dsb'"),
        ({"load": lambda source: []}, r"load must be a function that can be called as load\(source, config\)"),
        ({"split": None}, "split must be a function"),
        ({"measure": lambda validation, test: None}, "measure must be a function"),
        ({"simulate": "simulate"}, "simulate must be a function"),
        ({"uses": ("holdout",)}, "uses .'holdout'.; known are validation_share"),
        ({"uses": ("hold_out",)}, "uses hold_out and the function hold_outs belong together"),
        ({"has_labels": lambda source: True}, "has_labels needs simulate"),
        ({"published": {"settings": {"epochs": 0}}}, "--epochs is 0"),
        ({"title": None}, "title is None; expected a str"),
    ],
)
def test_a_faulty_recipe_is_refused_before_any_image_is_read(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        a_recipe(**changes)


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="mesure"):
        a_recipe(mesure=lambda *parts: None)


def test_a_module_without_a_recipe_is_named(tmp_path, monkeypatch):
    (tmp_path / "half_done.py").write_text("TITLE = 'x'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(recipe.RECIPES, "half_done", "not finished")
    with pytest.raises(ValueError, match=r"half_done\.py: does not end with RECIPE = Recipe\(name='half_done'"):
        read_recipe("half_done")
    (tmp_path / "half_done2.py").write_text("from recipe import Recipe\nRECIPE = Recipe(name='half_done2', title='x')\n")
    monkeypatch.setitem(recipe.RECIPES, "half_done2", "not finished")
    with pytest.raises(ValueError, match=r"half_done2\.py: .*missing 4 required .*'licence', 'config', 'load', and 'split'"):
        read_recipe("half_done2")
    with pytest.raises(ValueError, match="there is no recipe 'cats'"):
        read_recipe("cats")


def test_own_images_need_no_simulator_and_are_asked_for(tmp_path):
    own = a_recipe()
    with pytest.raises(ValueError, match=r"mine: holds no images; put yours there, or name their folder with --data"):
        find_source(own, {}, datasets=tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("where to put images")
    (tmp_path / "mine/.DS_Store").write_text("")
    assert first_data(tmp_path / "mine") is None and first_data(tmp_path / "nowhere") is None
    (tmp_path / "mine/images").mkdir()
    assert find_source(own, {}, datasets=tmp_path) == Source(tmp_path / "mine", False)
    assert title_of(own, Path("a/plate_7.zip"), False, False) == "plate_7, own images"


def test_a_path_that_is_not_there_is_refused_for_every_recipe(tmp_path):
    for name in RECIPES:
        with pytest.raises(ValueError, match=r"--data .*nowhere: there is no such file or folder"):
            find_source(read_recipe(name), {"data": str(tmp_path / "nowhere")})


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The settings of the runs of a series, which are not made."""
    runs = []

    def run(name, given, resumed=None):
        runs.append(given)
        Path(given["output"]).mkdir()
        (Path(given["output"]) / "scores.json").write_text(f'{{"title": "x", "v_rand": 0.{len(runs)}, "dice_mean": 0.5}}')

    monkeypatch.setattr(train_and_predict, "run", run)
    return runs


def series(tmp_path, *arguments):
    train_and_predict.main([*arguments, "--output", str(tmp_path / "series")])


def test_a_series_keeps_what_is_held_out_and_every_other_setting(started, tmp_path):
    options = ["--hold-out", "2", "--epochs", "3", "--no-normalisation", "--as-published", "--loss", "dice", "--workers", "0"]
    series(tmp_path, "isbi", *options, "--seed", "0,1")
    assert [given["seed"] for given in started] == [0, 1]
    for given in started:
        assert given["hold_out"] == "2" and given["epochs"] == 3 and given["normalisation"] is False
        assert given["as_published"] is True and given["loss"] == "dice" and given["workers"] == 0


def test_all_is_every_block_in_turn_with_every_other_setting(started, tmp_path):
    series(tmp_path, "isbi", "--hold-out", "all", "--epochs", "3", "--seed", "0,1")
    assert [(given["hold_out"], given["seed"]) for given in started] == [(str(b), s) for s in (0, 1) for b in range(1, 6)]
    assert all(given["epochs"] == 3 for given in started)


def test_a_resumed_series_keeps_its_settings_too(started, tmp_path):
    series(tmp_path, "isbi", "--hold-out", "2,4", "--epochs", "3")
    folder = tmp_path / "series"
    for path in (folder / "summary.csv", folder / "hold_out=4/scores.json"):
        path.unlink()
    started.clear()
    train_and_predict.main(["isbi", "--resume", str(folder), "--workers", "1"])
    assert [(given["hold_out"], given["epochs"], given["workers"]) for given in started] == [("4", 3, 1)]


def test_a_value_that_no_run_can_have_ends_the_series_before_its_first_run(started, tmp_path, capsys):
    for option, values, message in (("--epochs", "3,0", "--epochs is 0"), ("--seed", "1,1", "twice")):
        with pytest.raises(SystemExit) as end:
            series(tmp_path, "isbi", option, values)
        assert message in str(end.value.code) and not started
