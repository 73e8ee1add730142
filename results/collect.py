"""Copy the tables and figures of a finished run or series into results/, and write a README.md with its scores.

python results/collect.py runs/cells/<run> results/cells/PhC-C2DH-U373
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from config import Config, flag
from experiment import reporting, run_folder, series
from metrics import PIXEL_SCORES
from recipe import read_recipe
from scores.intervals import MINIMUM_GROUPS
from system import backend  # noqa: F401  (Keras starts quietly)
from system.files import read_json, write_text

LEFT_OUT = ("augmentations", "best", "median", "overlays")  # figures that are not copied; a new run draws them again
KEPT = ("scores.json", "split.json", "environment.json", "model.json")
LONGEST = 12  # rows of a table that README.md shows; longer tables are only copied


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of a finished run or series")
    parser.add_argument("target", type=Path, help="new folder in results/")
    source, target = vars(parser.parse_args()).values()
    (target / "figures").mkdir(parents=True)
    for path in [*source.glob("*.csv"), *(source / name for name in KEPT if (source / name).exists())]:
        shutil.copy(path, target)
    pictures = [path for path in (source / "figures").glob("*.png") if path.stem not in LEFT_OUT]
    for path in pictures:  # 256 colours, so that the repository stays small; rare colours are kept
        picture = Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        picture.save(target / "figures" / path.name, optimize=True)
    lines = of_series(source) if run_folder.is_series(source) else of_run(source)
    lines += [f"![{reporting.said(path.stem)}](figures/{path.name})" for path in sorted((target / "figures").glob("*.png"))]
    write_text(target / "README.md", "\n".join(lines) + "\n")


def of_run(folder):
    """Return command, machine, split, scores and short tables of a run as lines of Markdown."""
    scores, split = read_json(folder / "scores.json"), read_json(folder / "split.json")
    copies = read_json(folder / "config.json")["config"].get("tta", 1)
    lines = [
        f"# {scores['title']}", "",
        f"    {command(folder)}", "",
        f"{machine(folder)} Images: {roles(split)}. The validation set chose the threshold {scores['threshold']}, with a mean "
        f"Dice of {scores['validation_dice']:.3f}. Licence of the images: {scores['licence'] or 'none stated'}.", "",
        f"{scored(scores, copies)}:", "",
        pixel_table(scores), "",
    ]  # fmt: skip
    own = own_table(scores)
    lines += [markdown(own), ""] if len(own) else []
    return lines + tables([path for path in sorted(folder.glob("*.csv")) if path.name not in ("history.csv", "scores.csv")])


def roles(split):
    """Say how many images have each role: "432 train, 100 validation, 132 test"."""
    return ", ".join(f"{len(members)} {role}" for role, members in split.items())


def scored(scores, copies, group="independent group"):
    """Say what was scored: images, groups, test-time augmentation. ``group``: what the images of a group have in common."""
    groups = f"{scores['groups']} {group}{'s' * (scores['groups'] != 1)}"
    few = f" ({MINIMUM_GROUPS} are needed for an interval)" if scores["groups"] < MINIMUM_GROUPS else ""
    augmentation = f"{copies}-fold test-time augmentation" if copies > 1 else "no test-time augmentation"
    return f"Test set, {scores['images']} images of {groups}{few}, {augmentation}"


def pixel_table(scores):
    """Return the table of the pixel scores as Markdown, with the interval of the mean where there is one."""
    columns = {"mean": "mean of the images", "median": "median", "worst": "worst image", "pooled": "all pixels together"}
    rows = [{"score": name} | {columns[key]: scores[name][key] for key in columns} for name in PIXEL_SCORES]
    for row in rows:
        row["95 % interval of the mean"] = interval(scores[row["score"]]["mean_interval"])
    order = ["score", "mean of the images", "95 % interval of the mean", "median", "worst image", "all pixels together"]
    return markdown(pd.DataFrame(rows)[order].dropna(axis=1, how="all"))


def own_table(scores):
    """Return the scores of the recipe beyond pixels, one per row, with their interval where there is one: DataFrame."""
    names = [name for name, value in scores.items() if isinstance(value, float) and name not in reporting.OF_EVERY_RUN]
    rows = [(name, scores[name], interval(scores.get(f"{name}_interval"))) for name in names]
    return pd.DataFrame(rows, columns=["score", "value", "95 % interval"]).dropna(axis=1, how="all")


def interval(limits):
    """Write (low, high) as text; None if there is no interval."""
    return None if limits is None or limits[0] is None else f"{limits[0]:.3f} to {limits[1]:.3f}"


def of_series(folder):
    """Return command, machine and tables of a series as lines of Markdown."""
    plan = read_json(folder / "series.json")
    steps = series.runs(folder, plan["values"])
    first = steps[0][1]
    recipe = read_recipe(plan["recipe"])
    values = " ".join(f"{flag(name)} {','.join(map(str, chosen))}" for name, chosen in plan["values"].items())
    title = read_json(first / "scores.json")["title"]
    return [
        f"# {title}: a series", "",
        f"    {command(first, set(plan['values']))} {values}", "",
        f"{len(steps)} runs. The first one: {machine(first)}", "",
        *series_tables(folder, recipe.main_scores),
    ]  # fmt: skip


def series_tables(folder, main_scores):
    """Return the tables of a series as lines of Markdown."""
    summary, spread = pd.read_csv(folder / "summary.csv"), pd.read_csv(folder / "spread.csv")
    ends = ("", "_low", "_high")
    shown = summary[["run", "runs"] + [f"{name}{end}" for name in main_scores for end in ends if name in summary]]
    shown = shown.dropna(axis=1, how="all")
    means = "Each value of the setting"
    if any(name.endswith("_low") for name in shown):
        means += ", with the mean of its runs and the 95 % interval of this mean (low, high)"
    return [
        f"{means}:",
        "",
        markdown(shown),
        "",
        "Mean, standard deviation (sd) and lowest value of the runs:",
        "",
        markdown(spread),
        "",
    ]


def command(folder, without=()):
    """Return the command that made a run, with the settings that differ from those of the recipe."""
    stored = read_json(folder / "config.json")
    config = Config().to_json() | stored["config"]  # a setting that did not exist then had its default
    recipe = read_recipe(config["recipe"])
    simulated = (Path(stored["source"]) / "simulated.json").exists()
    usual = recipe.settings(simulated).to_json()
    parts = [] if simulated else [f"--data {Path(stored['source']).name}"]
    for name, value in config.items():
        if name not in usual or name in ("data", "output", *without):  # an old run may have settings that no longer exist
            continue
        if value != usual[name]:
            parts.append(f"{flag(name)} {value}" if not isinstance(value, bool) else flag(name if value else f"no_{name}"))
    return " ".join(["python train_and_predict.py", config["recipe"], *parts])


def machine(folder):
    """Say where a run was made, at which revision, and how long it took."""
    where, card = read_json(folder / "environment.json"), read_json(folder / "model.json")
    training = card["training"]
    return (
        f"{training['minutes']:.1f} minutes of training on {where['processor']} with {where['cores']} cores, "
        f"{', '.join(where['gpus']) or 'no GPU'}, {where['precision']}, revision {where['revision']}; best epoch "
        f"{training['best_epoch']} of {training['epochs']}."
    )


def tables(paths):
    """Return each short table below the name of its file, as lines of Markdown."""
    lines = []
    for path in paths:
        table = pd.read_csv(path)
        if len(table) <= LONGEST:
            lines += [f"`{path.name}`", "", markdown(table), ""]
    return lines


def markdown(table):
    """Return a DataFrame as a Markdown table: three decimals, small numbers in full, an empty cell for an unknown value."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)


def _cell(value):
    if value is None or value != value:  # NaN: unknown
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:g}"
    return str(value)


if __name__ == "__main__":
    main()
