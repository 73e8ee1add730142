"""Every recipe from beginning to end by the script, on a few small simulated images; and a series of runs."""

import shutil

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile

import train_and_predict
from segmentation import segment
from simulate import cells as simulate_cells
from simulate import membranes as simulate_membranes
from simulate import particles as simulate_particles
from simulate import stacks as simulate_stacks
from system.files import read_json

QUICK = (
    "--filters 4 --depth 2 --tile 64 --overlap 16 --batch-size 2 --steps 2 --epochs 1 --tta 1 --workers 0 "
    "--precision float32 --device cpu"
).split()
SIMULATE = {
    "bbbc005": lambda folder: simulate_particles.particles(folder, scenes=3),
    "cells": lambda folder: simulate_cells.low_contrast_cells(folder, frames=10, side=96),
    "tomography": lambda folder: simulate_stacks.stacks(folder, samples=3, slices=4, side=64),
    "isbi": lambda folder: simulate_membranes.membranes(folder, slices=10, side=96),
}
LEAVES = {
    "bbbc005": ["counts.csv", "figures/counts.png", "figures/dice_per_focus_level.png"],
    "cells": ["measurements.csv", "objects.csv", "predictions/02_t000_gold_objects.tif", "figures/objects.png"],
    "tomography": ["figures/samples.png"],
    "isbi": ["thresholds.csv", "submission.tif", "figures/v_rand.png"],
}
SCORES = {"bbbc005": "watersheds", "cells": "seg", "tomography": "accuracy", "isbi": "v_rand_at_fitted_threshold"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """{recipe: folder} of small simulated data, made when first asked for; read only."""
    made = {}

    def make(recipe):
        if recipe not in made:
            made[recipe] = SIMULATE[recipe](tmp_path_factory.mktemp("data") / recipe)
        return made[recipe]

    return make


def run(recipe, folder, output, *options):
    arguments = [recipe, "--data", folder, "--output", output, *QUICK, *options]
    train_and_predict.main([str(argument) for argument in arguments])
    return output


def test_a_single_stratum_gets_no_figure_of_its_own(simulated, tmp_path):
    """One block, one sample: a figure with a single column says nothing."""
    output = run("tomography", simulated("tomography"), tmp_path / "run", "--hold-out", 2)
    assert not (output / "figures/dice_per_sample.png").exists()


@pytest.mark.parametrize(("recipe", "options"), [("tomography", ()), ("cells", ("--border", 0)), ("cells", ("--border", 2))])
def test_three_classes_from_masks_to_scores_and_new_images(recipe, options, simulated, tmp_path):
    """Masks of class numbers, in every recipe that uses --classes: scores of each class, and predict.py finds objects."""
    folder = tmp_path / "classes"
    shutil.copytree(simulated(recipe), folder, ignore=shutil.ignore_patterns("simulated.json", "*_ST"))
    for path in [*folder.glob("out/*"), *folder.glob("*_GT/SEG/*")]:
        mask = tifffile.imread(path) > 0
        tifffile.imwrite(path, (mask * (1 + (np.arange(mask.shape[1]) > mask.shape[1] // 2))).astype(np.uint8))
    output = run(recipe, folder, tmp_path / "run", "--classes", 3, "--batch-size", 1, *options)
    scores = read_json(output / "scores.json")
    assert [row["class"] for row in scores["classes"]] == [1, 2]
    table = pd.read_csv(output / "scores.csv")
    assert table["dice"].to_numpy() == pytest.approx(table[["dice_class_1", "dice_class_2"]].mean(axis=1).to_numpy())
    assert set(np.unique(iio.imread(next((output / "predictions").glob("*_mask.png"))))) <= {0, 1, 2}
    image = next(path for path in folder.rglob("*.tif*") if "SEG" not in str(path) and "out" not in path.parts)
    found = segment(tifffile.imread(image), output / "model.keras")
    assert found.classes.shape == found.mask.shape and ((found.classes > 0) == (found.objects > 0)).all()


@pytest.mark.parametrize("recipe", SIMULATE)
def test_a_run_leaves_what_is_peculiar_to_the_recipe(recipe, simulated, tmp_path, capsys):
    output = run(recipe, simulated(recipe), tmp_path / "run")
    for name in LEAVES[recipe]:
        assert (output / name).stat().st_size > 50, name
    scores = read_json(output / "scores.json")
    assert SCORES[recipe] in scores and scores["simulated"] is True
    assert any("simulated images" in line for line in capsys.readouterr().out.splitlines()[:2])
    assert not list(output.rglob("*.part*"))


def test_the_submission_has_a_page_per_test_slice(simulated, tmp_path):
    output = run("isbi", simulated("isbi"), tmp_path / "run", "--hold-out", 2)
    submission = tifffile.imread(output / "submission.tif")
    expected = tifffile.imread(simulated("isbi") / "test-volume.tif").shape
    assert submission.shape == expected and submission.dtype == "float32" and 0 <= submission.min() <= submission.max() <= 1
    assert {name[-3:] for name in read_json(output / "split.json")["test"]} == {"002", "003"}


def test_a_series_goes_on_where_it_stopped(simulated, tmp_path, capsys):
    """Three samples held out in turn; the second run is taken away, as if the program had been killed in it."""
    folder = run("tomography", simulated("tomography"), tmp_path / "series", "--hold-out", "all")
    table = pd.read_csv(folder / "series.csv")
    assert table["hold_out"].tolist() == [1, 2, 3] and {"accuracy_median", "accuracy_worst", "dice_mean"} <= set(table)
    assert (folder / "figures/series.png").stat().st_size > 5000
    first = (folder / "hold_out=1/scores.json").stat().st_mtime_ns
    for path in (folder / "summary.csv", folder / "series.csv", folder / "hold_out=2/scores.json"):
        path.unlink()
    capsys.readouterr()
    train_and_predict.main(["tomography", "--resume", str(folder)])
    printed = capsys.readouterr().out
    assert "Run 2 of 3: hold_out 2" in printed and "Run 1 of 3" not in printed and "accuracy_median_lowest" in printed
    assert (folder / "hold_out=1/scores.json").stat().st_mtime_ns == first
    pd.testing.assert_frame_equal(pd.read_csv(folder / "series.csv"), table, atol=1e-3)


def test_a_shuffled_split_says_that_it_leaks_and_published_settings_are_taken(simulated, tmp_path):
    output = run(
        "tomography", simulated("tomography"), tmp_path / "run", "--split", "shuffled", "--train-images", 2, "--as-published"
    )
    config = read_json(output / "config.json")["config"]
    assert (config["learning_rate"], config["schedule"], config["train_images"]) == (1e-4, "constant", 2)
    split = read_json(output / "split.json")
    samples = {role: {name.split("_")[0] for name in members} for role, members in split.items()}
    assert samples["test"] & (samples["train"] | samples["validation"]) and len(split["train"]) == 2
    assert read_json(output / "scores.json")["title"].endswith("shuffled (leaks)")


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [
        ("bbbc005", "--hold-out", "3"),
        ("bbbc005", "--hold-out", "all"),
        ("isbi", "--test-share", "0.3"),
        ("isbi", "--labels", "gold"),
        ("isbi", "--classes", "3"),
        ("bbbc005", "--classes", "3"),
    ],
)
def test_options_without_effect_are_refused(recipe, option, value, simulated, tmp_path):
    with pytest.raises(SystemExit) as end:
        run(recipe, simulated(recipe), tmp_path / "run", option, value)
    assert f"{option} has no effect on recipe {recipe}; leave it out" in str(end.value.code) and not (tmp_path / "run").exists()


def test_the_samples_names_stand_in_the_scores(simulated, tmp_path):
    output = run("tomography", simulated("tomography"), tmp_path / "run", "--hold-out", 2, "--train-images", 1)
    assert [row["sample"] for row in read_json(output / "scores.json")["samples"]] == ["2"]


def test_the_published_settings_learn_no_distance_map():
    import dsb
    from train_and_predict import configure

    assert dsb.CONFIG.distance and not configure(dsb.RECIPE, {"as_published": True}, False).distance
