"""Read TIFF files: their pages, the meaning of their axes and their pixel size. List the TIFF files of a folder."""

import contextlib
import logging.handlers
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff")
COLOURS = ("RGB", "PALETTE", "YCBCR", "CIELAB", "ICCLAB", "ITULAB")  # photometric types whose samples are colours
NOT_READ = COLOURS[2:]  # readable only with JPEG compression, because tifffile then converts them to RGB
TRUNCATED = ("invalid page offset", "corrupted", "failed to reshape")  # tifffile only warns of these
# Micrometres in each unit: TIFF's codes for inch and centimetre, and the names of units in ImageJ and OME.
MICROMETRES = {2: 25_400.0, 3: 10_000.0, "cm": 1e4, "mm": 1e3, "micron": 1.0, "microns": 1.0, "um": 1.0,
               "\N{MICRO SIGN}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "\\u00B5m": 1.0, "micrometer": 1.0, "micrometre": 1.0,
               "nm": 1e-3}  # fmt: skip
SQUARE = 0.01  # height and width of a pixel may differ by this share
COARSEST = 10.0  # µm per px; larger values come from the resolution of screens and printers, 72 to 2,400 dots per inch


class Series(NamedTuple):
    """The images of a TIFF file, as stored: usually one; an OME-TIFF with several positions has several.

    ``arrays``: their pixels. ``axes``: one letter per axis of the first array, "S" for colours, "C" for other channels.
    ``alike``: whether all images have the same axes, shape and dtype. ``unreadable``: the name of the colour space if this
    program cannot read it, else None.
    """

    arrays: list
    axes: str
    alike: bool
    unreadable: str | None


def list_tiffs(folder: str | Path) -> list[Path]:
    """Return the TIFF files of a folder in the order of their names, without hidden files. The suffix may be in capitals."""
    if not Path(folder).is_dir():
        return []
    paths = sorted(Path(folder).iterdir())
    return [p for p in paths if p.suffix.lower() in TIFF_SUFFIXES and not p.name.startswith(".") and p.is_file()]


def read_series(stream: Any) -> Series:
    """Read all images of a TIFF file (a path or an open file). Raises tifffile's errors, and OSError for a truncated file."""
    with _tifffile_warnings() as warnings, tifffile.TiffFile(stream, _multifile=False) as file:  # only this file of a set
        series, arrays = file.series, [part.asarray() for part in file.series]
        axes, alike = _axes(series[0]), len({(part.axes, part.shape, part.dtype) for part in series}) == 1
        page = series[0].keyframe
        if not file.is_imagej:  # in ImageJ, palettes and inverted grays only say how to show the values
            arrays, axes = _as_photometric(arrays, axes, page)
    if broken := [text for text in warnings if any(sign in text for sign in TRUNCATED)]:
        raise OSError(broken[0])
    colours = page.photometric.name
    return Series(arrays, axes, alike, colours if colours in NOT_READ and "JP" not in page.compression.name else None)


def check_series(series: Series, name: str) -> None:
    """Raise ValueError that names the file if its images cannot become pages with one height, width and channel axis."""
    shape = series.arrays[0].shape
    if not {"Y", "X"} <= set(series.axes) or 0 in shape:
        raise ValueError(f"{name}: holds an array of shape {shape}; expected an image with height and width.")
    if series.unreadable:
        raise ValueError(f"{name}: its colours are {series.unreadable}, which this program does not read; save it as RGB.")
    if not series.alike:
        count = len(series.arrays)
        raise ValueError(f"{name}: holds {count} images of different sizes or kinds; save each one as a separate file.")
    if series.axes.count("S") + series.axes.count("C") > 1:
        raise ValueError(f"{name}: holds several channels, each with several samples per pixel; save one of them as a file.")


def has_planar_colours(path: str | Path) -> bool:
    """Return whether a TIFF stores three or four planes as the colours of one picture; often these planes are slices."""
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return False
    with _tifffile_warnings(), tifffile.TiffFile(path, _multifile=False) as file:
        page, axes = file.series[0].keyframe, file.series[0].axes
        planar = page.photometric.name == "RGB" and page.planarconfig.name == "SEPARATE"
        return planar and page.samplesperpixel in (3, 4) and "S" in axes


def read_pixel_size(path: str | Path) -> float | None:
    """Read the edge of a pixel (µm) from a TIFF's OME metadata or resolution tags.

    Return None if the file does not state it, if pixels are not square, or if the file is no TIFF.
    """
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return None
    with tifffile.TiffFile(path) as file:
        if file.ome_metadata:
            return _ome_pixel_size(file.ome_metadata)
        tags = file.pages[0].tags
        unit = (file.imagej_metadata or {}).get("unit") or (tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 1)
        if unit not in MICROMETRES or "XResolution" not in tags:
            return None
        across = tags["XResolution"].value
        down = tags["YResolution"].value if "YResolution" in tags else across
    across, down = (part if isinstance(part, tuple) else (part, 1) for part in (across, down))  # a fraction, or a number
    return _usable(*(MICROMETRES[unit] * per / pixels if pixels else 0 for pixels, per in (across, down)))


@contextlib.contextmanager
def _tifffile_warnings() -> Iterator[list[str]]:
    """Collect the warnings of tifffile in this thread in the list that is yielded, instead of printing them."""
    handler, logger, texts = logging.handlers.BufferingHandler(10**6), logging.getLogger("tifffile"), []
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
        texts += [record.getMessage() for record in handler.buffer if record.thread == threading.get_ident()]


def _axes(series):
    """Return tifffile's axes, with "S" only for the colours of one picture (perhaps with alpha), and "C" for other samples."""
    page = series.keyframe
    transparent = page.samplesperpixel == 2 and page.extrasamples[:1] in ((1,), (2,))
    return series.axes if page.photometric.name in COLOURS or transparent else series.axes.replace("S", "C")


def _as_photometric(arrays, axes, page):
    """Return arrays and axes of a TIFF in which high values are bright, and colours replace the indices of a palette."""
    if page.photometric.name == "MINISWHITE" and arrays[0].dtype.kind in "bu":
        return [~array for array in arrays], axes
    if page.photometric.name == "PALETTE":
        return [_with_palette(array, page.colormap) for array in arrays], axes + "S"
    return arrays, axes


def _with_palette(indices: NDArray, palette: NDArray) -> NDArray[np.uint8]:
    """Return the colours (..., H, W, 3) of indices (..., H, W) in a TIFF's palette (3, N), which has 16 bits, or only 8."""
    colours = palette if palette.max() < 256 else palette >> 8
    return np.moveaxis(colours, 0, -1)[indices].astype(np.uint8)


def _ome_pixel_size(text):
    try:
        pixels = tifffile.xml2dict(text)["OME"]["Image"]
        pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
        sizes = {axis: float(pixels[f"PhysicalSize{axis}"]) for axis in "XY" if f"PhysicalSize{axis}" in pixels}
        units = {axis: MICROMETRES[pixels.get(f"PhysicalSize{axis}Unit", "um")] for axis in sizes}
        across = sizes["X"] * units["X"]
        return _usable(across, sizes["Y"] * units["Y"] if "Y" in sizes else across)
    except (KeyError, TypeError, ValueError, SyntaxError):  # not stated, or not in a way that this program reads
        return None


def _usable(across, down):
    """Return the edge of a pixel if the pixel is square and small enough for a microscope, else None."""
    return across if 0 < across < COARSEST and abs(down - across) <= SQUARE * across else None
