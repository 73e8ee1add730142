"""The folder of one run: made once, never overwritten, found again to resume; what is written there besides weights."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from config import Config
from system.files import claim, is_claimed, read_json, remove_leftovers, write_json, written_whole

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "scikit-learn", "opencv-python-headless", "grain")
FINISHED = {"config.json": "scores.json", "series.json": "summary.csv"}  # what a run, or a series, writes first and last


def make_run_folder(config, root=Path("runs")):
    """Make and return a new folder, ``config.output`` or runs/<recipe>/<date-time>; ValueError when it exists."""
    return make_folder(config.output, root / config.recipe)


def make_folder(wanted, parent, kind=""):
    """Make and return the folder ``wanted``, or <date-time><kind> in ``parent`` if None; ValueError when it exists."""
    folder = Path(wanted) if wanted else parent / f"{datetime.now():%Y-%m-%d-%H%M%S}{kind}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ValueError(
            f"{folder}: exists already and is not overwritten; choose another --output, or --resume it."
        ) from error
    claim(folder)
    return folder


def find_run(recipe, folder="", root=Path("runs")):
    """The run or series to resume: ``folder``, or a recipe's newest unfinished one at which no process works.

    Raises ValueError when there is none.
    """
    if folder:
        found = Path(folder)
    else:
        begun = [path for name in FINISHED for path in (root / recipe).glob(f"*/{name}")]
        unfinished = [path for path in begun if not (path.parent / FINISHED[path.name]).exists()]
        unfinished = [path for path in unfinished if not is_claimed(path.parent)]
        if not unfinished:
            raise ValueError(f"{root / recipe}: no unfinished run to resume here; start one without --resume.")
        found = max(unfinished, key=lambda path: path.stat().st_mtime).parent
    if not any((found / name).exists() for name in FINISHED):
        raise ValueError(f"{found}: not a run folder (it has no config.json).")
    for begin, end in FINISHED.items():
        if (found / begin).exists() and (found / end).exists():
            raise ValueError(f"{found}: this run is finished, its scores are in {end}; nothing to resume.")
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
    source = Path(os.path.abspath(source))  # "." has no name to put into titles; a link keeps its own
    return source, (source / "simulated.json").exists()


def continue_run(folder, split):
    """Check that a run's split is still what its data gives, tidy up, and return its folder; ValueError if it is not."""
    if read_json(folder / "split.json") != split.to_json():
        raise ValueError(f"{folder / 'split.json'}: the images changed since this run began; start a new run instead.")
    claim(folder)
    remove_leftovers(folder)
    return folder


def write_start(folder, config, source, split, hardware):
    """Write config.json (settings, and the absolute path of the data), split.json and environment.json."""
    write_json(folder / "split.json", split.to_json())
    write_json(folder / "environment.json", environment(hardware))
    write_json(folder / "config.json", {"source": os.path.abspath(source), "config": config.to_json()})


def environment(hardware):
    """What a run was made with: code revision, versions, backend, processor, and ``hardware`` as the caller says."""
    import keras

    return {
        "revision": _revision(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "backend": keras.backend.backend(),
        **hardware,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def read_title(folder):
    """What the images of a finished run are called."""
    return read_json(folder / "scores.json")["title"]


def is_series(folder):
    """Whether a folder is that of a series of runs."""
    return (folder / "series.json").exists()


def to_resume(folder):
    """The folder to resume for a run: that of its series, if it belongs to one."""
    return folder.parent if is_series(folder.parent) else folder


def save_model(model, path):
    """Save a network that ``keras.saving.load_model`` opens in safe mode, with no custom objects."""
    import keras

    plain = keras.Model(model.inputs, model.outputs, name=model.name)  # the same layers, without loss and optimiser
    with written_whole(path) as temporary:
        plain.save(temporary)


def _revision():
    """The git commit of this code, "+" where files differ from it, None without git."""
    try:
        where = {"cwd": Path(__file__).parents[1], "capture_output": True, "text": True, "check": True}
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **where).stdout.strip()
        return commit + ("+" if subprocess.run(["git", "status", "--porcelain", "-uno"], **where).stdout else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor(cpuinfo=Path("/proc/cpuinfo")):
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def save_figure(figure, path, dpi=110):
    """Write a matplotlib Figure as PNG, whole or not at all."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
