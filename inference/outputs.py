"""What ``predict.py`` leaves: files of every image, written whole, and the tables and the page of all together."""

import contextlib
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
OVERLAY_SIDE = 2048  # px at most; larger images are shown smaller
FEW = np.iinfo(np.uint16).max  # objects that uint16 can number


def known_images(folder):
    """{name: absolute path} of the images of an earlier command in a folder of results; empty for a new folder."""
    return read_json(folder / NOTE)["images"] if (folder / NOTE).exists() else {}


def enter(folder):
    """Make the folder of results if it is not there, and keep other processes from working in it; ValueError for a file."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; choose a new folder with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWrittenError(f"{folder}: is no folder that can be written to ({error.strerror}).") from error
    claim(folder)


def begin(folder, settings, names, resume):
    """Note what is done in a folder of results; ValueError that says what to do when it is not the one to go on in."""
    note, known = folder / NOTE, known_images(folder)
    if note.exists():
        if not resume:
            raise ValueError(f"{folder}: holds results already; go on with --resume, or choose another folder with -o.")
        before = read_json(note)["settings"]
        changed = [f"--{name.replace('_', '-')}" for name in settings if settings[name] != before.get(name)]
        if changed:
            raise ValueError(f"{folder}: was begun with another {', '.join(changed)}; repeat it, or choose another folder.")
        remove_leftovers(folder)
    elif any(path.name != LOCK for path in folder.iterdir()):
        raise ValueError(f"{folder}: holds other files; choose an empty or a new folder with -o.")
    images = known | {name: str(path.resolve()) for name, path in names.items()}
    write_json(note, {"settings": settings, "images": images})


def is_done(folder, name, path):
    """Whether all files of an image are written and there, and it is still the same."""
    note = folder / ROWS / f"{name}.json"  # the last that is written
    if not note.exists():
        return False
    done = read_json(note)
    return done["state"] == state(path) and all((folder / file).exists() for file in done["files"])


def forget(folder, name):
    """Delete what was made of an image that has changed: its files, and with them its rows in the tables."""
    note = folder / ROWS / f"{name}.json"
    if note.exists():
        for file in read_json(note)["files"]:
            remove(folder / file)
        note.unlink()


def remove(path):
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def state(path):
    """What changes when a file, or one in a folder, does: sizes added up, and the newest time."""
    states = [file.stat() for file in ([path, *path.rglob("*")] if path.is_dir() else [path])]
    return [sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)]


def write(folder, name, path, planes, segmentations, before, probability=False):
    """Write the files of one image from its pages (pages, H, W, C) and an iterable of their Segmentations.

    ``before``: the ``state`` of its file before it was read; if it has changed since, it is not done.
    <name>_mask.tif and <name>_objects.tif have as many pages as the image, an overlay shows one: <name>_overlay.png, or
    of several pages <name>_overlay_p001.png. Each page is written before the next one is segmented.
    """
    kinds = ("mask", "objects", "probability") if probability else ("mask", "objects")
    images, objects = [], []
    with contextlib.ExitStack() as stack:
        files = {kind: stack.enter_context(written_whole(folder / f"{name}_{kind}.tif")) for kind in kinds}
        large = planes[..., 0].size * 4 > 2**31  # bytes, of an ordinary TIFF's 2**32
        writers = {kind: stack.enter_context(tifffile.TiffWriter(file, bigtiff=large)) for kind, file in files.items()}
        for number, (plane, found) in enumerate(zip(planes, segmentations, strict=True), 1):
            arrays = {"mask": found.mask, "objects": numbered(found.objects, len(planes)), "probability": found.probability}
            for kind, writer in writers.items():
                writer.write(arrays[kind], photometric="minisblack", compression="deflate", metadata=None)
            overlay = f"{name}_overlay_p{number:03d}.png" if len(planes) > 1 else f"{name}_overlay.png"
            temporary = stack.enter_context(written_whole(folder / overlay))
            iio.imwrite(temporary, figures.outlined(as_image(plane, path.name), found.objects, OVERLAY_SIDE))
            where = {"name": name, "page": number}
            shown = {"file": as_text(path), "pages": len(planes), "overlay": overlay}
            height, width = found.mask.shape
            images.append({**where, **shown, "height": height, "width": width, **found.quality})
            objects.append(found.measurements.assign(**where))
    write_rows(folder, name, before, pd.concat(objects), images, [f"{name}_{kind}.tif" for kind in kinds])


def write_rows(folder, name, before, objects, images, files):
    """Write the rows of an image in the tables, and which files belong to it: last, for then it is done."""
    objects = objects[["name", "page", *(column for column in objects if column not in ("name", "page"))]]
    write_text(folder / ROWS / f"{name}.csv", objects.to_csv(index=False))
    files = [*files, *(row["overlay"] for row in images), f"{ROWS}/{name}.csv"]
    write_json(folder / ROWS / f"{name}.json", {"state": before, "files": files, "images": images})


def pieces_of(folder, name, now):
    """The folder for what is found of a scan block by block; emptied when it belongs to something else than ``now``.

    ``now``: a list of numbers, the ``state`` of the scan and how it is cut and shown to the network.
    """
    pieces = folder / PIECES / name
    note = pieces / "state.json"
    if not note.exists() or read_json(note) != now:
        remove(pieces)
        write_json(note, now)
    return pieces


def write_scan(folder, name, path, small, objects, row, before):
    """Write what belongs to a scan beside <name>_objects.zarr, which lies in its folder of pieces and is moved.

    ``small``: the image (h, w) and its objects, small enough to look at. ``objects``: their measurements. ``row``: of the
    table of images. ``before``: the ``state`` of the scan before it was read.
    """
    overlay = f"{name}_overlay.png"
    with written_whole(folder / overlay) as temporary:
        iio.imwrite(temporary, figures.outlined(as_image(small[0], path.name), small[1], OVERLAY_SIDE))
    labels = f"{name}_objects.zarr"
    remove(folder / labels)  # of a command that was killed after the next line
    os.replace(folder / PIECES / name / "objects.zarr", folder / labels)
    where = {"name": name, "page": 1}
    images = [{**where, "file": as_text(path), "pages": 1, "overlay": overlay, **dict.fromkeys(QUANTITIES), **row}]
    write_rows(folder, name, before, objects.assign(**where), images, [labels])
    remove(folder / PIECES / name)


def numbered(objects, pages):
    """A label image as uint16, or uint32 when it has more objects, or is a page of several, which must be alike."""
    return objects.astype(np.uint16 if pages == 1 and objects.max(initial=0) <= FEW else np.uint32)


def finish(folder, settings, card, failed):
    """Write images.csv, measurements.csv and report.html of all images that are done, also by earlier commands."""
    done = [name for name in known_images(folder) if (folder / ROWS / f"{name}.json").exists()]
    limits = LIMITS | card.get("quality_limits", {})
    tables = [
        pd.read_csv(folder / ROWS / f"{name}.csv", dtype={"name": str}, keep_default_na=False, na_values="") for name in done
    ]
    objects = pd.concat([table for table in tables if len(table)] or tables[:1] or [_no_objects()], ignore_index=True)
    rows = [row for name in done for row in read_json(folder / ROWS / f"{name}.json")["images"]]
    images = [row | {"flags": "; ".join(flags(row, limits))} for row in rows]
    for row in images:
        row["density_per_megapixel"] = row["objects"] / (row["height"] * row["width"]) * 1e6
    first = ["name", "page", "objects", "density_per_megapixel", "foreground_share", "flags", "explanation"]
    images = pd.DataFrame(images, columns=None if images else [*first, "file"])
    images = images[[*first, *(name for name in images if name not in first)]]
    write_text(folder / "measurements.csv", objects.to_csv(index=False))
    named = {as_text(path): name for name, path in known_images(folder).items()}
    names = [named.get(str(Path(file).resolve()), Path(file).stem) for file in failed]
    errors = pd.DataFrame({"name": names, "file": list(failed), "error": list(failed.values())})
    whole = pd.concat([images.astype(object), errors])  # as objects, because counts beside gaps would become fractions
    write_text(folder / "images.csv", whole.reindex(columns=[*images, "error"]).to_csv(index=False))
    write_text(folder / "report.html", report_page.page(folder, images, objects, settings, card, failed))


def as_text(path):
    """A path, or what is said of it, as text that UTF-8 can hold, whatever bytes the file system allows."""
    return str(path).encode("utf-8", "replace").decode()


def _no_objects():
    return pd.DataFrame(columns=["name", "page", *measure_objects(np.zeros((1, 1), int), image=np.zeros((1, 1)))])
