"""What averaging over turned and mirrored tta brings: scores of a finished run's validation set, and the time per image.

python benchmarks/tta.py runs/isbi/<run>
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import prediction
from data import Predictions, prepare
from experiment import run_folder, series
from metrics import fit_threshold, to_masks
from system.backend import keras
from system.files import read_json


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    folder = parser.parse_args().run
    config = run_folder.read_config(folder)
    recipe = import_module(config.recipe)
    samples = recipe.split(recipe.load(Path(read_json(folder / "config.json")["source"])), config).validation
    prepared = [prepare(sample, config.channels, config.image_scale) for sample in samples]
    model = keras.saving.load_model(folder / "model.keras")
    prediction.predict_samples(model, prepared, samples, config.replace(tta=2))  # warm: every size, upright and turned
    print("| tta | mean Dice | other scores | s per image |\n|---|---|---|---|")
    for tta in (1, 2, 4, 8):
        start = time.perf_counter()
        probabilities = prediction.predict_samples(model, prepared, samples, config.replace(tta=tta))
        seconds = (time.perf_counter() - start) / len(samples)
        threshold, dice = fit_threshold(probabilities, [sample.mask for sample in samples])
        validation = Predictions(samples, probabilities, to_masks(probabilities, threshold))
        scores = {}
        if hasattr(recipe, "measure"):
            scores = series.flatten(recipe.measure(validation, validation, Predictions([], [], []), config).scores)
        others = ", ".join(f"{name} {scores[name]:.4f}" for name in recipe.MAIN_SCORES if name in scores)
        print(f"| {tta} | {dice:.4f} | {others} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
