"""Train a U-Net on microscopy images, predict the images held back, score and draw.

python train_and_predict.py                                nuclei: your images in datasets/dsb, else simulated ones
python train_and_predict.py dsb --data stage1_train.zip    nuclei of the Data Science Bowl 2018
python train_and_predict.py dsb --resume                   go on with an interrupted run
python train_and_predict.py --help                         every setting
"""

import logging
import os
import sys
from importlib import import_module
from pathlib import Path

from config import parse_command_line

ROOT = Path(__file__).parent
RECIPES = {"dsb": "nuclei, DSB 2018"}

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
logging.getLogger("absl").setLevel(logging.ERROR)  # grain warns in every worker that there is no profiler


def main(arguments=None):
    """Do all that the command line asks for; problems of the user's making end the program with one sentence."""
    name, given, resume = parse_command_line(RECIPES, arguments)
    if given.get("device") == "cpu":  # must be known before a backend starts
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    try:
        run(name, given, resume)
    except (ValueError, OSError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        sys.exit(f"{Path(__file__).name}: {error}")


def run(name, given, resume):
    """Configuration, data, split, network, fit, predict, score, figures: one run, or the rest of an interrupted one."""
    # Imported here, not at the top: --help answers at once, and the worker processes, which read this file again,
    # stay free of TensorFlow.
    import keras

    import batches
    import devices
    import reporting
    import run_folder
    import training
    from data import check_classes, prepare
    from metrics import fit_threshold, to_mask
    from prediction import predict_samples

    # Configuration
    resumed = None if resume is None else run_folder.find_run(name, resume, ROOT / "runs")
    recipe = import_module(name if resumed is None else run_folder.read_config(resumed).recipe)
    source, simulated = run_folder.find_data(recipe, given, resumed, ROOT / "datasets")
    if resumed:
        config = run_folder.read_config(resumed).replace(**given)
    else:
        config = (recipe.SIMULATED if simulated else recipe.CONFIG).replace(**given)
    title = f"{recipe.TITLE}, simulated images" if simulated else recipe.TITLE
    print(f"{title}: {source}")
    gpus = devices.list_gpus(config.device)
    strategy = devices.make_strategy(gpus)
    config = config.replace(batch_size=devices.divisible_batch(config.batch_size, max(1, len(gpus))))
    precision = devices.set_precision(config.precision, gpus)
    keras.utils.set_random_seed(config.seed)

    # Data and split
    originals = recipe.split(recipe.load(source), config)
    samples = originals.map(lambda sample: prepare(sample, config.channels, config.image_scale))
    check_classes([*samples.fit, *samples.choose, *samples.report], config.classes)
    batches.check_batch_size(samples.fit, config)
    print("Images: " + ", ".join(f"{len(members)} to {role}" for role, members in samples.items()))
    data = {"title": title, "simulated": simulated, "source": source.name, "licence": recipe.LICENCE}
    folder = run_folder.continue_run(resumed, samples) if resumed else run_folder.make_run_folder(config, ROOT / "runs")
    if not resumed:
        run_folder.write_start(folder, config, source, samples)
    print(f"Run folder: {folder}")

    # Network and fit
    with devices.scope(strategy):
        model = training.compiled_unet(config, bool(gpus))
    where = ", ".join(gpus) or f"CPU, {os.cpu_count()} cores"
    print(f"Network: {model.count_params() / 1e6:.1f} million parameters, {precision} compute, on {where}")
    try:
        history = training.train(model, samples, config, folder)
    except training.InterruptedRunError:
        print(f"Stopped. To go on: python {Path(__file__).name} {config.recipe} --resume {folder}")
        sys.exit(130)

    # Predict: the choose set for the threshold, then the report set once
    chosen = predict_samples(model, samples.choose, config, "Fitting the threshold")
    threshold, dice = fit_threshold(chosen, [s.mask for s in samples.choose]) if config.classes == 2 else (None, None)
    probabilities = predict_samples(model, samples.report, config, "Predicting the report set")
    masks = [to_mask(probability, threshold, config.classes) for probability in probabilities]

    # Score and figures
    run_folder.save_model(model, folder / "model.keras")
    reporting.write_predictions(folder / "predictions", samples.report, probabilities, masks)
    scores = reporting.write_scores(folder, samples.report, masks, config, data, {"threshold": threshold, "choose_dice": dice})
    reporting.write_model_card(folder, config, data, scores, history, precision)
    reporting.write_figures(folder / "figures", originals, samples, masks, scores.table, history, title, config.classes)
    print(reporting.describe(scores.summary, title))
    print(f"Everything is in {folder}")


if __name__ == "__main__":
    main()
