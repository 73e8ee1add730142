"""The command line of ``predict.py``: its options, the help, and checks of single values."""

import argparse
import re
from pathlib import Path

from system.paths import SHIPPED

MOST_TTA = 8  # ways to turn and mirror an image
DESCRIPTION = (
    "Segment images with a trained network. For each image it writes <name>_mask.tif (0/255), <name>_objects.tif (object "
    "numbers), <name>_overlay.png and, for a network with several classes, <name>_classes.tif. For all images together it "
    "writes measurements.csv (a row per object), images.csv (a row per image, with its flags) and report.html. Stacks are "
    "segmented page by page. Inputs are never changed."
)


def parse_command_line(arguments=None):
    """Read and check the options. A mistake ends the program with a message of one sentence, as in argparse."""
    parser = argparse.ArgumentParser(
        prog="predict.py", description=DESCRIPTION, epilog="In Python: from segmentation import segment.", allow_abbrev=False
    )
    _add_data(parser.add_argument_group("data").add_argument)
    _add_network(parser.add_argument_group("network").add_argument)
    _add_prediction(parser.add_argument_group("prediction").add_argument)
    _add_machine(parser.add_argument_group("machine").add_argument)
    return parser.parse_args(arguments)


def _add_data(add):
    add("images", nargs="+", metavar="IMAGES", help="image files, folders, or patterns in quotation marks")
    add("-o", "--output", default="predictions", metavar="FOLDER", help="folder for the results (default: %(default)s)")
    add("--resume", action="store_true", help="continue in a folder that holds results of the same command; images that have "
        "changed are segmented again (default: off)")  # fmt: skip
    add("--channel", type=_channel, metavar="N", help="the channel that shows the objects, counted from 1 (default: colours "
        "become gray; other images with several channels need this option)")  # fmt: skip
    add("--pixel-size", type=_pixel_size, metavar="UM", help="edge of a pixel in µm (default: read from TIFF and OME-Zarr)")


def _add_network(add):
    names = ", ".join(SHIPPED)
    add("--model", type=_model, default="nuclei", metavar="FILE", help="the network: model.keras of a run of "
        f"train_and_predict.py, with model.json beside it, or a name: {names} (default: %(default)s)")  # fmt: skip
    add("--engine", choices=("keras", "openvino"), default="keras", help="software that computes the network; openvino is a "
        "little faster on CPUs (benchmarks/README.md) and needs requirements-exchange.txt (default: %(default)s)")  # fmt: skip


def _add_prediction(add):
    add("--diameter", type=_diameter, default="auto", metavar="PX", help="diameter of the objects in px; the image is scaled "
        "so that they are as large as in the training. auto: estimate it in the middle of the image; none: do not scale "
        "(default: %(default)s)")  # fmt: skip
    add("--invert", action="store_true", help="exchange dark and bright before the network sees the image (default: off)")
    add("--tta", type=_tta, default=2, metavar="N", help="test-time augmentation: number of turned and mirrored copies of an "
        f"image, 1 to {MOST_TTA}, whose predictions are averaged; each takes time (default: %(default)s)")  # fmt: skip
    add("--probability", action="store_true", help="also write <name>_probability.tif (float32, 0 to 1) (default: off)")


def _add_machine(add):
    add("--dask", nargs="?", type=_dask, const="local", metavar="ADDRESS", help="spread the work over a Dask cluster: a number "
        "of processes on this machine, or the address of a scheduler; without a value, as many processes as cores and memory "
        "allow. Also reads OME-Zarr, which may be larger than memory (default: one process)")  # fmt: skip


def _model(text):
    """Return the absolute path of a network, because workers may run in other folders."""
    return str(Path(SHIPPED.get(text, text)).resolve())


def _number(text, expected):
    """Return a number above 0; ``expected`` ends the message for other texts."""
    try:
        value = float(text)
    except ValueError:
        decimals = re.fullmatch(r"\s*\d+,\d+\s*", text)
        hint = f"decimals have a point: {text.strip().replace(',', '.')}" if decimals else f"expected {expected}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; {hint}") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and finite; expected {expected}")
    return value


def _whole(text, expected, least=1, most=None):
    """Return a whole number within limits; ``expected`` ends the message for other texts."""
    if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; expected {expected}")
    if int(text) < least or (most is not None and int(text) > most):
        raise argparse.ArgumentTypeError(f"{text!r} is out of range; expected {expected}")
    return int(text)


def _diameter(text):
    known = {"auto": "auto", "none": None}
    return known[text.lower()] if text.lower() in known else _number(text, "a number of px such as 25, auto or none")


def _pixel_size(text):
    return _number(text, "µm per px, for example 0.65")


def _channel(text):
    return _whole(text, "the number of a channel; the first one is 1")


def _tta(text):
    return _whole(text, f"a whole number from 1 to {MOST_TTA}, the number of turned and mirrored copies", most=MOST_TTA)


def _dask(text):
    """Return "local", a number of processes, or the address of a scheduler, as text."""
    expected = "a number of processes, or the address of a scheduler such as tcp://10.0.0.1:8786"
    if text == "local":
        return text
    if re.fullmatch(r"[+-]?\d+", text):
        return str(_whole(text, expected))
    if not re.fullmatch(r"(\w+://)?[^\s/:]+:\d+|\w+://\S+|\[[0-9a-fA-F:]+\]:\d+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address; expected {expected}. If it is an image or a folder, put it before --dask"
        )
    return text
