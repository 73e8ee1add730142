"""Reading image files of any bit depth, and the checks on what they hold."""

import contextlib
import io
import logging.handlers
import threading
from pathlib import Path

import imagecodecs
import imageio.v3 as iio
import numpy as np
import PIL.Image
import tifffile
from scipy import ndimage

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
TIFF_SUFFIXES = (".tif", ".tiff")
COLOURS = ("RGB", "PALETTE", "YCBCR", "CIELAB", "ICCLAB", "ITULAB")  # what TIFF calls samples that are one picture
TRUNCATED = ("invalid page offset", "corrupted", "failed to reshape")  # of which tifffile only warns
PIL.Image.MAX_IMAGE_PIXELS = 2**30  # Pillow's own limit is smaller than mosaics are
# In TIFF's units of resolution, the inch and the centimetre, and in the names that ImageJ and OME have.
MICROMETRES = {2: 25_400.0, 3: 10_000.0, "cm": 1e4, "mm": 1e3, "micron": 1.0, "microns": 1.0, "um": 1.0,
               "\N{MICRO SIGN}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "\\u00B5m": 1.0, "micrometer": 1.0, "micrometre": 1.0,
               "nm": 1e-3}  # fmt: skip
SQUARE = 0.01  # by which height and width of a pixel may differ, as a share
COARSEST = 10.0  # µm per px; larger ones are the dots per inch of screens and printers, 72 to 2,400


def read_image(source, name=None):
    """Read PNG, TIFF, JPEG or BMP from a path or from bytes; (H, W) or (H, W, C), dtype as stored.

    Raises ValueError that names the file when it is unreadable, truncated, of another format, or a stack.
    """
    name = str(name or source)
    pages, axis = read_pages(source, name)
    if axis == "C" and pages.shape[-1] > 1:
        raise ValueError(f"{name}: holds {pages.shape[-1]} channels that are no colours; save the one to be used as a file.")
    if len(pages) > 1:
        raise ValueError(f"{name}: holds {len(pages)} pages; one image was expected. Save each page as a file of its own.")
    return pages[0, ..., 0] if pages.shape[-1] == 1 else pages[0]


def as_image(array, name):
    """What was read as (H, W) or (H, W, C) as a Sample takes it: (H, W, C), uint8, uint16 or float32, without alpha.

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


def read_stack(path):
    """Read a TIFF of gray pages: (pages, H, W), dtype as stored.

    Raises ValueError that names the file for one with colour, and for one that cannot be read.
    """
    pages, _ = read_pages(path, str(path), channels="S")
    if pages.shape[-1] > 1:
        raise ValueError(
            f"{path}: its pages have {pages.shape[-1]} channels (RGB by mistake?); expected gray ones. Convert it, in "
            "ImageJ by Image > Type > 8-bit."
        )
    return pages[..., 0]


def read_planes(path, channel=None):
    """The pages of an image file, to be looked at one by one: array (pages, H, W, C), dtype as stored.

    Pages are those of a multi-page TIFF, an ImageJ stack (all slices and times) or an OME-TIFF. ``channel``, from 1: keep
    this one only. Raises ValueError that names the file for a channel that is not there, for several channels that are
    not colours of one picture when none is chosen, and for a file that cannot be read.
    """
    pages, axis = read_pages(path, str(path))
    count = pages.shape[-1]
    if channel is not None and not 1 <= channel <= count:
        raise ValueError(f"{path}: has no channel {channel}; its channels are 1 to {count}.")
    if channel is None and axis == "C" and count > 1:
        raise ValueError(f"{path}: holds {count} channels; choose the one that shows the objects, with --channel 1 to {count}.")
    return pages if channel is None else pages[..., channel - 1 : channel]


def read_pages(source, name, channels="SC"):
    """Read every page of an image file: (pages, H, W, C), dtype as stored, and the axis that C is.

    Formats other than TIFF have one page of colours. The axis is "S" for colours of one picture, "C" for channels, None if
    C is 1 for want of one. ``channels``: the TIFF axes that become C; "S" reads the channels of an ImageJ stack as pages.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise ValueError(f"{name}: not an image this program reads ({', '.join(IMAGE_SUFFIXES)}).")
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        if suffix not in TIFF_SUFFIXES:
            image = _read_picture(stream)
            return image.reshape(1, *image.shape[:2], -1), "S"
        with _tifffile_warnings() as warnings, tifffile.TiffFile(stream, _multifile=False) as file:  # of a set, this file only
            series, arrays = file.series, [part.asarray() for part in file.series]
            axes, alike = _axes(series[0]), len({(part.axes, part.shape, part.dtype) for part in series}) == 1
            page = series[0].keyframe
            if not file.is_imagej:  # whose palettes and whites only say how values are to be shown
                arrays, axes = _as_photometric(arrays, axes, page)
        if broken := [text for text in warnings if any(sign in text for sign in TRUNCATED)]:
            raise ValueError(broken[0])
    except FileNotFoundError:
        raise
    except Exception as error:  # every decoder has its own exceptions; all mean the same to the user
        raise ValueError(f"{name}: unreadable or truncated image ({error}); fetch it again or remove it.") from error
    if not {"Y", "X"} <= set(axes) or 0 in arrays[0].shape:
        raise ValueError(f"{name}: holds an array of shape {arrays[0].shape}; expected an image with height and width.")
    if page.photometric.name in COLOURS[2:] and "JP" not in page.compression.name:  # of JPEG, tifffile makes RGB
        raise ValueError(f"{name}: its colours are {page.photometric.name}, which this program does not read; save it as RGB.")
    if not alike:
        raise ValueError(f"{name}: holds {len(series)} images of different sizes or kinds; save each as a file of its own.")
    if axes.count("S") + axes.count("C") > 1:
        raise ValueError(f"{name}: holds several channels that are each of several samples; save one of them as a file.")
    parts = [_to_pages(array, axes, channels) for array in arrays]  # one, or the positions of an OME-TIFF
    return np.concatenate([pages for pages, _ in parts]) if len(parts) > 1 else parts[0][0], parts[0][1]


