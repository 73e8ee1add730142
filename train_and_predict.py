"""Train a U-Net on microscopy images, predict the test images, score them and draw figures.

python train_and_predict.py                                nuclei: your images in datasets/dsb, else simulated ones
python train_and_predict.py dsb --data stage1_train.zip    nuclei of the Data Science Bowl 2018
python train_and_predict.py dsb --resume                   continue an interrupted run
python train_and_predict.py cells --data PhC-C2DH-U373     low-contrast cells, their objects and diameters
python train_and_predict.py isbi --hold-out all            membranes, every block of slices held out in turn
python train_and_predict.py cells --help                   every setting, with the defaults of a recipe
"""

import os
import shutil
import sys
from pathlib import Path

import splits
from config import flag
from data import check_classes, prepare
from experiment import run_folder
from experiment.command_line import parse_command_line
from experiment.images import find_source, read_images
from explore.tables import object_diameters
from recipe import read_recipe
from system.files import claim, release
from system.paths import TRAIN, WORK


def main(arguments=None):
    """Run what the command line asks for. A mistake of the user ends the program with a message of one sentence."""
    try:
        name, given, several, resume = parse_command_line(arguments)
        begun = None if resume is None else run_folder.find_run(name, resume, WORK / "runs")
        if several or given.get("hold_out") == "all" or (begun and run_folder.is_series(begun)):
            run_series(name, given, several, begun)
        else:
            run(name, given, begun)
    except (ValueError, OSError) as error:
        if os.environ.get("UNET_TRACEBACK"):
            raise
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. If training had begun, --resume continues after the last finished epoch.", file=sys.stderr)
        sys.exit(130)
    finally:
        release()


def run(name, given, resumed=None):
    """Make one run, or finish an interrupted one, and return its folder. The calls below are the steps, in their order."""
    recipe, config, source = configuration(name, given, resumed)
    images = data(recipe, config, source)
    originals, samples, images = split(recipe, config, images)

    with machines(config) as world:
        model, config, folder, precision = network(config, originals, samples, source, resumed, world)
        model, history = fit(model, config, samples, folder, world)
    if world.rank:  # only the first machine does the rest
        return folder

    predictions, fitted = predict(model, config, originals, samples, images, folder)
    table, summary = score(recipe, config, originals, predictions, images, fitted, folder)
    figures(recipe, config, originals, predictions, table, history, images, folder)
    finish(model, config, predictions, table, summary, history, precision, images, folder)
    return folder


def configuration(name, given, resumed=None):
    """Return (recipe, settings, source of the images). Simulate images if there are none."""
    recipe = read_recipe(name if resumed is None else run_folder.read_config(resumed).recipe)
    source = find_source(recipe, given, resumed)
    if resumed:
        again = {"nodes": None} | {key: value for key, value in given.items() if key in ("workers", "nodes")}
        config = run_folder.read_config(resumed).replace(**again)
    else:
        config = configure(recipe, given, source.simulated)
    return recipe, config, source.made(recipe, config)


def configure(recipe, given, simulated):
    """Return the settings of a run. Given settings replace published ones (--as-published), which replace the recipe's."""
    check_used(recipe, given)
    published = recipe.published.get("settings", {}) if given.get("as_published") else {}
    if given.get("as_published") and not published:
        raise ValueError(f"--as-published: recipe {recipe.name} repeats no publication; leave it out.")
    given = {name: value for name, value in given.items() if name != "as_published"}
    return recipe.settings(simulated).replace(**published).replace(**given)


def check_used(recipe, given):
    """Raise ValueError for a setting that has no effect on the recipe."""
    for name in recipe.unused:
        if name in given:
            raise ValueError(f"{flag(name)} has no effect on recipe {recipe.name}; leave it out.")


def data(recipe, config, source):
    """Read the images and print which ones they are."""
    images = read_images(recipe, config, source)
    if images.unlabelled:
        print(f"{source.path}: {len(images.unlabelled)} images without labels; they are predicted, not scored")
    print(f"{images.title}: {images.source}")
    return images


def split(recipe, config, images):
    """Give every sample a role. Return (samples as read, samples as the network sees them, images with object sizes)."""
    originals = recipe.split(images.labelled, config)
    if config.split == "shuffled":
        originals = splits.shuffle(originals, config.seed)
    originals = splits.limit_train(originals, config.train_images, config.seed)
    check_classes([*originals], config.classes)
    print(splits.describe_split(originals))
    samples = originals.map(lambda sample: prepare(sample, config.channels, config.image_scale))
    facts = images.facts | {"object_diameter": object_diameters(originals.train)}
    return originals, samples, images._replace(facts=facts)


def machines(config):
    """Connect the machines that train together. Return a context that yields the rank of this one and the world size.

    Keras is imported only from here on. So --help and errors in the data do not wait for it, and the worker processes, which
    import this file again, do not load TensorFlow.
    """
    if config.device == "cpu":  # must be set before a backend starts
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu", "KERAS_TORCH_DEVICE": "cpu"}
    from parallel import nodes

    return nodes.together(config.nodes)


