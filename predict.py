"""Segment images of your own with a trained network: masks, separate objects, measurements, a report. No training.

python predict.py my_images                                    every image of a folder
python predict.py a.tif "plate1/*.png" -o results              files and patterns, into a folder of your choice
python predict.py my_images --model runs/dsb/<run>/model.keras with a network that you trained
python predict.py my_images -o results --resume                go on after an interruption
"""

import argparse
import glob
import sys
import time
from pathlib import Path

from tqdm import tqdm

import outputs
from images import IMAGE_SUFFIXES, read_pixel_size, read_planes

MODEL = Path(__file__).parent / "weights" / "nuclei.keras"


def main(arguments=None):
    """Segment all that the command line names; the exit code is 1 when a file could not be segmented."""
    options = parse_command_line(arguments)
    try:
        failed = predict(options)
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. --resume goes on after the last finished image.", file=sys.stderr)
        sys.exit(130)
    sys.exit(1 if failed else 0)


def predict(options):
    """Segment, measure and report; returns {file: reason} of those that could not be segmented."""
    found = find_images(options.images)
    folder = Path(options.output)
    settings = {name: getattr(options, name) for name in ("model", "channel", "pixel_size", "diameter", "views", "invert")}
    outputs.begin(folder, settings, found, options.resume)
    to_do = {name: path for name, path in found.items() if not outputs.is_done(folder, name)}
    print(f"{len(found)} images, {len(found) - len(to_do)} of them done before; results go to {folder}")

    from segmentation import open_network  # TensorFlow starts here: --help and a mistake in a path answer at once

    network, failed, started = open_network(options.model), {}, time.perf_counter()
    for name, path in tqdm(to_do.items(), desc="Segmenting", unit="image", disable=None):
        try:
            planes = read_planes(path, options.channel)
            outputs.write(folder, name, path, planes, segment_pages(path, planes, network, options), options.probability)
        except (ValueError, OSError, MemoryError) as error:
            failed[str(path)] = str(error)
    seconds = time.perf_counter() - started
    outputs.finish(folder, list(found), settings, network.card, failed)
    segmented = len(to_do) - len(failed)
    if segmented:
        print(f"{segmented} images in {seconds:.1f} s, {segmented / seconds:.2f} images per second")
    for reason in failed.values():
        print(f"Not segmented: {reason}", file=sys.stderr)
    print(f"Look at {folder / 'report.html'} first.")
    return failed


def segment_pages(path, planes, network, options):
    """The Segmentations of the pages (pages, H, W, C) of one file, one after the other: a generator."""
    from segmentation import explain_blank, inverted, segment

    size = options.pixel_size or read_pixel_size(path)
    for plane in planes:
        shown = inverted(plane) if options.invert else plane
        try:
            found = segment(shown, network, pixel_size=size, diameter=options.diameter, views=options.views)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        reason = "" if found.quality["objects"] else explain_blank(shown, network)
        yield found._replace(quality=found.quality | {"pixel_size": size, "explanation": reason})


def find_images(patterns):
    """The image files that paths, folders and patterns name: {name of their outputs: path}, in their order.

    Folders are read without their subfolders, and what is no image in them is left out. Files whose names differ by the
    suffix or the folder only keep the suffix, and then the folder, in the name of their outputs. Raises ValueError for a
    path that is not there or is no image, and when there is none at all.
    """
    paths = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            paths += sorted(file for file in path.iterdir() if is_image(file))
        elif path.is_file():
            if not is_image(path):
                raise ValueError(f"{path}: not an image this program reads ({', '.join(IMAGE_SUFFIXES)}).")
            paths.append(path)
        else:
            matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
            if not matches:
                raise ValueError(f"{pattern}: no such file or folder, and no file of this pattern.")
            paths += [match for match in matches if match.is_file() and is_image(match)]
    paths = list(dict.fromkeys(paths))
    if not paths:
        raise ValueError(f"{', '.join(patterns)}: no image here; this program reads {', '.join(IMAGE_SUFFIXES)}.")
    for name_of in (short_name, full_name, long_name):
        names = [name_of(path) for path in paths]
        if len(set(map(str.lower, names))) == len(names):
            break
    return dict(zip(names, paths, strict=True))


def is_image(path):
    """Whether a file is one that this program reads, by its suffix; hidden files are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def short_name(path):
    """a.ome.tif -> a"""
    stem = path.stem
    return stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem


def full_name(path):
    """a.ome.tif -> a_ome_tif"""
    return path.name.replace(".", "_")


def long_name(path):
    """plate/a.ome.tif -> plate_a_ome_tif"""
    return "_".join([*(part for part in path.parts[:-1] if part not in ("/", ".", "..")), full_name(path)])


def parse_command_line(arguments):
    """The options, checked."""
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description="Segment images with a trained network. For every image: <name>_mask.tif (0/255), <name>_objects.tif "
        "(numbers of the objects) and <name>_overlay.png; for all: measurements.csv (a row per object), images.csv (a row "
        "per image, with what to be wary of) and report.html. Inputs are never changed, earlier results never overwritten.",
        epilog="Stacks are segmented page by page. In Python: from segmentation import segment.",
    )
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGES", help="image files, folders, or patterns in quotation marks")
    add("-o", "--output", default="predictions", metavar="FOLDER", help="where results go (default: %(default)s)")
    add("--model", default=str(MODEL), help="the network, a .keras file with its model card (.json) beside it "
        "(default: the nuclei network of this repository)")  # fmt: skip
    add("--channel", type=int, help="of an image with several channels the one that shows the objects, from 1")
    add("--invert", action="store_true", help="exchange dark and bright first")
    add("--diameter", type=_diameter, metavar="PX", help="expected diameter of the objects in px, to scale the image by; "
        "auto: from a first segmentation (default: no scaling)")  # fmt: skip
    add("--pixel-size", type=_positive, metavar="UM", help="µm per px (default: what TIFF files say)")
    add("--views", type=int, default=2, choices=range(1, 9), metavar="N", help="turned and mirrored views whose mean is "
        "taken, 1 to 8; each costs time (default: %(default)s)")  # fmt: skip
    add("--probability", action="store_true", help="also write <name>_probability.tif (float32, 0 to 1)")
    add("--resume", action="store_true", help="go on in a folder that holds results of the same command")
    return parser.parse_args(arguments)


def _positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _diameter(text):
    return text if text == "auto" else _positive(text)


if __name__ == "__main__":
    main()
