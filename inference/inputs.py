"""Find the image files that a command line names, and give the outputs of each image a unique name."""

import glob
import itertools
from pathlib import Path

from readers.images import IMAGE_SUFFIXES

NOTE = "predict.json"  # marks a folder of results, whose files are never read as images
LONGEST = 200  # bytes of a name; file systems allow 255, and the names of results have further parts


def find_images(patterns):
    """Return the image files that paths, folders and patterns name, each once, in their order: [Path].

    A folder stands for the images directly in it, without its subfolders. Other files, and results of predict.py, are left out.
    Raises ValueError for a path that does not exist or is no image, and if no image is found.
    """
    paths = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_file() and not is_image(path):
            raise ValueError(f"{path}: is no image that this program reads ({', '.join(IMAGE_SUFFIXES)}).")
        found = [path] if path.exists() else sorted(map(Path, glob.glob(pattern, recursive=True)))
        matches = [match for match in found if match == path or not _in_scan(match)]
        if not matches:
            raise ValueError(f"{pattern}: there is no such file or folder, and no file matches this pattern.")
        for match in matches:
            paths += sorted(match.iterdir()) if match.is_dir() and not is_scan(match) else [match]
    images = {}
    for path in paths:
        if (is_image(path) or is_scan(path)) and not _is_result(path):
            images.setdefault(path.resolve(), path)
    if not images:
        raise ValueError(_no_image(patterns, paths))
    return list(images.values())


def _no_image(patterns, paths):
    """Return a message that says why no image was found, and which images were left out."""
    known, made = ", ".join(IMAGE_SUFFIXES), sum(is_image(path) and _is_result(path) for path in paths)
    text = f"{', '.join(patterns)}: no image found; this program reads {known} and .zarr."
    for folder in in_subfolders(patterns):
        text += f" Its subfolders hold images; give '{folder}/**/*' in quotation marks to read them."
    if made:
        text += f" Left out: {made} images in a folder of results (it holds {NOTE}), because results are never read as images."
    return text


def in_subfolders(patterns):
    """Return {folder: number of images in its subfolders} for each folder whose subfolders ``find_images`` leaves out."""
    folders = [Path(pattern) for pattern in patterns if Path(pattern).is_dir() and not is_scan(Path(pattern))]
    counts = {f: sum(is_image(p) and not _is_result(p) for p in f.rglob("*") if p.parent != f) for f in folders}
    return {folder: count for folder, count in counts.items() if count}


def is_image(path):
    """Return whether a path is an image file that this program reads, by its suffix; false for hidden files."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def is_scan(path):
    """Return whether a path is a folder of OME-Zarr, by its suffix, or one image (0, 1, ...) in such a folder."""
    folder = path.parent if path.name.isdigit() else path
    return folder.suffix.lower() == ".zarr" and not folder.name.startswith(".") and path.is_dir()


def _in_scan(path):
    return any(folder.suffix.lower() == ".zarr" for folder in path.parents)


def _is_result(path):
    return any((folder / NOTE).exists() for folder in path.resolve().parents)


def name_outputs(paths, known):
    """Return {name: path} of images: the file's name without its suffix, or a longer name if that is taken.

    ``known``: {name: path} of earlier commands; their images keep their names. Names that differ only in upper and lower case
    count as equal. All names are valid UTF-8.
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
    """Yield names for an image: a, a_tif, plate_a_tif, plate_a_tif_2, ... for plate/a.tif. Long names are cut.

    The first name does not contain ".ome". The image slide.zarr/0 gets slide_0.
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
