"""Write the folder of results of ``predict.py``: files of each image, and the tables and the report of all images.

Files are written whole or not at all, so that an interrupted command can be continued.
"""

import contextlib
import itertools
import os
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import tifffile

import figures
from inference import report_page
from inference.inputs import NOTE
from readers.images import as_image
from scores.measurements import measure_objects
from scores.quality import LIMITS, QUANTITIES, flags
from system.files import LOCK, NotWrittenError, claim, read_json, remove_leftovers, write_json, write_text, written_whole

ROWS = "rows"
PIECES = "pieces"
OVERLAY_SIDE = 2048  # px; overlays of larger images are reduced
FEW = np.iinfo(np.uint16).max  # most objects that uint16 can number


def known_images(folder):
    """Return {name: absolute path} of the images of earlier commands in a folder of results; empty for a new folder."""
    return read_json(folder / NOTE)["images"] if (folder / NOTE).exists() else {}


def enter(folder):
    """Create the folder of results if needed, and lock it against other processes. Raise ValueError if it is a file."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; expected a folder. Choose a new folder with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWrittenError(f"{folder}: cannot be created ({error.strerror}). Choose another folder with -o.") from error
    claim(folder)


def begin(folder, settings, names, resume):
    """Record settings and inputs in a folder of results. Raise ValueError if the folder belongs to another command."""
    note, known = folder / NOTE, known_images(folder)
    if note.exists():
        if not resume:
            raise ValueError(f"{folder}: already holds results. Continue with --resume, or choose another folder with -o.")
        before = read_json(note)["settings"]
        changed = [f"--{name.replace('_', '-')}" for name in settings if settings[name] != before.get(name)]
        if changed:
            raise ValueError(
                f"{folder}: was started with another {', '.join(changed)}. Give the same value, or another folder with -o."
            )
        remove_leftovers(folder)
    elif any(path.name != LOCK for path in folder.iterdir()):
        raise ValueError(f"{folder}: holds other files; expected an empty folder. Choose an empty or a new folder with -o.")
    images = known | {name: str(path.resolve()) for name, path in names.items()}
    write_json(note, {"settings": settings, "images": images})


def is_done(folder, name, path):
    """Return whether all files of an image exist and the image is the same as when they were written."""
    note = folder / ROWS / f"{name}.json"  # written last
    if not note.exists():
        return False
    done = read_json(note)
    return done["state"] == state(path) and all((folder / file).exists() for file in done["files"])


def forget(folder, name):
    """Delete all files of an image that has changed, and its rows in the tables."""
    note = folder / ROWS / f"{name}.json"
    if note.exists():
        for file in read_json(note)["files"]:
            remove(folder / file)
        note.unlink()


def remove(path):
    """Delete a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def state(path):
    """Return two numbers that change if a file, or any file in a folder, changes: the sum of sizes and the newest time."""
    states = [file.stat() for file in ([path, *path.rglob("*")] if path.is_dir() else [path])]
    return [sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)]


def write(folder, name, path, planes, segmentations, before, probability=False):
    """Write the files of one image, page by page, before the next page is segmented.

    ``planes``: its pages (pages, H, W, C). ``segmentations``: an iterable of their Segmentations. ``before``: the ``state`` of
    the image file before it was read; if the file has changed since, it does not count as done. <name>_mask.tif and
    <name>_objects.tif have as many pages as the image, and so does <name>_classes.tif (uint8, class numbers), which exists if
    the network has several classes. Each page has its own overlay: <name>_overlay.png for a single page, else
    <name>_overlay_p001.png and so on.
    """
    segmentations = iter(segmentations)
    first = next(segmentations)
    classes = () if first.classes is None else ("classes",)
    kinds = ("mask", "objects", *classes, *(("probability",) if probability else ()))
    images, objects = [], []
    with contextlib.ExitStack() as stack:
        files = {kind: stack.enter_context(written_whole(folder / f"{name}_{kind}.tif")) for kind in kinds}
        large = planes[..., 0].size * 4 > 2**31  # bytes; an ordinary TIFF ends at 2**32
        writers = {kind: stack.enter_context(tifffile.TiffWriter(file, bigtiff=large)) for kind, file in files.items()}
        for number, (plane, found) in enumerate(zip(planes, itertools.chain([first], segmentations), strict=True), 1):
            arrays = {"mask": found.mask, "objects": numbered(found.objects, len(planes)), "probability": found.probability}
            arrays["classes"] = found.classes
            for kind, writer in writers.items():
                writer.write(arrays[kind], photometric="minisblack", compression="deflate", metadata=None)
            overlay = f"{name}_overlay_p{number:03d}.png" if len(planes) > 1 else f"{name}_overlay.png"
            temporary = stack.enter_context(written_whole(folder / overlay))
            iio.imwrite(temporary, found.drawn(as_image(plane, path.name), OVERLAY_SIDE))
            where = {"name": name, "page": number}
            shown = {"file": as_text(path), "pages": len(planes), "overlay": overlay}
            height, width = found.mask.shape
            images.append({**where, **shown, "height": height, "width": width, **found.quality})
            objects.append(found.measurements.assign(**where))
    write_rows(folder, name, before, pd.concat(objects), images, [f"{name}_{kind}.tif" for kind in kinds])


