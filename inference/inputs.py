"""The image files that a command line names, and a name of its own for the outputs of each."""

import glob
import itertools
from pathlib import Path

from readers.images import IMAGE_SUFFIXES

NOTE = "predict.json"  # in a folder of results, which is never read as images
LONGEST = 200  # bytes of a name, to which results add theirs, of the 255 that file systems allow


def find_images(patterns):
    """The image files that paths, folders and patterns name, each once, in their order: [Path].

    Folders are read without their subfolders; what is no image in them, and what predict.py made, is left out. Raises
    ValueError for a path that is not there or is no image, and when there is none at all.
    """
    paths = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file() and not is_image(path):
            raise ValueError(f"{path}: not an image this program reads ({', '.join(IMAGE_SUFFIXES)}).")
        found = [path] if path.exists() else sorted(map(Path, glob.glob(pattern, recursive=True)))
        matches = [match for match in found if match == path or not _in_scan(match)]
        if not matches:
            raise ValueError(f"{pattern}: no such file or folder, and no file of this pattern.")
        for match in matches:
            paths += sorted(match.iterdir()) if match.is_dir() and not is_scan(match) else [match]
    images = {}
    for path in paths:
        if (is_image(path) or is_scan(path)) and not _is_result(path):
            images.setdefault(path.resolve(), path)
    if not images:
        deeper = "".join(
            f" Those in subfolders are given as '{folder}/**/*', in quotation marks." for folder in in_subfolders(patterns)
        )
        known, made = ", ".join(IMAGE_SUFFIXES), sum(is_image(path) and _is_result(path) for path in paths)
        results = f" Left out: {made} below a folder of results (with {NOTE}), where no images are looked for." if made else ""
        raise ValueError(f"{', '.join(patterns)}: no image here; this program reads {known} and .zarr.{deeper}{results}")
    return list(images.values())


def in_subfolders(patterns):
    """{folder: number of images in its subfolders} of the folders that ``find_images`` reads without those."""
    folders = [Path(pattern) for pattern in patterns if Path(pattern).is_dir() and not is_scan(Path(pattern))]
    counts = {f: sum(is_image(p) and not _is_result(p) for p in f.rglob("*") if p.parent != f) for f in folders}
    return {folder: count for folder, count in counts.items() if count}


def is_image(path):
    """Whether a path is a file that this program reads, by its suffix; hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def is_scan(path):
    """Whether a path is a folder of OME-Zarr, by its suffix, or an image of several in one; it may be larger than memory."""
    folder = path.parent if path.name.isdigit() else path
    return folder.suffix.lower() == ".zarr" and not folder.name.startswith(".") and path.is_dir()


def _in_scan(path):
    return any(folder.suffix.lower() == ".zarr" for folder in path.parents)


def _is_result(path):
    return any((folder / NOTE).exists() for folder in path.resolve().parents)


def name_outputs(paths, known):
    """{name: path} of images: the file's name without its suffix where nothing else has it, else longer ones.

    ``known``: {name: path} of an earlier command, whose images keep their names. Names differ by more than case, and are
    valid UTF-8.
    """
    earlier = {path: name for name, path in known.items()}
    taken, names = {name.lower() for name in known}, {}
    for path in paths:
        name = earlier.get(str(path.resolve()))
        if name is None:
            name = next(candidate for candidate in _names(path) if candidate.lower() not in taken)
            taken.add(name.lower())
        names[name] = path
    return names


def _names(path):
    """a, a_tif, plate_a_tif, plate_a_tif_2, ... for plate/a.tif; .ome goes with the suffix, and what is too long is cut.

    slide_0 for the image slide.zarr/0.
    """
    stem, whole = path.stem, path.name.replace(".", "_")
    if _in_scan(path):
        stem = whole = f"{path.parent.stem}_{path.name}"
    longer = f"{path.resolve().parent.name}_{whole}"
    short = stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem
    yield from map(_cut, (short, whole, longer))
    yield from (f"{_cut(longer)}_{number}" for number in itertools.count(2))


def _cut(name):
    return name.encode("utf-8", "replace")[:LONGEST].decode(errors="ignore")
