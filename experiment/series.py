"""Several runs that differ in a few settings: learning curves, every sample held out in turn, learning rates.

A series has a folder of its own, with series.json (what was asked for), one run folder per run, series.csv (one row
per run), summary.csv (mean and interval over the runs with the same value), spread.csv (over what was held out) and a
figure. It is finished when summary.csv is there, and goes on where it stopped.
"""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from config import flag
from experiment import plots
from experiment.run_folder import make_folder, save_figure
from system.files import read_json, write_json, write_text
from system.names import readable

PLAN = "series.json"


def start(recipe, given, values, root):
    """Make and return the folder of a new series; ``values``: {setting: [values]}. ValueError when it exists."""
    folder = make_folder(given.get("output"), root / recipe, "-series")
    write_json(folder / PLAN, {"recipe": recipe, "given": {**given, "output": None}, "values": values})
    return folder


def check(config, values):
    """Raise ValueError for values that cannot work, or stand twice, before the first run begins."""
    for name, chosen in values.items():
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"{flag(name)} {','.join(map(str, chosen))}: a value stands twice; each makes one run.")
    for change, _ in runs(Path(), values):
        config.replace(**change)


def read(folder):
    """The (recipe, settings of every run, {setting: [values]}) of a series' folder."""
    plan = read_json(folder / PLAN)
    return plan["recipe"], plan["given"], plan["values"]


def runs(folder, values):
    """[(settings of one run, its folder), ...] for every combination of the values."""
    changes = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    return [(change, folder / "_".join(f"{name}={value}" for name, value in change.items())) for change in changes]


def write_results(folder, values, main_scores, title):
    """Write the tables and the figure of a series whose runs are all done; returns summary and spread (DataFrames)."""
    table = pd.DataFrame([{**change, **flatten(read_json(run / "scores.json"))} for change, run in runs(folder, values)])
    varied = [name for name in values if name != "seed"] or ["seed"]
    table["run"] = table[varied[0]] if len(varied) == 1 else table[varied].astype(str).agg(", ".join, axis=1)
    summary = summarise(table, "run", [name for name in table if name not in ("run", *values)])
    over_all = spread(table, values, [name for name in main_scores if name in table])
    write_text(folder / "series.csv", table.to_csv(index=False))
    write_text(folder / "spread.csv", over_all.to_csv(index=False))
    shown = {name: table[["run", name]] for name in main_scores if name in table}
    label = ", ".join(varied)
    figure = plots.series(summary, shown, label, f"{title}: {', '.join(map(readable, varied))}")
    save_figure(figure, folder / "figures" / "series.png")
    write_text(folder / "summary.csv", summary.to_csv(index=False))  # last: a series with a summary is finished
    return summary, over_all


def flatten(scores):
    """The numbers among a run's scores: {"dice_mean": ..., "dice_median": ..., "v_rand": ...}."""
    flat = {}
    for name, value in scores.items():
        parts = {f"{name}_{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {key: part for key, part in parts.items() if isinstance(part, int | float) and not isinstance(part, bool)}
    return flat


def summarise(table, by, scores):
    """Mean of each score over the rows with the same ``by``, their number, and a 95 % interval: DataFrame.

    <score>_low and <score>_high are Student's interval of the mean; NaN with fewer than three runs, of which it would say
    nothing.
    """
    rows = []
    for value, part in table.groupby(by, sort=False):
        row = {by: value, "runs": len(part)}
        for name in scores:
            half = stats.t.ppf(0.975, len(part) - 1) * part[name].sem() if len(part) > 2 else np.nan
            row |= {name: part[name].mean(), f"{name}_low": part[name].mean() - half, f"{name}_high": part[name].mean() + half}
        rows.append(row)
    return pd.DataFrame(rows)


def spread(table, values, scores):
    """Mean, standard deviation and lowest of each score over the runs of equal settings: DataFrame.

    Equal but for the seed and what was held out: an honest split and a leaking one are not averaged.
    """
    by = [name for name in values if name not in ("seed", "hold_out")]
    rows = []
    for settings, part in table.groupby(by, sort=False) if by else [((), table)]:
        row = dict(zip(by, settings, strict=True)) | {"runs": len(part)}
        for name in scores:
            row |= {f"{name}_mean": part[name].mean(), f"{name}_sd": part[name].std(), f"{name}_lowest": part[name].min()}
        rows.append(row)
    return pd.DataFrame(rows)
