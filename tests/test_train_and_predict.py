"""The script from beginning to end on small simulated images: what it leaves, how it resumes, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import keras
import numpy as np
import pandas as pd
import pytest
import tifffile

import devices
import dsb
import predict
import train_and_predict
from data import normalise, prepare
from experiment import run_folder
from figures import stretch
from segmentation import segment
from system.files import read_json, write_json

SCRIPT = Path(train_and_predict.__file__)
QUICK = (
    "--filters 4 --depth 2 --tile 64 --overlap 16 --batch-size 4 --steps 3 --epochs 3 --learning-rate 0.01 "
    "--validation-share 0.25 --test-share 0.25 --workers 1 --precision float32 --device cpu"
).split()


@pytest.fixture(scope="module")
def run(nuclei_folder, tmp_path_factory):
    """One finished run, by the command a user types: (folder, what was printed)."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    finished = script("--data", nuclei_folder, "--output", folder, *QUICK)
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stdout


def script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def test_the_run_folder_is_complete(run):
    folder, _ = run
    files = {path.name for path in folder.iterdir()}
    assert files >= {
        "config.json", "split.json", "environment.json", "history.csv", "model.keras", "model.json", "scores.csv",
        "scores.json", "predictions", "figures", "tensorboard",
    }  # fmt: skip
    assert not [path for path in folder.rglob("*") if ".part" in path.name]


def test_simulated_results_say_so(run):
    folder, printed = run
    assert printed.startswith("DSB 2018 nuclei, simulated images")
    assert read_json(folder / "scores.json")["simulated"] is True
    assert "simulated" in read_json(folder / "model.json")["training_data"]["title"]


def test_scores_are_those_of_the_written_masks(run, nuclei_folder):
    folder, _ = run
    table = pd.read_csv(folder / "scores.csv").set_index("name")
    tested = read_json(folder / "split.json")["test"]
    assert set(table.index) == set(tested)
    for sample in dsb.load(nuclei_folder, cache=None):
        if sample.name in tested:
            mask = iio.imread(folder / "predictions" / f"{sample.name}_mask.png") > 0
            truth = sample.mask > 0
            dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
            assert table.loc[sample.name, "dice"] == pytest.approx(dice)
    scores = read_json(folder / "scores.json")
    assert scores["dice"]["mean"] == pytest.approx(table["dice"].mean())
    assert sum(row["images"] for row in scores["kmeans_clusters"]) == len(table)
    assert {row["kmeans_cluster"] for row in scores["kmeans_clusters"]} == set(table["stratum"])


def test_nuclei_are_numbered_and_scored_one_by_one(run, nuclei_folder):
    folder, printed = run
    table = pd.read_csv(folder / "objects.csv").set_index("name")
    scores = read_json(folder / "scores.json")
    assert scores["map"] == pytest.approx(table["map"].mean()) and "map " in printed
    assert scores["objects"] == pd.read_csv(folder / "objects_per_kmeans_cluster.csv")["objects"].sum()
    for sample in dsb.load(nuclei_folder, cache=None):
        if sample.name in table.index:
            labels = tifffile.imread(folder / "predictions" / f"{sample.name}_objects.tif")
            assert (
                labels.max() == table.loc[sample.name, "predicted"] and sample.mask.max() == table.loc[sample.name, "objects"]
            )


def test_the_model_opens_without_custom_objects_and_predicts_what_was_written(run, nuclei_folder):
    folder, _ = run
    card = read_json(folder / "model.json")
    model = keras.saving.load_model(folder / "model.keras")  # safe mode is the default
    assert not model.compiled
    sample = next(
        s
        for s in dsb.load(nuclei_folder, cache=None)
        if not np.any(np.array(s.mask.shape) % 4) and s.name in read_json(folder / "split.json")["test"]
    )
    sample = prepare(sample, card["input"]["channels"])
    probability = model.predict(normalise(sample.image, sample.limits)[None], verbose=0)[0, ..., 0]
    written = iio.imread(folder / "predictions" / f"{sample.name}_mask.png") > 0
    found = segment(sample.image, folder / "model.keras", diameter=None, tta=1)
    for again in (probability, found.probability):
        other = (again > card["threshold"]) != written
        assert np.abs(again - card["threshold"])[other].max(initial=0) < 0.01  # by rounding, where there is bfloat16
        assert other.mean() < 0.1


