"""A series: several runs that differ in a few settings, for example a learning curve, or each sample held out in turn.

A series has its own folder. It holds series.json (the command), one folder for each run, series.csv (one row for each run),
summary.csv (means and intervals over runs that differ only in their seed), spread.csv (means over seeds and held-out samples)
and a figure. A series is finished when summary.csv exists. ``--resume`` continues an unfinished one with the next run.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from config import Config, flag
from experiment import plots
from experiment.run_folder import make_folder, save_figure
from scores.intervals import mean_interval
from system.files import read_json, write_json, write_text
from system.names import readable

PLAN = "series.json"


def start(recipe: str, given: dict, values: dict[str, list], root: Path) -> Path:
    """Make and return the folder of a new series. Raises ValueError if it exists. ``values``: {setting: [values]}."""
    folder = make_folder(given.get("output"), root / recipe, "-series")
    write_json(folder / PLAN, {"recipe": recipe, "given": {**given, "output": None}, "values": values})
    return folder


def check(config: Config, values: dict[str, list]) -> None:
    """Raise ValueError for values that are invalid or given twice, before the first run begins."""
    for name, chosen in values.items():
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"{flag(name)} {','.join(map(str, chosen))}: a value is given twice; give each one once.")
    for change, _ in runs(Path(), values):
        config.replace(**change)


def read(folder: Path) -> tuple[str, dict, dict[str, list]]:
    """Return (recipe, settings of every run, {setting: [values]}) from the folder of a series."""
    plan = read_json(folder / PLAN)
    return plan["recipe"], plan["given"], plan["values"]


def runs(folder: Path, values: dict[str, list]) -> list[tuple[dict, Path]]:
    """Return [(settings of one run, its folder), ...], one for every combination of the values."""
    changes = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    return [(change, folder / "_".join(f"{name}={value}" for name, value in change.items())) for change in changes]


def write_results(
    folder: Path, values: dict[str, list], main_scores: tuple[str, ...], title: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the tables and the figure of a series whose runs are all finished; return summary and spread (DataFrames)."""
    table = pd.DataFrame([{**change, **flatten(read_json(run / "scores.json"))} for change, run in runs(folder, values)])
    varied = [name for name in values if name != "seed"] or ["seed"]
    table["run"] = table[varied[0]] if len(varied) == 1 else table[varied].astype(str).agg(", ".join, axis=1)
    main = [name for name in main_scores if name in table]
    summary = summarise(table, "run", [name for name in table if name not in ("run", *values)], main)
    over_all = spread(table, values, main)
    write_text(folder / "series.csv", table.to_csv(index=False))
    write_text(folder / "spread.csv", over_all.to_csv(index=False))
    shown = {name: table[["run", name]] for name in main}
    figure = plots.series(summary, shown, ", ".join(varied), f"{title}: {', '.join(map(readable, varied))}")
    save_figure(figure, folder / "figures" / "series.png")
    write_text(folder / "summary.csv", summary.to_csv(index=False))  # last: a series with a summary is finished
    return summary, over_all


def flatten(scores: dict) -> dict[str, float]:
    """Return the numbers among the scores of a run: {"dice_mean": ..., "dice_median": ..., "v_rand": ...}."""
    flat = {}
    for name, value in scores.items():
        parts = {f"{name}_{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {key: part for key, part in parts.items() if isinstance(part, int | float) and not isinstance(part, bool)}
    return flat


def summarise(table: pd.DataFrame, by: str, scores: Sequence[str], main: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row for each value of the column ``by``: the number of its runs, and the mean of each score over them.

    The ``main`` scores also get a 95 % interval of the mean, <score>_low and <score>_high, NaN where there is none; see
    ``interval_of_runs``.
    """
    rows = []
    for value, part in table.groupby(by, sort=False):
        row = {by: value, "runs": len(part)}
        for name in scores:
            row[name] = part[name].mean()
            if name in main:
                row[f"{name}_low"], row[f"{name}_high"] = interval_of_runs(part[name], table[name].max())
        rows.append(row)
    return pd.DataFrame(rows)


def interval_of_runs(values: pd.Series, largest: float) -> tuple[float, float]:
    """Return the 95 % interval of a score's mean over runs that differ in their seed: (low, high), else (NaN, NaN).

    ``scores.intervals`` computes it; each run is a group, and at least three runs are needed. All runs use the same data set
    and, in recipes that do not split it at random, the same test images. So the interval shows how much the mean depends on
    chance (first weights, tiles, the split), and not how much it depends on the choice of images. It does not include failures
    that no run shows. ``largest``: the largest value of this score in all runs. If it is at most 1, the score is treated as a
    share, else as a quantity without an upper limit. Scores below 0 have no interval.
    """
    known = values.dropna()
    if known.min() < 0:
        return np.nan, np.nan
    low, high = mean_interval(known, np.arange(len(known)), 1.0 if largest <= 1 else np.inf)
    return (np.nan, np.nan) if low is None else (low, high)


def spread(table: pd.DataFrame, values: dict[str, list], scores: Sequence[str]) -> pd.DataFrame:
    """Return mean, standard deviation and lowest value of each score over runs that differ in seed and held-out sample.

    There is one row for each combination of the other settings: for example, runs with independent roles and runs with
    shuffled roles are not averaged together.
    """
    by = [name for name in values if name not in ("seed", "hold_out")]
    rows = []
    for settings, part in table.groupby(by, sort=False) if by else [((), table)]:
        row = dict(zip(by, settings, strict=True)) | {"runs": len(part)}
        for name in scores:
            row |= {f"{name}_mean": part[name].mean(), f"{name}_sd": part[name].std(), f"{name}_lowest": part[name].min()}
        rows.append(row)
    return pd.DataFrame(rows)
