"""Copy what a finished run or series shows into results/, with a README.md of its scores.

python results/collect.py runs/cells/<run> results/cells/PhC-C2DH-U373
"""

import argparse
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from config import Config, flag
from experiment import reporting, run_folder, series
from metrics import PIXEL_SCORES
from system import backend  # noqa: F401  (Keras starts quietly)
from system.files import read_json, write_text

LEFT_OUT = ("augmentations", "best", "median", "overlays")  # figures that every run makes again
KEPT = ("scores.json", "split.json", "environment.json", "model.json")
LONGEST = 12  # rows of a table that is shown in full


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of a finished run or series")
    parser.add_argument("target", type=Path, help="folder in results/; must not exist")
    source, target = vars(parser.parse_args()).values()
    (target / "figures").mkdir(parents=True)
    for path in [*source.glob("*.csv"), *(source / name for name in KEPT if (source / name).exists())]:
        shutil.copy(path, target)
    pictures = [path for path in (source / "figures").glob("*.png") if path.stem not in LEFT_OUT]
    for path in pictures:  # 256 colours, rare ones too, for a repository that is quick to clone
        picture = Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        picture.save(target / "figures" / path.name, optimize=True)
    lines = of_series(source) if run_folder.is_series(source) else of_run(source)
    lines += [f"![{path.stem.replace('_', ' ')}](figures/{path.name})" for path in sorted((target / "figures").glob("*.png"))]
    write_text(target / "README.md", "\n".join(lines) + "\n")


def of_run(folder):
    """Command, machine, split, scores and short tables of a run, as lines of Markdown."""
    scores, split = read_json(folder / "scores.json"), read_json(folder / "split.json")
    roles = ", ".join(f"{len(members)} to {role}" for role, members in split.items())
    rows = [[name, *(scores[name][key] for key in ("mean", "median", "worst", "pooled"))] for name in PIXEL_SCORES]
    lines = [
        f"# {scores['title']}",
        "",
        f"    {command(folder)}",
        "",
        f"{machine(folder)} {roles}; threshold {scores['threshold']} (mean Dice of the validation set there "
        f"{scores['validation_dice']:.3f}). Licence of the images: {scores['licence'] or 'none stated'}. Test set:",
        "",
        markdown(pd.DataFrame(rows, columns=["score", "mean per image", "median", "worst", "all pixels together"])),
        "",
    ]
    own = {name: value for name, value in scores.items() if isinstance(value, float) and name not in reporting.OF_EVERY_RUN}
    if own:
        lines += [markdown(pd.DataFrame([own])), ""]
    return lines + tables([path for path in sorted(folder.glob("*.csv")) if path.name not in ("history.csv", "scores.csv")])


def of_series(folder):
    """Command, machine, and the table of a series, as lines of Markdown."""
    plan = read_json(folder / "series.json")
    steps = series.runs(folder, plan["values"])
    first = steps[0][1]
    recipe = import_module(plan["recipe"])
    values = " ".join(f"{flag(name)} {','.join(map(str, chosen))}" for name, chosen in plan["values"].items())
    summary = pd.read_csv(folder / "summary.csv")
    ends = ("", "_low", "_high")
    shown = summary[["run", "runs"] + [f"{name}{end}" for name in recipe.MAIN_SCORES for end in ends if name in summary]]
    shown = shown.dropna(axis=1, how="all")
    title = read_json(first / "scores.json")["title"]
    return [
        f"# {title}: a series", "", f"    {command(first, set(plan['values']))} {values}", "",
        f"{len(steps)} runs; of the first one: {machine(first)}", "", markdown(shown), "", markdown(pd.read_csv(folder / "spread.csv")), "",
    ]  # fmt: skip


def command(folder, without=()):
    """The command that made a run: what differs from the recipe's settings."""
    stored = read_json(folder / "config.json")
    config = Config().to_json() | stored["config"]  # a setting that did not exist then was off
    recipe = import_module(config["recipe"])
    simulated = (Path(stored["source"]) / "simulated.json").exists()
    usual = (recipe.SIMULATED if simulated else recipe.CONFIG).to_json()
    parts = [] if simulated else [f"--data {Path(stored['source']).name}"]
    for name, value in config.items():
        if name in usual and name not in ("data", "output", *without) and value != usual[name]:  # others are gone since
            parts.append(f"{flag(name)} {value}" if not isinstance(value, bool) else flag(name if value else f"no_{name}"))
    return " ".join(["python train_and_predict.py", config["recipe"], *parts])


def machine(folder):
    """Revision, processor and time of a run as a sentence."""
    where, card = read_json(folder / "environment.json"), read_json(folder / "model.json")
    training = card["training"]
    return (
        f"Revision {where['revision']}, {where['processor']} with {where['cores']} cores, "
        f"{', '.join(where['gpus']) or 'no GPU'}, {where['precision']}: {training['minutes']:.1f} minutes of training, best "
        f"epoch {training['best_epoch']} of {training['epochs']}."
    )


def tables(paths):
    """Each short table with its file's name above it, as lines of Markdown."""
    lines = []
    for path in paths:
        table = pd.read_csv(path)
        if len(table) <= LONGEST:
            lines += [f"`{path.name}`", "", markdown(table), ""]
    return lines


def markdown(table):
    """A DataFrame as a Markdown table with three decimals, small numbers in full, nothing where it is not known."""
    rows = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)


def _cell(value):
    if value is None or value != value:  # NaN: not known
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:g}"
    return str(value)


if __name__ == "__main__":
    main()
