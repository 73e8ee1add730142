"""Train a U-Net on microscopy images, predict the images held back, score and draw.

python train_and_predict.py                                nuclei: your images in datasets/dsb, else simulated ones
python train_and_predict.py dsb --data stage1_train.zip    nuclei of the Data Science Bowl 2018
python train_and_predict.py dsb --resume                   go on with an interrupted run
python train_and_predict.py bbbc005                        particles in simulated fluorescence, counted
python train_and_predict.py --help                         every setting
"""

import logging
import os
import sys
from importlib import import_module
from pathlib import Path

import run_folder
from config import parse_command_line
from data import check_classes, prepare
from metrics import fit_threshold, to_masks
from splits import describe_split

ROOT = Path(__file__).parent
RECIPES = {"dsb": "nuclei, DSB 2018", "bbbc005": "particles in simulated fluorescence, BBBC005"}

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # without a GPU, TensorFlow would report that as an error
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default on CPUs without AVX-512
logging.getLogger("absl").setLevel(logging.ERROR)  # grain warns in every worker that there is no profiler


def main(arguments=None):
    """Do all that the command line asks for; problems of the user's making end the program with one sentence."""
    name, given, resume = parse_command_line(RECIPES, arguments)
    try:
        run(name, given, resume)
    except (ValueError, OSError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. If training had begun, --resume goes on after the last finished epoch.", file=sys.stderr)
        sys.exit(130)


def run(name, given, resume):
    """Configuration, data, split, network, fit, predict, score, figures: one run, or the rest of an interrupted one."""
    # Configuration
    resumed = None if resume is None else run_folder.find_run(name, resume, ROOT / "runs")
    recipe = import_module(name if resumed is None else run_folder.read_config(resumed).recipe)
    as_published = recipe.PUBLISHED["settings"] if given.pop("as_published", False) else {}
    source, simulated = run_folder.find_data(recipe, given, resumed, ROOT / "datasets")
    if resumed:
        config = run_folder.read_config(resumed).replace(**given)
    else:
        config = (recipe.SIMULATED if simulated else recipe.CONFIG).replace(**as_published).replace(**given)
    unlabelled = recipe.load_unlabelled(source) if hasattr(recipe, "load_unlabelled") else []
    if unlabelled:
        print(f"{source}: {len(unlabelled)} images without masks; training is on simulated ones, these are only predicted")
    labelled = recipe.simulate(ROOT / "datasets/simulated" / recipe.CONFIG.recipe) if unlabelled else source
    simulated = simulated or bool(unlabelled)
    published = recipe.is_published(labelled) and not simulated
    title = recipe.TITLE if published else f"{recipe.TITLE}, simulated images" if simulated else f"{source.stem}, own images"
    data = {"title": title, "simulated": simulated, "source": labelled.name, "licence": recipe.LICENCE if published else None}
    print(f"{title}: {labelled}")

    # Data and split
    originals = recipe.split(recipe.load(labelled), config)
    samples = originals.map(lambda sample: prepare(sample, config.channels, config.image_scale))
    check_classes([*samples.fit, *samples.choose, *samples.report], config.classes)
    print(describe_split(samples))

    # Device and network. Imported here, not at the top: --help and a mistake in the data answer at once, and the
    # worker processes, which read this file again, stay free of TensorFlow.
    if config.device == "cpu":  # must be known before a backend starts
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}
    import keras

    import batches
    import devices
    import prediction
    import reporting
    import training

    gpus = devices.list_gpus(config.device)
    config = devices.for_replicas(config, max(1, len(gpus)))
    precision = devices.set_precision(config.precision, gpus)
    batches.check_batch_size(samples.fit, config)
    prediction.check_prediction_tile(config)
    folder = run_folder.continue_run(resumed, samples) if resumed else run_folder.make_run_folder(config, ROOT / "runs")
    if not resumed:
        run_folder.write_start(folder, config, source, samples, {"gpus": gpus, "precision": precision})
    print(f"Run folder: {folder}")
    keras.utils.set_random_seed(config.seed)
    with devices.scope(devices.make_strategy(gpus)):
        model = training.compiled_unet(config, bool(gpus))
    where = ", ".join(gpus) or f"CPU, {os.cpu_count()} cores"
    print(f"Network: {model.count_params() / 1e6:.1f} million parameters, {precision} compute, on {where}")

    # Fit
    try:
        history = training.train(model, samples, config, folder)
    except training.InterruptedRunError:
        print(f"Stopped. To go on: python {Path(__file__).name} {config.recipe} --resume {folder}")
        sys.exit(130)

    # Predict: the choose set for the threshold, then the report set once
    chosen = prediction.predict_samples(model, samples.choose, originals.choose, config, "Fitting the threshold")
    threshold, dice = (None, None)
    if config.classes == 2:
        threshold, dice = fit_threshold(chosen, [original.mask for original in originals.choose])
    probabilities = prediction.predict_samples(model, samples.report, originals.report, config, "Predicting the report set")
    masks = to_masks(probabilities, threshold, config.classes)

    # Score and figures
    run_folder.save_model(model, folder / "model.keras")
    reporting.write_predictions(folder / "predictions", originals.report, probabilities, masks, config.classes)
    fitted = {"threshold": threshold, "choose_dice": dice}
    table, summary = reporting.score(originals.report, masks, config, data, fitted, recipe.STRATUM)
    reporting.write_figures(folder / "figures", originals, masks, table, history, title, config.classes, recipe.STRATUM)
    if hasattr(recipe, "measure"):  # what is peculiar to the recipe
        prepared = [prepare(sample, config.channels, config.image_scale) for sample in unlabelled]
        others = prediction.predict_samples(model, prepared, unlabelled, config, "Predicting images without masks")
        measured = recipe.measure(
            (originals.choose, to_masks(chosen, threshold, config.classes)),
            (originals.report, masks),
            (unlabelled, to_masks(others, threshold, config.classes)),
            title,
        )
        reporting.write_measured(folder, measured)
        summary |= measured.scores
    reporting.write_model_card(folder, config, data, summary, history, precision)
    reporting.write_scores(folder, table, summary)  # last: a run with scores is finished
    print(reporting.describe(summary, title, recipe.STRATUM))
    print(f"Everything is in {folder}")


if __name__ == "__main__":
    main()