def write_rows(folder, name, before, objects, images, files):
    """Write the table rows of an image and the list of its files. This is the last step: the image then counts as done."""
    objects = objects[["name", "page", *(column for column in objects if column not in ("name", "page"))]]
    write_text(folder / ROWS / f"{name}.csv", objects.to_csv(index=False))
    files = [*files, *(row["overlay"] for row in images), f"{ROWS}/{name}.csv"]
    write_json(folder / ROWS / f"{name}.json", {"state": before, "files": files, "images": images})


def pieces_of(folder, name, now):
    """Return the folder for the results of a scan's blocks. Empty it first if it holds results of another ``now``.

    ``now``: a list of numbers: the ``state`` of the scan and the settings of its segmentation.
    """
    pieces = folder / PIECES / name
    note = pieces / "state.json"
    if not note.exists() or read_json(note) != now:
        remove(pieces)
        write_json(note, now)
    return pieces


def write_scan(folder, name, path, small, objects, row, before):
    """Write the overlay and the rows of a scan, and move <name>_objects.zarr out of the folder of its blocks.

    ``small``: the image (h, w) and its objects, reduced for the overlay. ``objects``: their measurements. ``row``: the scan's
    row in the table of images. ``before``: the ``state`` of the scan before it was read.
    """
    overlay = f"{name}_overlay.png"
    with written_whole(folder / overlay) as temporary:
        iio.imwrite(temporary, figures.outlined(as_image(small[0], path.name), small[1], OVERLAY_SIDE))
    labels = f"{name}_objects.zarr"
    remove(folder / labels)  # exists if a command was killed after the next line
    os.replace(folder / PIECES / name / "objects.zarr", folder / labels)
    where = {"name": name, "page": 1}
    images = [{**where, "file": as_text(path), "pages": 1, "overlay": overlay, **dict.fromkeys(QUANTITIES), **row}]
    write_rows(folder, name, before, objects.assign(**where), images, [labels])
    remove(folder / PIECES / name)


def numbered(objects, pages):
    """Return a label image as uint16, or as uint32 if it has more objects or several pages, which need one type."""
    return objects.astype(np.uint16 if pages == 1 and objects.max(initial=0) <= FEW else np.uint32)


def image_rows(folder):
    """Return the rows of the table of images, one dictionary per page, of all finished images."""
    return [row for name in _done(folder) for row in read_json(folder / ROWS / f"{name}.json")["images"]]


def explain(folder, row, text, examined=False):
    """Record why nothing was found in a page. ``row``: one of ``image_rows``. ``examined``: whether the network was used."""
    note = folder / ROWS / f"{row['name']}.json"
    known = read_json(note)
    known["images"][row["page"] - 1] |= {"explanation": text, "examined": examined}
    write_json(note, known)


def _done(folder):
    return [name for name in known_images(folder) if (folder / ROWS / f"{name}.json").exists()]


def finish(folder, settings, card, failed):
    """Write images.csv, measurements.csv and report.html of all finished images, including images of earlier commands.

    ``failed``: {file: reason} of the images that could not be segmented. Return a sentence with the number of flagged images.
    """
    limits = LIMITS | card.get("quality_limits", {})
    objects = _object_table(folder)
    images = [row | {"flags": "; ".join(flags(row, limits))} for row in image_rows(folder)]
    for row in images:
        row["density_per_megapixel"] = row["objects"] / (row["height"] * row["width"]) * 1e6
        row["explanation"] = row["explanation"] or ""  # None: the command ended before this image was explained
    first = ["name", "page", "objects", "density_per_megapixel", "foreground_share", "flags", "explanation"]
    images = pd.DataFrame(images, columns=None if images else [*first, "file"])
    images = images[[*first, *(name for name in images if name not in (*first, "examined"))]]
    write_text(folder / "measurements.csv", objects.to_csv(index=False))
    named = {as_text(path): name for name, path in known_images(folder).items()}
    names = [named.get(str(Path(file).resolve()), Path(file).stem) for file in failed]
    errors = pd.DataFrame({"name": names, "file": list(failed), "error": list(failed.values())})
    whole = pd.concat([images.astype(object), errors])  # as objects: with gaps, whole numbers would become fractions
    write_text(folder / "images.csv", whole.reindex(columns=[*images, "error"]).to_csv(index=False))
    write_text(folder / "report.html", report_page.page(folder, images, objects, settings, card, failed))
    return report_page.count_flagged(images)


def _object_table(folder):
    """Return the measurements of the objects of all finished images as one table."""
    files = [folder / ROWS / f"{name}.csv" for name in _done(folder)]
    tables = [pd.read_csv(file, dtype={"name": str}, keep_default_na=False, na_values="") for file in files]
    return pd.concat([table for table in tables if len(table)] or tables[:1] or [_no_objects()], ignore_index=True)


def as_text(path):
    """Return a path, or a message with a path, as valid UTF-8 text; other bytes in a path become question marks."""
    return str(path).encode("utf-8", "replace").decode()


def _no_objects():
    return pd.DataFrame(columns=["name", "page", *measure_objects(np.zeros((1, 1), int), image=np.zeros((1, 1)))])