def has_planar_colours(path):
    """Whether a TIFF says that three or four planes, one after the other, are one picture's colours: often they are slices."""
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return False
    with _tifffile_warnings(), tifffile.TiffFile(path, _multifile=False) as file:
        page, axes = file.series[0].keyframe, file.series[0].axes
        planar = page.photometric.name == "RGB" and page.planarconfig.name == "SEPARATE"
        return planar and page.samplesperpixel in (3, 4) and "S" in axes


@contextlib.contextmanager
def _tifffile_warnings():
    """Inside, what tifffile warns of in this thread is put into the list that is yielded, and not printed."""
    handler, logger, texts = logging.handlers.BufferingHandler(10**6), logging.getLogger("tifffile"), []
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
        texts += [record.getMessage() for record in handler.buffer if record.thread == threading.get_ident()]


def _axes(series):
    """The axes that tifffile names, with "S" only for colours of one picture, perhaps with alpha; other samples are "C"."""
    page = series.keyframe
    transparent = page.samplesperpixel == 2 and page.extrasamples[:1] in ((1,), (2,))
    return series.axes if page.photometric.name in COLOURS or transparent else series.axes.replace("S", "C")


def _as_photometric(arrays, axes, page):
    """Arrays of a TIFF, and their axes, with high values bright, and with colours for the indices of a palette."""
    if page.photometric.name == "MINISWHITE" and arrays[0].dtype.kind in "bu":
        return [~array for array in arrays], axes
    if page.photometric.name == "PALETTE":
        return [_with_palette(array, page.colormap) for array in arrays], axes + "S"
    return arrays, axes


def _with_palette(array, palette):
    """Indices (..., H, W) as the colours (..., H, W, 3), uint8, of a TIFF's palette (3, N); some have 8 bits, not 16."""
    colours = palette if palette.max() < 256 else palette >> 8
    return np.moveaxis(colours, 0, -1)[array].astype(np.uint8)


def _read_picture(stream):
    """A PNG, JPEG or BMP as stored, CMYK as RGB; Pillow would cut a PNG with several 16-bit samples to 8 bits."""
    content = stream.read() if hasattr(stream, "read") else Path(stream).read_bytes()
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06"):
        return imagecodecs.png_decode(content)
    try:
        with PIL.Image.open(io.BytesIO(content)) as picture:
            # MPO is a photograph whose other pictures are previews or how bright it is.
            frames, printed = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1), picture.mode == "CMYK"
    except PIL.UnidentifiedImageError:
        raise ValueError("not a picture of this format") from None
    if frames > 1:
        raise ValueError(f"an animation of {frames} pictures; expected one")
    return iio.imread(content, plugin="pillow", mode="RGB" if printed else None)


def _to_pages(array, axes, channels):
    """An array with the axes that tifffile names as (pages, H, W, C), and the axis that became C."""
    letter = next((letter for letter in channels if letter in axes), None)
    last = [axes.index(name) for name in ("Y", "X", letter) if name]
    array = np.moveaxis(array, last, range(-len(last), 0))  # whatever their order, as (S, Y, X) -> (Y, X, S)
    array = array if letter else array[..., None]
    return array.reshape(-1, *array.shape[-3:]), letter


def read_pixel_size(path):
    """Edge of a pixel in µm as a TIFF's OME metadata or resolution tags say; None where not, or if it is not square."""
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
    """The edge of a pixel, if it can be one: square, and of a microscope's image."""
    return across if 0 < across < COARSEST and abs(down - across) <= SQUARE * across else None


def binary_mask(values, name):
    """Read (H, W) values as foreground and background: bool.

    0/1 and 0/255 are both right (also as colour with equal channels). Raises ValueError naming the file for others.
    """
    values = _one_channel(values, name)
    if not _is_binary(values):
        found = ", ".join(str(value) for value in np.unique(values)[:6])
        raise ValueError(f"{name}: mask values {found}; a binary mask holds 0 and 1, or 0 and 255.")
    return values != 0


def object_numbers(values, name):
    """Read a mask (H, W) as numbers of objects: uint16, 0 is background.

    Whole numbers are taken as they are. Of 0 and 1, or 0 and 255, every connected part is an object, also where parts
    touch by a corner only. Raises ValueError naming the file for fractions, colours and more than 65,535 objects.
    """
    values = _one_channel(values, name)
    if values.dtype.kind not in "biu":
        raise ValueError(f"{name}: holds {values.dtype} values; a mask holds whole numbers, 0 for the background.")
    numbers = ndimage.label(values, np.ones((3, 3)))[0] if _is_binary(values) else values
    if numbers.min(initial=0) < 0 or numbers.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError(f"{name}: numbers from {numbers.min()} to {numbers.max()}; objects have numbers from 1 to 65535.")
    return numbers.astype(np.uint16)


def _one_channel(values, name):
    if values.ndim == 2:
        return values
    colours = values[..., : max(1, values.shape[2] - (values.shape[2] in (2, 4)))]
    if (colours != colours[..., :1]).any():
        raise ValueError(f"{name}: a coloured mask; expected one channel of 0 and 1, of 0 and 255, or of objects' numbers.")
    return colours[..., 0]


def _is_binary(values):
    highest = values.max(initial=0)
    return highest in (0, 1, 255) and not ((values != 0) & (values != highest)).any()
