"""What averaging over turned and mirrored views brings: scores of a finished run's choose set, and the time per image.

python benchmarks/views.py runs/isbi/<run>
"""

import argparse
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
    folder = parser.parse_args().run
    config = run_folder.read_config(folder)
    recipe = import_module(config.recipe)
    samples = recipe.split(recipe.load(Path(read_json(folder / "config.json")["source"])), config).choose
    prepared = [prepare(sample, config.channels, config.image_scale) for sample in samples]
    model = keras.saving.load_model(folder / "model.keras")
    prediction.predict_samples(model, prepared, samples, config.replace(views=2))  # warm: every size, upright and turned
    print("| views | mean Dice | other scores | s per image |\n|---|---|---|---|")
    for views in (1, 2, 4, 8):
        start = time.perf_counter()
        probabilities = prediction.predict_samples(model, prepared, samples, config.replace(views=views))
        seconds = (time.perf_counter() - start) / len(samples)
        threshold, dice = fit_threshold(probabilities, [sample.mask for sample in samples])
        choose = Predicted(samples, probabilities, to_masks(probabilities, threshold))
        scores = {}
        if hasattr(recipe, "measure"):
            scores = series.flatten(recipe.measure(choose, choose, Predicted([], [], []), config).scores)
        others = ", ".join(f"{name} {scores[name]:.4f}" for name in recipe.HEADLINES if name in scores)
        print(f"| {views} | {dice:.4f} | {others} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
