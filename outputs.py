"""What ``predict.py`` leaves: files of every image, written whole, and the tables and the page of all together."""

import contextlib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import tifffile

import figures
import report_page
from files import read_json, remove_leftovers, write_json, write_text, written_whole
from images import as_image
from inputs import NOTE
from measurements import measure_objects
from quality import LIMITS, flags

ROWS = "rows"
OVERLAY_SIDE = 2048  # px at most; larger images are shown smaller
FEW = np.iinfo(np.uint16).max  # objects that uint16 can number


def known_images(folder):
    """{name: absolute path} of the images of an earlier command in a folder of results; empty for a new folder."""
    return read_json(folder / NOTE)["images"] if (folder / NOTE).exists() else {}


def begin(folder, settings, names, resume):
    """Make the folder of results, or check that it is the one to go on in; ValueError that says what to do otherwise."""
    note, known = folder / NOTE, known_images(folder)
    if note.exists():
        if not resume:
            raise ValueError(f"{folder}: holds results already; go on with --resume, or choose another folder with -o.")
        before = read_json(note)["settings"]
        changed = [f"--{name.replace('_', '-')}" for name in settings if settings[name] != before.get(name)]
        if changed:
            raise ValueError(f"{folder}: was begun with another {', '.join(changed)}; repeat it, or choose another folder.")
        remove_leftovers(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: holds other files; choose an empty or a new folder with -o.")
    images = known | {name: str(path.resolve()) for name, path in names.items()}
    write_json(note, {"settings": settings, "images": images})


def is_done(folder, name, path):
    """Whether all files of an image are written, and it is still the same: its rows are the last."""
    rows = folder / ROWS / f"{name}.json"
    return rows.exists() and read_json(rows)["state"] == _state(path)


def _state(path):
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def write(folder, name, path, planes, segmentations, probability=False):
    """Write the files of one image from its pages (pages, H, W, C) and an iterable of their Segmentations.

    <name>_mask.tif and <name>_objects.tif have as many pages as the image, an overlay shows one: <name>_overlay.png, or
    of several pages <name>_overlay_p001.png. Each page is written before the next one is segmented.
    """
    rows = {"state": _state(path), "images": [], "objects": []}
    kinds = ("mask", "objects", "probability") if probability else ("mask", "objects")
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
            shown = {"file": _text(path), "pages": len(planes), "overlay": overlay}
            height, width = found.mask.shape
            rows["images"].append({**where, **shown, "height": height, "width": width, **found.quality})
            rows["objects"] += [where | row for row in found.measurements.to_dict("records")]
    write_json(folder / ROWS / f"{name}.json", rows)


def numbered(objects, pages):
    """A label image as uint16, or uint32 when it has more objects, or is a page of several, which must be alike."""
    return objects.astype(np.uint16 if pages == 1 and objects.max(initial=0) <= FEW else np.uint32)


def finish(folder, settings, card, failed):
    """Write images.csv, measurements.csv and report.html of all images that are done, also by earlier commands."""
    rows = [read_json(path) for name in known_images(folder) if (path := folder / ROWS / f"{name}.json").exists()]
    limits = LIMITS | card.get("quality_limits", {})
    objects = pd.DataFrame([row for part in rows for row in part["objects"]])
    if not len(objects):
        objects = pd.DataFrame(columns=["name", "page", *measure_objects(np.zeros((1, 1), int), image=np.zeros((1, 1)))])
    images = [row | {"flags": "; ".join(flags(row, limits))} for part in rows for row in part["images"]]
    for row in images:
        row["density_per_megapixel"] = row["objects"] / (row["height"] * row["width"]) * 1e6
    first = ["name", "page", "objects", "density_per_megapixel", "foreground_share", "flags", "explanation"]
    images = pd.DataFrame(images, columns=None if images else [*first, "file"])
    images = images[[*first, *(name for name in images if name not in first)]]
    write_text(folder / "measurements.csv", objects.to_csv(index=False))
    write_text(folder / "images.csv", images.to_csv(index=False))
    write_text(folder / "report.html", report_page.page(folder, images, objects, settings, card, failed))


def _text(path):
    """A path as text that UTF-8 can hold, whatever bytes the file system allows."""
    return str(Path(path)).encode("utf-8", "replace").decode()
