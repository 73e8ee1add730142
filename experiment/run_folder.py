"""The folder of a run: make it, never overwrite it, find it again, and write the files that describe the run."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from matplotlib.figure import Figure

from config import Config
from data import Split
from system.files import claim, is_claimed, read_json, remove_leftovers, write_json, written_whole
from system.paths import INSTALLED

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "scikit-learn", "opencv-python-headless", "grain")
PROBABILITIES = "probabilities"  # folder of predictions; it is deleted when the run is finished
FINISHED = {"config.json": "scores.json", "series.json": "summary.csv"}  # the first and the last file of a run or series


def make_run_folder(config: Config, root: Path = Path("runs")) -> Path:
    """Make and return a new folder, ``config.output`` or runs/<recipe>/<date-time>. Raises ValueError if it exists."""
    return make_folder(config.output, root / config.recipe)


def make_folder(wanted: str | None, parent: Path, kind: str = "") -> Path:
    """Make and return the folder ``wanted``, or <date-time><kind> in ``parent`` if None. Raises ValueError if it exists."""
    folder = Path(wanted) if wanted else parent / f"{datetime.now():%Y-%m-%d-%H%M%S}{kind}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ValueError(
            f"{folder}: exists already and is not overwritten; choose another --output, or continue it with --resume."
        ) from error
    claim(folder)
    return folder


def find_run(recipe: str, folder: str = "", root: Path = Path("runs")) -> Path:
    """Return the run or series to resume: ``folder``, else the newest unfinished one of a recipe that no process works on.

    Raises ValueError if there is none.
    """
    if folder:
        found = Path(folder)
    else:
        begun = [path for name in FINISHED for path in (root / recipe).glob(f"*/{name}")]
        unfinished = [path for path in begun if not (path.parent / FINISHED[path.name]).exists()]
        unfinished = [path for path in unfinished if not is_claimed(path.parent)]
        if not unfinished:
            raise ValueError(f"{root / recipe}: holds no unfinished run to resume; start one without --resume.")
        found = max(unfinished, key=lambda path: path.stat().st_mtime).parent
    if not any((found / name).exists() for name in FINISHED):
        raise ValueError(f"{found}: is not the folder of a run (it has no config.json); give the folder of a run to --resume.")
    for begin, end in FINISHED.items():
        if (found / begin).exists() and (found / end).exists():
            raise ValueError(f"{found}: this run is finished, its scores are in {end}; there is nothing to resume.")
    return found


def read_config(folder: Path) -> Config:
    """Read the configuration of a run. Raises ValueError that names the file if it cannot be read."""
    path = folder / "config.json"
    return Config.from_json(read_json(path)["config"], source=path)


def continue_run(folder: Path, split: Split) -> Path:
    """Remove temporary files from the folder of a run, and return it. Raises ValueError if images or roles have changed."""
    before, now = read_json(folder / "split.json"), split.to_json()
    if before != now:
        old, new = ({name: entry for members in split.values() for name, entry in members.items()} for split in (before, now))
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        digests = [{name: (e["image"], e["mask"]) for name, e in entries.items()} for entries in (old, new)]
        pixels = [name for name in names if digests[0].get(name) != digests[1].get(name)]
        changed = [*pixels, *names, "their roles"]  # other pixels may also change the role of other images
        raise ValueError(
            f"{folder / 'split.json'}: the images changed since this run began, for example {changed[0]} (its pixels, labels "
            "or role). Put them back, or start a new run."
        )
    claim(folder)
    remove_leftovers(folder)
    return folder


def write_start(folder: Path, config: Config, source: Path, split: Split, hardware: dict) -> None:
    """Write config.json (settings, and the absolute path of the data), split.json and environment.json."""
    write_json(folder / "split.json", split.to_json())
    write_json(folder / "environment.json", environment(hardware))
    write_json(folder / "config.json", {"source": os.path.abspath(source), "config": config.to_json()})


def environment(hardware: dict) -> dict:
    """Return a description of software and hardware: code revision, versions, backend, processor, entries of ``hardware``."""
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


def read_title(folder: Path) -> str:
    """Return the title of the images of a finished run."""
    return read_json(folder / "scores.json")["title"]


def is_series(folder: Path) -> bool:
    """Return whether a folder is the folder of a series of runs."""
    return (folder / "series.json").exists()


def to_resume(folder: Path) -> Path:
    """Return the folder that --resume needs for a run: the folder of its series if it belongs to one, else its own."""
    return folder.parent if is_series(folder.parent) else folder


def save_model(model, path: Path) -> None:
    """Save a network so that ``keras.saving.load_model`` opens it in safe mode, without custom objects.

    The file holds the layers without loss and optimiser. Their precision is float32, because other machines may not support the
    precision of the training, or may be slow in it.
    """
    from devices import in_precision

    with written_whole(path) as temporary:
        in_precision(model, "float32").save(temporary)


def _revision():
    """Return the git commit of this code (with "+" if files have changed), the version of an installed package, or None."""
    if INSTALLED:  # git would answer for the user's repository
        return _version("microscopy-unet")
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


def save_figure(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a matplotlib Figure as PNG, whole or not at all."""
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
