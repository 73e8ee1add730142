"""Read data sets of the Cell Tracking Challenge: sequences of frames, with gold and silver labels.

A folder holds ``01/t000.tif`` (one file per frame), ``01_GT/SEG/man_seg000.tif`` (gold: drawn by hand, for some frames)
and ``01_ST/SEG/man_seg000.tif`` (silver: computed by combining the results of the best programs), and the same for ``02``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from data import Sample
from readers.images import as_image, read_image
from readers.labels import read_objects
from readers.tiff import list_tiffs, read_pixel_size
from system.progress import progress

PUBLISHED = ("DIC-C2DH-HeLa", "PhC-C2DH-U373")
LICENCE = "Cell Tracking Challenge: research, cite Ulman et al. 2017"
FRAME, LABEL = re.compile(r"t(\d+)", re.IGNORECASE), re.compile(r"man_seg(\d+)", re.IGNORECASE)  # names without suffix
GOLD, SILVER = 1, 2  # strata of the samples
LABELS = {GOLD: "gold", SILVER: "silver"}
FOLDERS = {GOLD: "GT", SILVER: "ST"}


def is_dataset(folder: Path) -> bool:
    """Return whether a folder holds a data set in this layout."""
    return (folder / "01").is_dir() or (folder / "02").is_dir()


def datasets(folder: Path) -> list[Path]:
    """Return the data sets in this layout that lie in a folder, or the folder itself if it is a data set."""
    if is_dataset(folder):
        return [folder]
    return [path for path in sorted(folder.glob("*")) if path.is_dir() and is_dataset(path)]


def load(folder: Path, classes: int = 2) -> list[Sample]:
    """Read all labelled frames in the order of time. A frame with both gold and silver labels becomes two samples.

    ``name`` is "01_t000_gold", ``image`` (H, W, C) as read, ``mask`` (H, W) the numbers of the cells, ``stratum`` ``GOLD``
    or ``SILVER``, ``group`` the number of the sequence, ``pixel_size`` (µm) the value in the file. Raises ValueError that names
    the file for a label without its frame, and for three-dimensional data.
    """
    files = [
        (sequence, frame, kind, path)
        for sequence in sorted(path for path in folder.glob("[0-9][0-9]") if path.is_dir())
        for kind in FOLDERS
        for frame, path in _numbered(folder / f"{sequence.name}_{FOLDERS[kind]}" / "SEG", LABEL).items()
    ]
    if not files:
        raise ValueError(f"{folder}: holds no labels; expected 01_GT/SEG/man_seg*.tif or 01_ST/SEG/man_seg*.tif beside 01.")
    files.sort(key=lambda entry: (entry[0].name, entry[1], entry[2]))
    return [_read(*entry, classes) for entry in progress(files, "Reading frames", "frame")]


def place(sample: Sample) -> tuple[str, int]:
    """Return the sequence and the number of the frame of a sample of ``load``."""
    sequence, frame, _ = sample.name.split("_")
    return sequence, int(frame[1:])


def select_labels(samples: Sequence[Sample], labels: str) -> list[Sample]:
    """Return the samples with "gold" or "silver" labels, or with "both": every frame once, with gold labels if it has any."""
    if labels == "both":
        return list({place(sample): sample for sample in sorted(samples, key=lambda s: (place(s), -s.stratum))}.values())
    chosen = [sample for sample in samples if sample.stratum == (GOLD if labels == "gold" else SILVER)]
    if not chosen:
        raise ValueError(f"--labels {labels}: the data set has no such labels; leave the option out to use those it has.")
    return chosen


def _numbered(folder, pattern):
    """Return {number: path} of the TIFFs in a folder."""
    found = {}
    for path in list_tiffs(folder):
        match = pattern.fullmatch(path.stem)
        if not match:
            raise ValueError(f"{path}: its name is not like t000.tif or man_seg000.tif; three-dimensional data are not read.")
        number = int(match.group(1))
        if number in found:
            raise ValueError(f"{path}: has the same number, {number}, as {found[number].name}; remove one of the two.")
        found[number] = path
    return found


def _read(sequence, frame, kind, label_path, classes):
    frames = _numbered(sequence, FRAME)
    if frame not in frames:
        raise ValueError(f"{label_path}: label without image; expected frame {frame} in {sequence}.")
    path = frames[frame]
    image = read_image(path)
    mask, object_classes = read_objects(read_image(label_path), classes, str(label_path))
    if mask.shape != image.shape[:2]:
        raise ValueError(f"{label_path}: the labels are {mask.shape} px, their image {image.shape[:2]} px; they must be equal.")
    return Sample(
        f"{sequence.name}_{path.stem.lower()}_{LABELS[kind]}",
        as_image(image, str(path)),
        mask,
        object_classes=object_classes,
        group=int(sequence.name),
        stratum=kind,
        pixel_size=read_pixel_size(path),
    )
