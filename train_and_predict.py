"""Train a U-Net on microscopy images, predict the images held back, score and draw.

python train_and_predict.py                                nuclei: your images in datasets/dsb, else simulated ones
python train_and_predict.py dsb --data stage1_train.zip    nuclei of the Data Science Bowl 2018
python train_and_predict.py dsb --resume                   go on with an interrupted run
python train_and_predict.py cells --data PhC-C2DH-U373     low-contrast cells, their objects and diameters
python train_and_predict.py isbi --hold-out all            membranes, every block of slices held out in turn
python train_and_predict.py --help                         every setting
"""

import logging
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

import splits
from config import flag, parse_command_line
from data import Predictions, check_classes, prepare
from experiment import run_folder
from metrics import fit_threshold, to_masks
from system.files import claim, release

ROOT = Path(__file__).parent
RECIPES = {
    "dsb": "nuclei, DSB 2018",
    "bbbc005": "particles in simulated fluorescence, BBBC005, counted",
    "cells": "low-contrast cells of the Cell Tracking Challenge, measured",
    "tomography": "cells in stacks of slices, whole samples held out",
    "isbi": "membranes in electron microscopy, ISBI 2012",
}

logging.getLogger("absl").setLevel(logging.ERROR)  # grain warns that there is no profiler, also in every worker


