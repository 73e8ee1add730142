"""What a finished run's prediction gains by its settings, on its choose set: views, and the diameter at which objects are shown.

python benchmarks/views.py runs/isbi/<run>
python benchmarks/views.py runs/dsb/<run> --views 1 --shown-diameter 0 20 24 28 32 36

Prints the scores and the time per image of every combination.
"""

import argparse
import itertools
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import prediction
import run_folder
import series
from backend import keras
from data import Predicted, prepare
from files import read_json
from metrics import fit_threshold, to_masks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--shown-diameter", type=float, nargs="+", help="px (default: that of the run)")
    given = parser.parse_args()
    config = run_folder.read_config(given.run)
    recipe = import_module(config.recipe)
    samples = recipe.split(recipe.load(Path(read_json(given.run / "config.json")["source"])), config).choose
    prepared = [prepare(sample, config.channels, config.image_scale) for sample in samples]
    model = keras.saving.load_model(given.run / "model.keras")
    prediction.predict_samples(model, prepared[:1], samples[:1], config)  # warm
    print("| views | shown at, px | mean Dice | other scores | s per image |\n|---|---|---|---|---|")
    for views, diameter in itertools.product(given.views, given.shown_diameter or [config.shown_diameter]):
        setting = config.replace(views=views, shown_diameter=diameter)
        start = time.perf_counter()
        probabilities = prediction.predict_samples(model, prepared, samples, setting)
        seconds = (time.perf_counter() - start) / len(samples)
        threshold, dice = fit_threshold(probabilities, [sample.mask for sample in samples])
        choose = Predicted(samples, probabilities, to_masks(probabilities, threshold))
        scores = {}
        if hasattr(recipe, "measure"):
            scores = series.flatten(recipe.measure(choose, choose, Predicted([], [], []), config).scores)
        others = ", ".join(f"{name} {scores[name]:.4f}" for name in recipe.HEADLINES if name in scores)
        print(f"| {views} | {diameter or 'as it is'} | {dice:.4f} | {others} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
