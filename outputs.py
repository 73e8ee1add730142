"""What ``predict.py`` leaves: files of every image, written whole, and the tables and the page of all together."""

import contextlib

import imageio.v3 as iio
import numpy as np
import pandas as pd
import tifffile

import figures
import report_page
from files import read_json, remove_leftovers, write_json, write_text, written_whole
from quality import LIMITS, flags

SETTINGS, ROWS = "predict.json", "rows"
OVERLAY_SIDE = 2048  # px at most; larger images are shown smaller
FEW = np.iinfo(np.uint16).max  # objects that uint16 can number


def begin(folder, settings, found, resume):
    """Make the folder of results, or check that it is the one to go on in; ValueError that says what to do otherwise."""
    note = folder / SETTINGS
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
    write_json(note, {"settings": settings, "images": {name: str(path) for name, path in found.items()}})


def is_done(folder, name):
    """Whether all files of an image are written: its rows are the last."""
    return (folder / ROWS / f"{name}.json").exists()


def write(folder, name, path, planes, segmentations, probability=False):
    """Write the files of one image from its pages (pages, H, W, C) and an iterable of their Segmentations.

    <name>_mask.tif and <name>_objects.tif have as many pages as the image, an overlay shows one: <name>_overlay.png, or
    of several pages <name>_p001_overlay.png. Each page is written before the next one is segmented.
    """
    images, objects = [], []
    kinds = ("mask", "objects", "probability") if probability else ("mask", "objects")
    with contextlib.ExitStack() as stack:
        files = {kind: stack.enter_context(written_whole(folder / f"{name}_{kind}.tif")) for kind in kinds}
        large = planes[..., 0].size * 4 > 2**31  # bytes, of an ordinary TIFF's 2**32
        writers = {kind: stack.enter_context(tifffile.TiffWriter(file, bigtiff=large)) for kind, file in files.items()}
        for number, (plane, found) in enumerate(zip(planes, segmentations, strict=True), 1):
            arrays = {"mask": found.mask, "objects": smallest(found.objects), "probability": found.probability}
            for kind, writer in writers.items():
                writer.write(arrays[kind], photometric="minisblack", compression="deflate", metadata=None)
            shown = f"{name}_p{number:03d}_overlay.png" if len(planes) > 1 else f"{name}_overlay.png"
            with written_whole(folder / shown) as temporary:
                iio.imwrite(temporary, figures.outlined(plane, found.objects, OVERLAY_SIDE))
            where = {"image": path.name, "page": number}
            height, width = found.mask.shape
            images.append({**where, "overlay": shown, "height": height, "width": width, **found.quality})
            objects += [where | row for row in found.measurements.to_dict("records")]
    write_json(folder / ROWS / f"{name}.json", {"images": images, "objects": objects})


def smallest(objects):
    """Label image as uint16, or uint32 if there are more objects than uint16 can number."""
    return objects.astype(np.uint16 if objects.max(initial=0) <= FEW else np.uint32)


def finish(folder, names, settings, card, failed):
    """Write images.csv, measurements.csv and report.html of all images that are done."""
    rows = [read_json(folder / ROWS / f"{name}.json") for name in names if is_done(folder, name)]
    limits = LIMITS | card.get("quality_limits", {})
    objects = pd.DataFrame([row for part in rows for row in part["objects"]])
    images = pd.DataFrame([row | {"flags": "; ".join(flags(row, limits))} for part in rows for row in part["images"]])
    if len(images):
        images.insert(5, "density_per_megapixel", images["objects"] / (images["height"] * images["width"]) * 1e6)
    write_text(folder / "measurements.csv", objects.to_csv(index=False))
    write_text(folder / "images.csv", images.to_csv(index=False))
    write_text(folder / "report.html", report_page.page(folder, images, objects, settings, card, failed))
