"""Read image files of any bit depth as arrays: PNG, TIFF, JPEG and BMP, single images and stacks."""

import io
from pathlib import Path

import imagecodecs
import imageio.v3 as iio
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from readers.tiff import TIFF_SUFFIXES, check_series, read_series

IMAGE_SUFFIXES = (".png", *TIFF_SUFFIXES, ".jpg", ".jpeg", ".bmp")
PIL.Image.MAX_IMAGE_PIXELS = 2**30  # mosaics are larger than Pillow's own limit


def read_image(source: str | Path | bytes, name: str | None = None) -> NDArray:
    """Read one image from a path or from a file's bytes: (H, W) or (H, W, C), dtype as stored.

    Raises ValueError that names the file if it is unreadable, truncated, of another format, or a stack.
    """
    name = str(name or source)
    pages, axis = read_pages(source, name)
    if axis == "C" and pages.shape[-1] > 1:
        raise ValueError(f"{name}: holds {pages.shape[-1]} channels that are not colours; save one channel as a separate file.")
    if len(pages) > 1:
        raise ValueError(f"{name}: holds {len(pages)} pages; expected one image. Save each page as a separate file.")
    return pages[0, ..., 0] if pages.shape[-1] == 1 else pages[0]


def as_image(array: NDArray, name: str) -> NDArray:
    """Convert an array (H, W) or (H, W, C) to the image of a Sample: (H, W, C), uint8, uint16 or float32, without alpha.

    One bit per pixel becomes 0/255; other integers become float32. Raises ValueError for values that are not numbers.
    """
    array = array[..., None] if array.ndim == 2 else array
    array = array[..., :-1] if array.shape[2] in (2, 4) else array
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype not in (np.uint8, np.uint16, np.float32):
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{name}: holds {array.dtype} values, expected whole numbers or fractions.")
        array = array.astype(np.float32)
    return np.ascontiguousarray(array)


def read_stack(path: str | Path) -> NDArray:
    """Read a TIFF of gray pages: (pages, H, W), dtype as stored.

    Raises ValueError that names the file if its pages are coloured or it cannot be read.
    """
    pages, _ = read_pages(path, str(path), channels="S")
    if pages.shape[-1] > 1:
        raise ValueError(
            f"{path}: its pages have {pages.shape[-1]} channels (RGB by mistake?); expected gray ones. Convert the file, "
            "for example with ImageJ: Image > Type > 8-bit."
        )
    return pages[..., 0]


def describe_channels(count: int) -> str:
    """Return a text on the channels of an image: "its channels are 1 to 3"."""
    return f"its channels are 1 to {count}" if count > 1 else "it has only one; leave --channel out"


def read_planes(path: str | Path, channel: int | None = None) -> NDArray:
    """Read all pages of an image file: (pages, H, W, C), dtype as stored.

    A multi-page TIFF, an ImageJ stack (all slices and times) or an OME-TIFF has several pages. ``channel``, from 1: keep only
    this one. Raises ValueError that names the file if it lacks this channel, if it has several channels that are not colours
    and none is chosen, or if it cannot be read.
    """
    pages, axis = read_pages(path, str(path))
    count = pages.shape[-1]
    if channel is not None and not 1 <= channel <= count:
        raise ValueError(f"{path}: has no channel {channel}; {describe_channels(count)}.")
    if channel is None and axis == "C" and count > 1:
        raise ValueError(f"{path}: holds {count} channels; choose the one that shows the objects, with --channel 1 to {count}.")
    return pages if channel is None else pages[..., channel - 1 : channel]


def read_pages(source: str | Path | bytes, name: str, channels: str = "SC") -> tuple[NDArray, str | None]:
    """Read all pages of an image file. Return (pages (pages, H, W, C), meaning of C).

    C means colours ("S"), other channels ("C") or a single channel (None). Formats other than TIFF have one page of colours.
    ``channels``: the TIFF axes that become C; "S" reads the channels of an ImageJ stack as pages. Raises ValueError that names
    the file if it cannot be read.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{name}: not an image this program reads ({', '.join(IMAGE_SUFFIXES)}).")
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if suffix not in TIFF_SUFFIXES:
            image = _read_picture(stream)
            return image.reshape(1, *image.shape[:2], -1), "S"
        series = read_series(stream)
    except FileNotFoundError:
        raise
    except Exception as error:  # every decoder has its own exceptions; all mean the same to the user
        raise ValueError(f"{name}: unreadable or truncated image ({error}); fetch it again or remove it.") from error
    check_series(series, name)
    parts = [_to_pages(array, series.axes, channels) for array in series.arrays]
    return np.concatenate([pages for pages, _ in parts]) if len(parts) > 1 else parts[0][0], parts[0][1]


def _read_picture(stream):
    """Read a PNG, JPEG or BMP as stored, but CMYK as RGB. Pillow would reduce colour PNGs with 16 bits to 8 bits."""
    content = stream.read() if hasattr(stream, "read") else Path(stream).read_bytes()
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06"):
        return imagecodecs.png_decode(content)
    try:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            # The other pictures of an MPO file are previews or depth maps of the same photograph.
            frames, printed = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1), picture.mode == "CMYK"
    except PIL.UnidentifiedImageError:
        raise ValueError("not a picture of this format") from None
    if frames > 1:
        raise ValueError(f"an animation of {frames} pictures; expected one")
    return iio.imread(content, plugin="pillow", mode="RGB" if printed else None)


def _to_pages(array, axes, channels):
    """Return an array with tifffile's axes as (pages, H, W, C), and the axis that became C."""
    letter = next((letter for letter in channels if letter in axes), None)
    last = [axes.index(name) for name in ("Y", "X", letter) if name]
    array = np.moveaxis(array, last, range(-len(last), 0))  # whatever their order, such as (S, Y, X) -> (Y, X, S)
    array = array if letter else array[..., None]
    return array.reshape(-1, *array.shape[-3:]), letter
