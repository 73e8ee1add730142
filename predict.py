"""Segment images of your own with a trained network: masks, separate objects, measurements, a report. No training.

python predict.py my_images                                    every image of a folder, by the network for nuclei
python predict.py a.tif "plate1/*.png" -o results              files and patterns, into a folder of your choice
python predict.py my_images -o results --resume                go on after an interruption
python predict.py my_images --model runs/dsb/<run>/model.keras by a network that you trained
python predict.py slide.zarr --dask                            OME-Zarr larger than memory, by several processes
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

from inference import inputs, outputs
from readers.images import read_planes
from readers.tiff import has_planar_colours, read_pixel_size
from system.files import NotWrittenError, digest, release
from system.progress import progress

SETTINGS = ("channel", "pixel_size", "diameter", "tta", "invert", "probability", "engine")  # the same for a whole folder
SLICES = "Its planes were read as the colours of one picture; if they are slices, choose one with --channel."
SCAN = "Looked at block by block: not checked for contrast, focus, doubt and stability."
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
    finally:
        release()
    sys.exit(1 if failed else 0)


def predict(options):
    """Segment, measure and report; returns {file: reason} of those that could not be segmented."""
    folder, paths = Path(options.output), inputs.find_images(options.images)
    for parent, count in inputs.in_subfolders(options.images).items():
        print(f"Left out: {count} images in subfolders of {parent}; to take them too, give '{parent}/**/*' in quotation marks")

    from segmentation import check_diameter, open_network  # TensorFlow starts here: a mistake in a path answers at once

    options.model = str(Path(options.model).resolve())  # workers of a cluster may stand elsewhere
    network = open_network(options.model, options.engine)
    check_diameter(network, options.diameter)
    with connected(options.dask) as client:
        return predict_with(client, folder, paths, network, options)


@contextlib.contextmanager
def connected(address):
    """A client of a Dask cluster, or None without an address."""
    if address is None:
        yield None
        return
    from parallel import cluster

    with cluster.connect(address) as client:
        yield client


def predict_with(client, folder, paths, network, options):
    """Segment the images that are not done, and write what is said of all; returns {file: reason} of failures."""
    outputs.enter(folder)
    names = inputs.name_outputs(paths, outputs.known_images(folder))
    files = [Path(options.model), Path(options.model).with_suffix(".json")]
    settings = {name: getattr(options, name) for name in SETTINGS}
    settings["model"] = f"{files[0].name}, {digest(b''.join(file.read_bytes() for file in files))}"
    outputs.begin(folder, settings, names, options.resume)
    to_do = {name: path for name, path in names.items() if not outputs.is_done(folder, name, path)}
    print(f"{len(names)} images, {len(names) - len(to_do)} of them done before; results go to {folder}")
    failed = {}
    try:
        segment_all(folder, to_do, network, options, client, failed)
    finally:
        outputs.finish(folder, settings, network.card, failed)
    for reason in failed.values():
        print(f"Not segmented: {reason}", file=sys.stderr)
    print(f"Look at {folder / 'report.html'} first.")
    return failed


def segment_all(folder, to_do, network, options, client, failed):
    """Write the files of every image; {file: reason} of those that could not be segmented go into ``failed``."""
    started = time.perf_counter()
    finished = (on_cluster if client else one_by_one)(folder, to_do, network, options, client)
    for path, error in finished:
        if error:
            file, reason = outputs.as_text(path), outputs.as_text(str(error) or type(error).__name__)
            failed[file] = reason if file in reason else f"{file}: {reason}"
    seconds, segmented = time.perf_counter() - started, len(to_do) - len(failed)
    if segmented:
        print(f"{segmented} of {len(to_do)} images in {seconds:.1f} s, {segmented / seconds:.2f} images per second")


def one_by_one(folder, to_do, network, options, _client):
    """Segment the images in this process: yields (path, None, or why it could not be segmented)."""
    for name, path in progress(to_do.items(), "Segmenting", "image"):
        yield path, attempt(segment_file, folder, name, path, network, options)


def on_cluster(folder, to_do, network, options, client):
    """As ``one_by_one``, on the workers of a Dask cluster: image by image, and scans block by block."""
    from parallel import cluster

    scans = {name: path for name, path in to_do.items() if inputs.is_scan(path)}
    files = [(folder.resolve(), name, path.resolve(), options) for name, path in to_do.items() if name not in scans]
    for (_, name, _, _), error in cluster.run(client, segment_there, files, "Segmenting", "image"):
        yield to_do[name], error
    for name, path in scans.items():
        yield path, attempt(segment_large, folder, name, path, network, options, client)


def attempt(action, *given):
    """Do something with one file: None, or the exception. One odd file, whatever a decoder makes of it, stops no other."""
    try:
        action(*given)
    except NotWrittenError:
        raise  # a full disk would fail every other image, too
    except Exception as error:
        return error


def segment_there(folder, name, path, options):
    """``segment_file`` on a worker of a cluster, which opens the network itself."""
    from parallel import cluster

    segment_file(folder, name, path, cluster.open_once(options.model, options.engine), options)


def segment_file(folder, name, path, network, options):
    """Write the files of one image; raises ValueError that names it when it cannot be segmented."""
    if inputs.is_scan(path):
        raise ValueError(f"{path}: OME-Zarr is segmented block by block; add --dask.")
    outputs.forget(folder, name)
    before, planes = outputs.state(path), read_planes(path, options.channel)
    found = segment_pages(path, planes, network, options)
    outputs.write(folder, name, path, planes, found, before, options.probability)


def segment_large(folder, name, path, network, options, client):
    """Write the files of a scan, as ``segment_file``, block by block on the workers of a Dask cluster."""
    from parallel import scans

    if options.probability:
        raise ValueError(f"{path}: no probability is written of OME-Zarr; leave --probability out.")
    outputs.forget(folder, name)
    before = outputs.state(path)
    job = scans.Job(str(path.resolve()), options.channel, "", options.model, options.engine)
    job = scans.looked_at(job._replace(tta=options.tta, invert=options.invert), network, options.diameter)
    pieces = outputs.pieces_of(folder, name, [*before, job.scale, job.side, job.overlap, *job.limits]).resolve()
    job = job._replace(pieces=str(pieces))
    size = options.pixel_size or scans.open_scan(path, options.channel)[1]
    objects = scans.segment_scan(client, job, pieces / "objects.zarr", size)
    small, row = scans.overview(job, pieces / "objects.zarr", outputs.OVERLAY_SIDE)
    diameter = objects["equivalent_diameter"].median() if len(objects) else None
    usual = network.card["training_data"].get("object_diameter")
    known = {"objects": len(objects), "diameter": diameter, "scale": job.scale, "pixel_size": size, "explanation": SCAN}
    known["diameter_ratio"] = diameter * job.scale / usual["median"] if diameter and usual else None
    outputs.write_scan(folder, name, path, small, objects, row | known, before)


def segment_pages(path, planes, network, options):
    """The Segmentations of the pages (pages, H, W, C) of one file, one after the other: a generator."""
    from segmentation import explain_blank, segment

    shown = {"diameter": options.diameter, "invert": options.invert}
    try:
        size = options.pixel_size or read_pixel_size(path)
        note = SLICES if options.channel is None and has_planar_colours(path) else ""
        for plane in planes:
            found = segment(plane, network, pixel_size=size, tta=options.tta, **shown)
            reason = "" if found.quality["objects"] else explain_blank(plane, network, **shown)
            reason = " ".join(part for part in (reason, note) if part)
            yield found._replace(quality=found.quality | {"pixel_size": size, "explanation": reason})
    except Exception as error:  # also out of memory, which must not look like a full disk
        raise ValueError(f"{path}: {str(error) or type(error).__name__}") from error


def parse_command_line(arguments):
    """The options, checked."""
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description="Segment images with a trained network. For every image: <name>_mask.tif (0/255), <name>_objects.tif "
        "(numbers of the objects) and <name>_overlay.png; for all: measurements.csv (a row per object), images.csv (a row "
        "per image, with what to be wary of) and report.html. Inputs are never changed; a folder that holds results is only "
        "gone on with (--resume), which makes anew those of images that have changed.",
        epilog="Stacks are segmented page by page. In Python: from segmentation import segment.",
    )
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGES", help="image files, folders, or patterns in quotation marks")
    add("-o", "--output", default="predictions", metavar="FOLDER", help="where results go (default: %(default)s)")
    add("--model", default=str(MODEL), metavar="FILE", help="the network, with its model card (.json) beside it, as "
        "model.keras of a run of train_and_predict.py (default: the network for nuclei in weights/)")  # fmt: skip
    add("--channel", type=int, help="of an image with several channels the one that shows the objects, from 1")
    add("--invert", action="store_true", help="exchange dark and bright first")
    add("--diameter", type=_diameter, default="auto", metavar="PX", help="expected diameter of the objects in px, to scale the "
        "image by; auto: from a first look at its middle; none: no scaling (default: %(default)s)")  # fmt: skip
    add("--pixel-size", type=_positive, metavar="UM", help="µm per px (default: what TIFF files say)")
    add("--tta", type=int, default=2, choices=range(1, 9), metavar="N", help="turned and mirrored tta whose mean is "
        "taken, 1 to 8; each costs time for a little more precision, benchmarks/README.md (default: %(default)s)")  # fmt: skip
    add("--probability", action="store_true", help="also write <name>_probability.tif (float32, 0 to 1)")
    add("--engine", choices=("keras", "openvino"), default="keras", help="what computes the network; openvino, on CPUs, is a "
        "little faster (benchmarks/README.md) and needs requirements-exchange.txt (default: %(default)s)")  # fmt: skip
    add("--dask", nargs="?", const="local", metavar="ADDRESS", help="spread the work over the workers of a Dask cluster, or "
        "without an address over processes of this machine, as many as cores and memory allow, or a number of them; also reads "
        "OME-Zarr, which may be larger than memory")  # fmt: skip
    add("--resume", action="store_true", help="go on in a folder that holds results of the same command")
    return parser.parse_args(arguments)


def _positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _diameter(text):
    return {"auto": "auto", "none": None}[text] if text in ("auto", "none") else _positive(text)


if __name__ == "__main__":
    main()
