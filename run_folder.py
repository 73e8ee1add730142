"""The folder of one run: made once, never overwritten, found again to resume; what is written there besides weights."""

import importlib.metadata
import platform
import sys
from datetime import datetime
from pathlib import Path

import keras

from config import Config
from files import read_json, write_json, written_whole

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "scikit-learn", "opencv-python-headless", "grain")


def make_run_folder(config, root=Path("runs")):
    """Make and return a new folder, ``config.output`` or runs/<recipe>/<date-time>; ValueError when it exists."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    folder = Path(config.output) if config.output else root / config.recipe / stamp
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ValueError(
            f"{folder}: exists already and is not overwritten; choose another --output, or --resume it."
        ) from error
    return folder


def find_run(recipe, folder="", root=Path("runs")):
    """The run to resume: ``folder``, or the newest of a recipe; ValueError when there is none."""
    if folder:
        found = Path(folder)
    else:
        runs = sorted(path.parent for path in (root / recipe).glob("*/config.json"))
        if not runs:
            raise ValueError(f"{root / recipe}: no run to resume here; start one without --resume.")
        found = runs[-1]
    if not (found / "config.json").exists():
        raise ValueError(f"{found}: not a run folder (it has no config.json).")
    return found


def read_config(folder):
    """The configuration of a run; raises ValueError that names the file when it cannot be read."""
    path = folder / "config.json"
    return Config.from_json(read_json(path)["config"], source=path)


def find_data(recipe, given, resumed, datasets):
    """Where the images are, and whether they are simulated: (path, bool).

    ``--data`` where given, else what the resumed run used, else ``datasets/<recipe>`` where it holds data, else
    simulated images, made under ``datasets/simulated``.
    """
    if resumed:
        source = Path(read_json(resumed / "config.json")["source"])
    elif given.get("data"):
        source = Path(given["data"])
    else:
        source = recipe.find(datasets / recipe.CONFIG.recipe) or recipe.simulate(datasets / "simulated" / recipe.CONFIG.recipe)
    return source, (source / "simulated.json").exists()


def continue_run(folder, split):
    """Check that a run's split is still what its data gives, and return its folder; ValueError when it is not."""
    if read_json(folder / "split.json") != split.to_json():
        raise ValueError(f"{folder / 'split.json'}: the images changed since this run began; start a new run instead.")
    return folder


def write_start(folder, config, source, split):
    """Write config.json (settings, and the absolute path of the data), split.json and environment.json."""
    write_json(folder / "split.json", split.to_json())
    write_json(folder / "environment.json", environment())
    write_json(folder / "config.json", {"source": str(source.resolve()), "config": config.to_json()})


def environment():
    """Versions, processor and backend that a run was made with."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "backend": keras.backend.backend(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "keras": keras.__version__,
    }


def save_model(model, path):
    """Save a network that ``keras.saving.load_model`` opens in safe mode, with no custom objects."""
    plain = keras.Model(model.inputs, model.outputs, name=model.name)  # the same layers, without loss and optimiser
    with written_whole(path) as temporary:
        plain.save(temporary)


def save_figure(figure, path, dpi=110):
    """Write a matplotlib Figure as PNG, whole or not at all."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