def main(arguments=None):
    """Do all that the command line asks for; problems of the user's making end the program with one sentence."""
    name, given, several, resume = parse_command_line(RECIPES, arguments)
    try:
        begun = None if resume is None else run_folder.find_run(name, resume, ROOT / "runs")
        if several or given.get("hold_out") == "all" or (begun and run_folder.is_series(begun)):
            run_series(name, given, several, begun)
        else:
            run(name, given, begun)
    except (ValueError, OSError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. If training had begun, --resume goes on after the last finished epoch.", file=sys.stderr)
        sys.exit(130)
    finally:
        release()


def run_series(name, given, values, folder=None):
    """A run for every combination of the values, or the rest of an interrupted series, then a table and a figure.

    Returns the series' folder.
    """
    from experiment import series

    if given.get("nodes"):
        raise ValueError("--nodes is for a single run; start the runs of a series one by one.")
    if folder:
        claim(folder)
        name, began_with, values = series.read(folder)
        given = began_with | given
    else:
        recipe = import_module(name)
        held_in_turn = "all" in (given.pop("hold_out", None), *values.get("hold_out", ()))
        source, simulated = run_folder.find_data(recipe, given, None, ROOT / "datasets")
        given["data"] = str(source)  # all runs on the same images, also if others come to lie where these were found
        if held_in_turn:
            check_used(recipe, {"hold_out"})
            values = {**values, "hold_out": recipe.hold_outs(recipe.load(source))}
        series.check(configure(recipe, given, simulated), values)
        folder = series.start(name, given, values, ROOT / "runs")
    steps = series.runs(folder, values)
    for number, (change, run_of_series) in enumerate(steps, 1):
        if (run_of_series / "scores.json").exists():
            continue
        print(f"\nRun {number} of {len(steps)}: {', '.join(f'{key} {value}' for key, value in change.items())}")
        begun = run_of_series if (run_of_series / "config.json").exists() else None
        if not begun:
            shutil.rmtree(run_of_series, ignore_errors=True)  # killed before anything was in it
        run(name, {**given, **change, "output": str(run_of_series)}, begun)
    recipe = import_module(name)
    title = run_folder.read_title(steps[0][1])
    summary, spread = series.write_results(folder, values, recipe.MAIN_SCORES, title)
    shown = summary[["run", "runs", *(score for score in recipe.MAIN_SCORES if score in summary)]]
    print(f"\n{title}\n{shown.to_string(index=False)}\n\n{spread.to_string(index=False)}\nEverything is in {folder}")
    return folder


def configure(recipe, given, simulated):
    """The settings of a run: the recipe's, with the published ones over them if asked for, and what was given."""
    check_used(recipe, given)
    published = recipe.PUBLISHED["settings"] if given.get("as_published") else {}
    given = {name: value for name, value in given.items() if name != "as_published"}
    return (recipe.SIMULATED if simulated else recipe.CONFIG).replace(**published).replace(**given)


def check_used(recipe, given):
    """Raise ValueError for a setting that the recipe makes no use of."""
    for name in recipe.UNUSED:
        if name in given:
            raise ValueError(f"{flag(name)} has no effect on {recipe.CONFIG.recipe}; leave it out.")


def title_of(recipe, source, published, simulated):
    """What figures and scores call the images."""
    if simulated:
        return f"{recipe.TITLE}, simulated images"
    if not published:
        return f"{source.stem}, own images"
    return recipe.title(source) if hasattr(recipe, "title") else recipe.TITLE


def run(name, given, resumed=None):
    """Configuration, data, split, network, fit, predict, score, figures: one run, or the rest of an interrupted one.

    Returns the run's folder.
    """
    # Configuration
    recipe = import_module(name if resumed is None else run_folder.read_config(resumed).recipe)
    source, simulated = run_folder.find_data(recipe, given, resumed, ROOT / "datasets")
    if resumed:
        again = {"nodes": None} | {name: value for name, value in given.items() if name in ("workers", "nodes")}
        config = run_folder.read_config(resumed).replace(**again)
    else:
        config = configure(recipe, given, simulated)
    unlabelled = recipe.load_unlabelled(source) if hasattr(recipe, "load_unlabelled") else []
    if unlabelled:
        print(f"{source}: {len(unlabelled)} images without masks, which are only predicted")
    labelled = source
    if hasattr(recipe, "has_masks") and not recipe.has_masks(source):
        labelled, simulated = recipe.simulate(ROOT / "datasets/simulated" / recipe.CONFIG.recipe), True
    published = recipe.is_published(labelled) and not simulated
    title = title_of(recipe, labelled, published, simulated)
    print(f"{title}: {labelled}")

    # Data and split
    originals = recipe.split(recipe.load(labelled), config)
    if config.split == "shuffled":
        title = f"{title}, shuffled (leaks)"
        originals = splits.shuffle(originals, config.seed)
    originals = splits.limit_train(originals, config.train_images, config.seed)
    data = {
        "title": title,
        "simulated": simulated,
        "source": labelled.name,
        "licence": recipe.LICENCE if published else None,
        "pixel_size": config.pixel_size or originals.train[0].pixel_size,
    }
    samples = originals.map(lambda sample: prepare(sample, config.channels, config.image_scale))
    check_classes([*samples.train, *samples.validation, *samples.test], config.classes)
    print(splits.describe_split(samples))

    # Device and network. Imported here, not at the top: --help and a mistake in the data answer at once, and the
    # worker processes, which read this file again, stay free of TensorFlow.
    if config.device == "cpu":  # must be known before a backend starts
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}
    import batches
    import devices
    import prediction
    import training
    from experiment import reporting
    from explore import tables
    from parallel import nodes
    from system.backend import held_back_errors, keras

    share = nodes.join(config.nodes)
    if share.number:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the first machine tells what happens)
    if config.classes == 2:
        data["object_diameter"] = tables.object_diameters(originals.train)
    with nodes.together(share):
        nodes.check_alike(share, "Settings", config.to_json() | dict.fromkeys(("nodes", "workers", "data", "output")))
        nodes.check_alike(share, "Images", samples.to_json())
        gpus = devices.list_gpus(config.device)
        replicas = nodes.count_devices() if config.nodes else max(1, len(gpus))
        config = devices.for_replicas(config, replicas)
        precision = devices.set_precision(config.precision, gpus)
        if share.count > 1:
            nodes.check_alike(share, "Precisions", {"is": precision}, "begin with --precision float32 on all of them")
            devices_here = {"are": nodes.count_own_devices()}
            nodes.check_alike(share, "Numbers of devices", devices_here, "set CUDA_VISIBLE_DEVICES so that all have as many")
        batches.check_batch_size(samples.train, config, replicas)
        prediction.check_prediction_tile(config)
        folder = resumed
        if share.number == 0:
            folder = run_folder.continue_run(resumed, samples) if resumed else run_folder.make_run_folder(config, ROOT / "runs")
            if not resumed:
                run_folder.write_start(folder, config, source, samples, {"gpus": gpus, "precision": precision})
        if share.count > 1:
            folder = Path(nodes.of_first(os.path.abspath(folder or "")))
            print(f"{share.count} machines; if one is lost all end: go on with --resume {folder} --nodes ... on all of them")
        print(f"Run folder: {folder}")
        with held_back_errors():  # it imports TensorFlow, under every backend
            keras.utils.set_random_seed(config.seed)
        with devices.scope(devices.make_strategy(gpus)):
            model = training.compiled_unet(config, bool(gpus))
        where = ", ".join(gpus) or f"CPU, {os.cpu_count()} cores"
        print(f"Network: {model.count_params() / 1e6:.1f} million parameters, {precision} compute, on {where}")

        # Fit
        try:
            history = training.train(model, samples, config, folder, share)
        except training.InterruptedRunError:
            again = f"{config.recipe} --resume {run_folder.to_resume(folder)}" + " --nodes ..." * (share.count > 1)
            print(f"Stopped. To go on: python {Path(__file__).name} {again}")
            sys.exit(130)
    if share.count > 1:
        nodes.leave()
        if share.number:
            return folder
        model = training.best_network(config, folder)

    # Predict: the validation set for the threshold, then the test set once
    chosen = prediction.predict_samples(model, samples.validation, originals.validation, config, "Fitting the threshold")
    threshold, dice = (None, None)
    if config.classes == 2:
        threshold, dice = fit_threshold(chosen, [original.mask for original in originals.validation])
    probabilities = prediction.predict_samples(model, samples.test, originals.test, config, "Predicting the test set")
    masks = to_masks(probabilities, threshold, config.classes)

    # Score and figures
    run_folder.save_model(model, folder / "model.keras")
    reporting.write_predictions(folder / "predictions", originals.test, probabilities, masks, config.classes)
    fitted = {"threshold": threshold, "validation_dice": dice}
    everything = [*originals.train, *originals.validation, *originals.test]
    strata = recipe.stratum_names(everything) if hasattr(recipe, "stratum_names") else None
    kind = {"kind": recipe.STRATUM, "strata": strata}
    table, summary = reporting.score(originals.test, masks, config, data, fitted, **kind)
    reporting.write_figures(folder / "figures", originals, masks, table, history, title, config, **kind)
    if hasattr(recipe, "measure"):  # what is peculiar to the recipe
        prepared = [prepare(sample, config.channels, config.image_scale) for sample in unlabelled]
        others = prediction.predict_samples(model, prepared, unlabelled, config, "Predicting images without masks")
        measured = recipe.measure(
            Predictions(originals.validation, chosen, to_masks(chosen, threshold, config.classes)),
            Predictions(originals.test, probabilities, masks),
            Predictions(unlabelled, others, to_masks(others, threshold, config.classes)),
            config,
            title,
        )
        reporting.write_measured(folder, measured)
        summary |= measured.scores
    reporting.write_model_card(folder, config, data, summary, history, precision)
    reporting.write_scores(folder, table, summary)  # last: a run with scores is finished
    print(reporting.describe(summary, title, recipe.STRATUM))
    print(f"Everything is in {folder}")
    return folder


if __name__ == "__main__":
    main()