def test_every_figure_is_a_picture(run):
    folder, _ = run
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names == {
        "training_curves", "image_truth_prediction", "overlays", "dice_per_kmeans_cluster", "kmeans_clusters", "worst",
        "median", "best", "augmentations", "objects",
    }  # fmt: skip
    for path in (folder / "figures").iterdir():
        picture = iio.imread(path)
        assert min(picture.shape[:2]) > 200 and stretch(picture).std() > 0.05


def test_a_killed_run_resumes_to_the_scores_of_an_uninterrupted_one(run, nuclei_folder, tmp_path):
    whole, _ = run
    folder = tmp_path / "killed"
    command = [sys.executable, SCRIPT, "--data", nuclei_folder, "--output", folder, *QUICK]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (folder / "checkpoint.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / ".checkpoint-x.part.json").write_text('{"history": [')  # what a kill in mid-write leaves
    before = read_json(folder / "checkpoint.json")["history"]
    assert len(before) < 3 and not (folder / "scores.json").exists()

    finished = script("dsb", "--resume", folder)
    assert finished.returncode == 0, finished.stderr
    history = pd.read_csv(folder / "history.csv")
    assert len(history) == 3 and history["minutes"][0] == pytest.approx(before[0]["minutes"])  # not trained again
    expected, scores = read_json(whole / "scores.json"), read_json(folder / "scores.json")
    assert not list(folder.rglob(".*.part.*"))
    assert scores["threshold"] == expected["threshold"]
    for name in ("dice", "iou", "accuracy"):
        assert scores[name]["mean"] == pytest.approx(expected[name]["mean"], abs=1e-3)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        train_and_predict.main([str(argument) for argument in arguments])
    assert end.value.code not in (0, None)
    return str(end.value.code) + capsys.readouterr().err


def test_an_existing_output_folder_is_never_overwritten(nuclei_folder, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("mine")
    message = refused(capsys, "--data", nuclei_folder, "--output", tmp_path, *QUICK)
    assert f"{tmp_path}: exists already and is not overwritten" in message
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_data_that_is_not_there(tmp_path, capsys):
    message = refused(capsys, "--data", tmp_path / "nowhere.zip", *QUICK)
    assert message.startswith("train_and_predict.py: ") and "nowhere.zip: there is no such file or folder" in message


def test_a_batch_larger_than_the_data(nuclei_folder, tmp_path, capsys):
    message = refused(capsys, "--data", nuclei_folder, "--output", tmp_path / "a", *QUICK, "--batch-size", 100)
    assert "--batch-size 100 is larger than the" in message and not (tmp_path / "a").exists()


def test_nothing_to_resume(run, tmp_path, capsys):
    assert "is not the folder of a run (it has no config.json)" in refused(capsys, "--resume", tmp_path)
    assert "this run is finished" in refused(capsys, "--resume", run[0])


def test_the_newest_unfinished_run_is_the_one_to_resume(tmp_path):
    for age, name in enumerate(["zzz", "2026", "done"]):
        folder = tmp_path / "dsb" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        os.utime(folder / "config.json", (age, age))
    (folder / "scores.json").write_text("{}")
    assert run_folder.find_run("dsb", root=tmp_path).name == "2026"
    with pytest.raises(ValueError, match="no unfinished run to resume"):
        run_folder.find_run("other", root=tmp_path)


def test_a_users_own_images_are_not_called_dsb(nuclei_folder, tmp_path):
    """The same images without the simulator's note, half as large: their own title, no licence, scores at full size."""
    own = tmp_path / "my_cells"
    shutil.copytree(nuclei_folder, own, ignore=shutil.ignore_patterns("simulated.json"))
    finished = script("--data", own, "--output", tmp_path / "run", "--image-scale", 0.5, *QUICK)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("my_cells, own images")
    assert "Images: 24 in " in finished.stdout and "independent groups" in finished.stdout
    scores = read_json(tmp_path / "run/scores.json")
    assert scores["licence"] is None and scores["simulated"] is False
    table = pd.read_csv(tmp_path / "run/scores.csv")
    pixels = table[["true_positive", "false_positive", "false_negative", "true_negative"]].sum(axis=1)
    sizes = {sample.name: sample.mask.size for sample in dsb.load(nuclei_folder, cache=None)}
    assert pixels.tolist() == [sizes[name] for name in table["name"]]
    assert read_json(tmp_path / "run/environment.json")["cores"] == os.cpu_count()


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_other_pixels_under_the_same_names_are_not_resumed(run, nuclei_folder, tmp_path, capsys, kind):
    """One pixel of one image, or of one mask, was changed after the run began."""
    whole, _ = run
    own = tmp_path / "nuclei"
    shutil.copytree(nuclei_folder, own)
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "split.json").write_text((whole / "split.json").read_text())
    write_json(folder / "config.json", read_json(whole / "config.json") | {"source": str(own)})
    path = sorted(own.glob(f"*/{kind}/*.png"))[0]
    pixels = iio.imread(path).copy()
    pixels[0, 0] = 255 - pixels[0, 0]
    iio.imwrite(path, pixels)
    message = refused(capsys, "--resume", folder)
    assert f"the images changed since this run began, for example {path.parts[-3]} (its pixels, labels or role)" in message


def test_images_of_a_run_that_are_gone(run, tmp_path, capsys):
    folder = tmp_path / "moved"
    folder.mkdir()
    write_json(folder / "config.json", read_json(run[0] / "config.json") | {"source": str(tmp_path / "gone")})
    assert f"{tmp_path / 'gone'}: the images of {folder} are no longer there" in refused(capsys, "--resume", folder)


def test_the_split_holds_a_digest_of_every_image_and_mask(run, nuclei_folder):
    split = read_json(run[0] / "split.json")
    samples = {sample.name: sample for sample in dsb.load(nuclei_folder, cache=None)}
    entries = {name: entry for members in split.values() for name, entry in members.items()}
    assert set(entries) == set(samples)
    for name, entry in entries.items():
        assert {key: entry[key] for key in ("image", "mask")} == samples[name].digests()


@pytest.mark.parametrize(("shape", "exact"), [((75, 61), 1e-5), ((64, 50, 3), 2e-3)])  # colours: gray is rounded to 8 bits
def test_the_card_is_enough_for_eight_lines_of_plain_keras(shape, exact, run, tmp_path):
    """Probabilities as ``predict.py --diameter none --tta 1 --probability`` writes them, from what the card says."""
    folder, _ = run
    image = tmp_path / "odd.png"
    iio.imwrite(image, np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))
    arguments = [image, "--model", folder / "model.keras", "-o", tmp_path / "out"]
    with pytest.raises(SystemExit) as end:
        predict.main([str(a) for a in [*arguments, "--diameter", "none", "--tta", "1", "--probability"]])
    assert end.value.code == 0
    expected = tifffile.imread(tmp_path / "out/odd_probability.tif")

    card = json.loads((folder / "model.json").read_text())
    assert "0.299 red + 0.587 green + 0.114 blue" in card["input"]["colour"] and card["outputs"][0]["name"] == "foreground"
    pixels = iio.imread(image)
    gray = np.rint(pixels @ np.array([0.299, 0.587, 0.114])) if pixels.ndim == 3 else pixels
    low, high = np.percentile(gray, (card["input"]["normalisation"]["low"], card["input"]["normalisation"]["high"]))
    scaled = np.float32((gray - low) / (high - low))
    multiple = card["input"]["size_multiple"]
    padded = np.pad(scaled, [(0, -side % multiple) for side in scaled.shape], mode="reflect")
    model = keras.saving.load_model(folder / "model.keras")
    found = model.predict(padded[None, ..., None], verbose=0)[0, : gray.shape[0], : gray.shape[1], 0]

    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    np.testing.assert_allclose(found, expected, atol=exact if devices.fast_precision([]) == "float32" else 0.02)


def test_help_answers_without_tensorflow():
    program = (
        "import sys, train_and_predict as t\ntry: t.main(['--help'])\nexcept SystemExit: print('tensorflow' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=SCRIPT.parent)
    assert finished.stdout.splitlines()[-1] == "False"
