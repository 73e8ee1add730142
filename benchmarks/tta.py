"""Measure what test-time augmentation brings: scores of the validation images of a finished run, and the time per image.

python benchmarks/tta.py runs/isbi/<run>
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import prediction
import train_and_predict
from data import Predictions
from experiment import series
from metrics import fit_threshold
from system.backend import keras


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    folder = parser.parse_args().run
    recipe, config, images, originals, prepared = read_run(folder)
    samples = originals.validation
    model = keras.saving.load_model(folder / "model.keras")
    # Warm up: every size, upright and turned.
    prediction.predict_samples(model, prepared.validation, samples, config.replace(tta=2))
    print("| --tta | mean Dice | other scores | s per image |\n|---|---|---|---|")
    for tta in (1, 2, 4, 8):
        start = time.perf_counter()
        probabilities = prediction.predict_samples(model, prepared.validation, samples, config.replace(tta=tta))
        seconds = (time.perf_counter() - start) / len(samples)
        threshold, dice = fit_threshold(probabilities, [sample.mask for sample in samples], config.maps)
        masks = [config.maps.class_map(probability, threshold) for probability in probabilities]
        validation = Predictions(samples, probabilities, masks, config.maps)
        scores = {}
        if recipe.measure:
            nothing = Predictions([], [], [], config.maps)
            scores = series.flatten(recipe.measure(validation, validation, nothing, config, images.title).scores)
        others = ", ".join(f"{name} {scores[name]:.4f}" for name in recipe.main_scores if name in scores)
        print(f"| {tta} | {dice:.4f} | {others} | {seconds:.2f} |", flush=True)


def read_run(folder):
    """Read the images of a finished run again: (recipe, configuration, Images, samples as read, as the network sees them)."""
    recipe, config, source = train_and_predict.configuration("", {}, folder)
    originals, samples, images = train_and_predict.split(recipe, config, train_and_predict.data(recipe, config, source))
    return recipe, config, images, originals, samples


if __name__ == "__main__":
    main()