def network(config, originals, samples, source, resumed, world):
    """Build the network and make the run's folder. Return (model, configuration, folder, precision)."""
    import batches
    import devices
    import prediction
    import training
    from parallel import nodes

    gpus = devices.list_gpus(config.device)
    replicas = nodes.count_devices() if config.nodes else max(1, len(gpus))
    config = devices.for_replicas(config, replicas)
    precision = devices.set_precision(config.precision, gpus)
    nodes.check_same(world, config, originals, precision)
    batches.check_batch_size(samples.train, config, replicas)
    prediction.check_prediction_tile(config)
    folder = resumed
    if world.rank == 0:
        folder = run_folder.continue_run(resumed, originals) if resumed else run_folder.make_run_folder(config, WORK / "runs")
        if not resumed:
            run_folder.write_start(folder, config, source.path, originals, {"gpus": gpus, "precision": precision})
    folder = nodes.share_folder(world, folder)
    print(f"Run folder: {folder}")
    model = training.build(config, gpus)
    where = ", ".join(gpus) or f"CPU, {os.cpu_count()} cores"
    print(f"Network: {model.count_params() / 1e6:.1f} million parameters, {precision} compute, on {where}")
    return model, config, folder, precision


def fit(model, config, samples, folder, world):
    """Train the network. Return (network of the best epoch, history of all epochs)."""
    import training

    try:
        return training.train(model, samples, config, folder, world)
    except training.InterruptedRunError:
        again = f"{config.recipe} --resume {run_folder.to_resume(folder)}" + " --nodes ..." * (world.size > 1)
        print(f"Stopped. To continue: {TRAIN} {again}")
        sys.exit(130)


def predict(model, config, originals, samples, images, folder):
    """Predict the validation images, fit the threshold on them, then predict all others: ({role: Predictions}, fitted)."""
    from experiment.predictions import predict_roles

    unlabelled = [prepare(sample, config.channels, config.image_scale) for sample in images.unlabelled]
    roles = {
        "validation": (samples.validation, originals.validation),
        "test": (samples.test, originals.test),
        "unlabelled": (unlabelled, images.unlabelled),
    }
    return predict_roles(model, config, roles, folder)


def score(recipe, config, originals, predictions, images, fitted, folder):
    """Score the test images and write the recipe's own results. Return (DataFrame with one row per image, summary)."""
    from experiment import reporting

    strata = recipe.names_of_strata(originals)
    table, summary = reporting.score(predictions["test"], config, images.facts, fitted, recipe, strata)
    if recipe.measure:
        result = recipe.measure(*(predictions[kind] for kind in ("validation", "test", "unlabelled")), config, images.title)
        reporting.write_result(folder, result, recipe, strata)
        summary |= result.scores
    print(reporting.describe(summary, images.title, recipe.stratum))
    return table, summary


def figures(recipe, config, originals, predictions, table, history, images, folder):
    """Draw the figures of the run."""
    from experiment import reporting

    masks, strata = predictions["test"].masks, recipe.names_of_strata(originals)
    reporting.write_figures(folder / "figures", recipe, config, originals, masks, table, history, images.title, strata)


def finish(model, config, predictions, table, summary, history, precision, images, folder):
    """Write network, predictions, model card and scores. The scores come last, because a run with scores is finished."""
    from experiment import reporting

    run_folder.save_model(model, folder / "model.keras")
    reporting.write_predictions(folder / "predictions", predictions["test"])
    reporting.write_model_card(folder, config, images.facts, summary, history, precision)
    reporting.write_scores(folder, table, summary)
    shutil.rmtree(folder / run_folder.PROBABILITIES, ignore_errors=True)
    print(f"Everything is in {folder}")


def run_series(name, given, values, folder=None):
    """Make a run for every combination of the values, or finish an interrupted series. Then write tables and a figure.

    Return the folder of the series.
    """
    from experiment import series

    if given.get("nodes"):
        raise ValueError("--nodes is for a single run; start the runs of a series one by one.")
    if folder:
        claim(folder)
        name, began_with, values = series.read(folder)
        given = began_with | given
    else:
        folder, given, values = start_series(name, given, values)
    steps = series.runs(folder, values)
    for number, (change, run_of_series) in enumerate(steps, 1):
        if (run_of_series / "scores.json").exists():
            continue
        print(f"\nRun {number} of {len(steps)}: {', '.join(f'{key} {value}' for key, value in change.items())}")
        begun = run_of_series if (run_of_series / "config.json").exists() else None
        if not begun:
            shutil.rmtree(run_of_series, ignore_errors=True)  # the run was killed before it wrote its settings
        run(name, {**given, **change, "output": str(run_of_series)}, begun)
    recipe, title = read_recipe(name), run_folder.read_title(steps[0][1])
    summary, spread = series.write_results(folder, values, recipe.main_scores, title)
    shown = summary[["run", "runs", *(score for score in recipe.main_scores if score in summary)]]
    print(f"\n{title}\n{shown.to_string(index=False)}\n\n{spread.to_string(index=False)}\nEverything is in {folder}")
    return folder


def start_series(name, given, values):
    """Check the settings of a series and make its folder. Return (folder, settings of every run, {setting: values})."""
    from experiment import series

    recipe = read_recipe(name)
    source = find_source(recipe, given)
    check_used(recipe, {**given, **values})
    settings = {key: value for key, value in given.items() if (key, value) != ("hold_out", "all")}
    several = dict(values)
    if given.get("hold_out") == "all" or "all" in values.get("hold_out", ()):
        check_used(recipe, {"hold_out"})
        first = {key: chosen[0] for key, chosen in values.items() if key != "hold_out"}
        config = configure(recipe, settings | first, source.simulated)
        several["hold_out"] = recipe.hold_outs(recipe.load(source.made(recipe, config).path, config))
    config = configure(recipe, settings, source.simulated)
    series.check(config, several)
    # All runs use the same images, even if other images are put into datasets/ before the last run.
    settings["data"] = str(source.made(recipe, config).path)
    return series.start(name, settings, several, WORK / "runs"), settings, several


if __name__ == "__main__":
    main()
