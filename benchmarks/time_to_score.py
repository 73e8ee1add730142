"""Measure how many minutes of training a mean Dice of the test images takes: a normal run, scored after each epoch.

    python benchmarks/time_to_score.py dsb --data stage1_train.zip --output runs/time_to_score

All options except --output go to train_and_predict.py. While it trains, the file of each epoch is kept (as a hard link). After
that, each epoch is scored on the test images with --tta 1 and a threshold of 0.5. The last row of the table is the finished
run: best epoch and threshold by the validation images, with the --tta of the run. The same command continues an interrupted
measurement. It writes scores.csv and time_to_score.png into the output folder.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import figures
import prediction
import training
from benchmarks.tta import read_run
from devices import set_precision
from experiment import run_folder
from metrics import score_table
from results.collect import markdown
from system.files import read_json, write_text
from system.progress import progress

GOALS = (0.602, 0.85, 0.90)  # the first one is published


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the run, its epochs and the results")
    given, others = parser.parse_known_args()
    run, epochs = given.output / "run", given.output / "epochs"
    epochs.mkdir(parents=True, exist_ok=True)
    if not (run / "scores.json").exists():
        recipe = [part for part in others if not part.startswith("-")][:1]
        how = [*recipe, "--resume", run] if (run / "config.json").exists() else [*others, "--output", run]
        train([sys.executable, ROOT / "train_and_predict.py", *how], run, epochs)
    table = score(run, epochs)
    write_text(given.output / "scores.csv", table.to_csv(index=False))
    final = read_json(run / "scores.json")["dice"]["mean"]
    figure = draw(table, final, read_json(run / "scores.json")["title"])
    run_folder.save_figure(figure, given.output / "time_to_score.png")
    print(markdown(reached(table, final)))


def train(command, run, epochs):
    """Run the script, and keep the file of each epoch, which the script deletes when a later epoch is better."""
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            for path in run.glob("epoch-*.npz"):
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    os.link(path, epochs / path.name)
            time.sleep(1)
    if process.returncode:
        sys.exit(process.returncode)


def score(run, epochs):
    """Return the history of a run, with the mean Dice of the test images after each epoch that was kept: DataFrame."""
    _, config, _, originals, samples = read_run(run)
    history, config = pd.read_csv(run / "history.csv"), config.replace(tta=1)
    set_precision(config.precision, [])
    model = training.compiled_unet(config)
    for path in progress(sorted(epochs.glob("epoch-*.npz")), "Scoring epochs", "epoch"):
        with np.load(path, allow_pickle=False) as weights:
            model.set_weights([weights[name] for name in weights.files[: len(model.weights)]])
        found = prediction.predict_samples(model, samples.test, originals.test, config)
        masks = [config.maps.class_map(probability, 0.5) for probability in found]
        dice = score_table(originals.test, masks, config.classes)["dice"].mean()
        history.loc[history["epoch"] == int(path.stem.split("-")[1]), "test_dice"] = dice
    return history


def reached(table, final):
    """Return after how many minutes and epochs each goal was first reached: DataFrame."""
    rows = []
    for goal in GOALS:
        first = table[table["test_dice"] >= goal].head(1)
        rows.append([f"{goal:g}", *(first[["minutes", "epoch"]].round(1).to_numpy()[0] if len(first) else ("not reached", ""))])
    rows.append([f"{final:.3f}, the finished run", table["minutes"].iloc[-1].round(1), len(table)])
    return pd.DataFrame(rows, columns=["mean Dice of the test images", "minutes of training", "epochs"])


def draw(table, final, title):
    """Draw the Dice over the minutes, with the goals."""
    figure, axes = figures.canvas(1, 1, 8.5, 4.6, f"{title}: Dice of the test images over the time of training")
    axis = axes[0, 0]
    label = "after each epoch, no test-time augmentation"
    axis.plot(table["minutes"], table["test_dice"], color=figures.BLUE, marker="o", markersize=3, label=label)
    axis.axhline(final, color=figures.VERMILION, label=f"finished run, {final:.3f}")
    for goal in GOALS:
        axis.axhline(goal, color="0.5", linestyle=":")
        axis.text(0, goal, f"{goal:g}", color="0.4", va="top")
    axis.set_xlim(left=0)
    axis.set(xlabel=f"Minutes of training, {os.cpu_count()} CPU cores", ylabel="Mean Dice per image")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="center right")
    return figure


if __name__ == "__main__":
    main()
