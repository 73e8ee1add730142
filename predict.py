"""Segment your own images with a trained network: masks, separate objects, measurements and a report.

python predict.py my_images                                     all images of a folder, with the network for nuclei
python predict.py a.tif "plate1/*.png" -o results               files and patterns, results in a folder of your choice
python predict.py my_images -o results --resume                 continue after an interruption
python predict.py my_images --model runs/dsb/<run>/model.keras  use a network that you trained
python predict.py slide.zarr --dask                             OME-Zarr larger than memory, in several processes
"""

import contextlib
import sys
import time
from pathlib import Path

from inference import inputs, outputs
from inference.command_line import parse_command_line
from readers.images import read_planes
from readers.tiff import has_planar_colours, read_pixel_size
from system.files import NotWrittenError, digest, release
from system.progress import progress

SETTINGS = ("channel", "pixel_size", "diameter", "tta", "invert", "probability", "engine")  # equal in a folder of results
SLICES = "Its planes were read as the colours of one picture. If they are slices, choose one with --channel."
SCAN = "Segmented block by block: contrast, focus, doubt and stability were not checked."
EXAMINED = 3  # at most so many images without objects are examined again, in one folder of results


def main(arguments=None):
    """Segment all images that the command line names. Exit with code 1 if a file could not be segmented."""
    options = parse_command_line(arguments)
    try:
        failed = predict(options)
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. Add --resume to continue after the last finished image.", file=sys.stderr)
        sys.exit(130)
    finally:
        release()
    sys.exit(1 if failed else 0)


def predict(options):
    """Segment and measure images, and write a report. Return {file: reason} for the files that could not be segmented."""
    folder, paths = Path(options.output), inputs.find_images(options.images)
    for parent, count in inputs.in_subfolders(options.images).items():
        print(f"Left out: {count} images in subfolders of {parent}; to include them, give '{parent}/**/*' in quotation marks")

    from segmentation import check_diameter, open_network  # TensorFlow starts here: a mistake in a path answers at once

    network = open_network(options.model, options.engine)
    check_diameter(network, options.diameter)
    with connected(options.dask) as client:
        return predict_with(client, folder, paths, network, options)


@contextlib.contextmanager
def connected(address):
    """Yield a client of a Dask cluster, or None without an address."""
    if address is None:
        yield None
        return
    from parallel import cluster

    with cluster.connect(address) as client:
        yield client


def predict_with(client, folder, paths, network, options):
    """Segment all images that are not done yet, and write tables and report. Return {file: reason} for the failures."""
    outputs.enter(folder)
    names = inputs.name_outputs(paths, outputs.known_images(folder))
    files = [Path(options.model), Path(options.model).with_suffix(".json")]
    settings = {name: getattr(options, name) for name in SETTINGS}
    settings["model"] = f"{files[0].name}, {digest(b''.join(file.read_bytes() for file in files))}"
    outputs.begin(folder, settings, names, options.resume)
    to_do = {name: path for name, path in names.items() if not outputs.is_done(folder, name, path)}
    print(f"Images: {len(names)}, done before: {len(names) - len(to_do)}. Results: {folder}")
    failed = {}
    try:
        segment_all(folder, to_do, network, options, client, failed)
        explain_blanks(folder, network, options)
    finally:
        flagged = outputs.finish(folder, settings, network.card, failed)
    for reason in failed.values():
        print(f"Not segmented: {reason}", file=sys.stderr)
    unchecked = " Stability was not checked, because --tta is 1." if options.tta == 1 else ""
    print(f"{flagged}{unchecked} Look at {folder / 'report.html'} first.")
    return failed


def segment_all(folder, to_do, network, options, client, failed):
    """Segment each image and write its files. Add {file: reason} to ``failed`` for each one that cannot be segmented."""
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
    """Segment the images in this process. Yield (path, None or the exception)."""
    for name, path in progress(to_do.items(), "Segmenting", "image"):
        yield path, attempt(segment_file, folder, name, path, network, options)


def on_cluster(folder, to_do, network, options, client):
    """Segment images one by one, and scans block by block, on a Dask cluster. Yield the same as ``one_by_one``."""
    from parallel import cluster

    scans = {name: path for name, path in to_do.items() if inputs.is_scan(path)}
    files = [(folder.resolve(), name, path.resolve(), options) for name, path in to_do.items() if name not in scans]
    for (_, name, _, _), error in cluster.run(client, segment_there, files, "Segmenting", "image"):
        yield to_do[name], error
    for name, path in scans.items():
        yield path, attempt(segment_large, folder, name, path, network, options, client)


def attempt(action, *given):
    """Process one file. Return None or the exception, so that one broken file does not stop the others."""
    try:
        action(*given)
    except NotWrittenError:
        raise  # a full disk would stop all other images, too
    except Exception as error:
        return error


def segment_there(folder, name, path, options):
    """Segment one file on a worker of a Dask cluster, which opens the network itself."""
    from parallel import cluster

    segment_file(folder, name, path, cluster.open_once(options.model, options.engine), options)


def segment_file(folder, name, path, network, options):
    """Segment one image and write its files. Raises ValueError that names the image if it cannot be segmented."""
    if inputs.is_scan(path):
        raise ValueError(f"{path}: OME-Zarr is segmented block by block; add --dask.")
    outputs.forget(folder, name)
    before, planes = outputs.state(path), read_planes(path, options.channel)
    found = segment_pages(path, planes, network, options)
    outputs.write(folder, name, path, planes, found, before, options.probability)


def segment_large(folder, name, path, network, options, client):
    """Segment a scan block by block on a Dask cluster and write its files."""
    from parallel import blocks, scans

    if options.probability:
        raise ValueError(f"{path}: no probability is written for OME-Zarr; leave --probability out.")
    outputs.forget(folder, name)
    before = outputs.state(path)
    job = scans.Job(str(path.resolve()), options.channel, "", options.model, options.engine)
    job = scans.prepare(job._replace(tta=options.tta, invert=options.invert), network, options.diameter)
    pieces = outputs.pieces_of(folder, name, [*before, job.scale, job.side, job.overlap, *job.limits]).resolve()
    job = job._replace(pieces=str(pieces))
    size = options.pixel_size or scans.open_scan(path, options.channel)[1]
    objects = blocks.segment_scan(client, job, pieces / "objects.zarr", size)
    small, row = scans.overview(job, pieces / "objects.zarr", outputs.OVERLAY_SIDE)
    diameter = objects["equivalent_diameter"].median() if len(objects) else None
    usual = network.card["training_data"].get("object_diameter")
    known = {"objects": len(objects), "diameter": diameter, "scale": job.scale, "pixel_size": size, "explanation": SCAN}
    known["diameter_ratio"] = diameter * job.scale / usual["median"] if diameter and usual else None
    outputs.write_scan(folder, name, path, small, objects, row | known, before)


def segment_pages(path, planes, network, options):
    """Yield the Segmentation of each page of one file; ``planes``: its pages (pages, H, W, C).

    The explanation of a page without objects is None if the network must examine it again, see ``explain_blanks``.
    """
    from inference.blank import explain_content
    from segmentation import segment

    how = {"diameter": options.diameter, "tta": options.tta, "invert": options.invert}
    try:
        size, note = options.pixel_size or read_pixel_size(path), note_on(path, options)
        for plane in planes:
            found = segment(plane, network, pixel_size=size, **how)
            reason = "" if found.quality["objects"] else explain_content(plane) or None
            text = None if reason is None else f"{reason} {note}".strip()
            yield found._replace(quality=found.quality | {"pixel_size": size, "explanation": text})
    except Exception as error:  # also out of memory, which must not look like a full disk
        raise ValueError(f"{path}: {str(error) or type(error).__name__}") from error


def note_on(path, options):
    """Return a sentence if the slices of a file may have been read as colours, else ""."""
    return SLICES if options.channel is None and has_planar_colours(path) else ""


def explain_blanks(folder, network, options):
    """Record for each image without objects why nothing was found.

    The network examines the first few of these images again, which takes as long as their segmentation. The text of each
    other image names the examined ones.
    """
    from inference.blank import explain_blank

    rows, known = outputs.image_rows(folder), outputs.known_images(folder)
    examined = [name_page(row) for row in rows if row.get("examined")]
    for row in progress([row for row in rows if row["explanation"] is None], "Explaining images without objects", "image"):
        text, again = f"Nothing was found. See {', '.join(examined)}: only these were examined.", False
        if len(examined) < EXAMINED:
            path = Path(known[row["name"]])
            try:
                plane = read_planes(path, options.channel)[row["page"] - 1]
                reason = explain_blank(plane, row, network, options.diameter, options.invert)
                text, again = f"{reason} {note_on(path, options)}".strip(), True
            except Exception as error:  # the file may have been deleted since it was segmented
                text = f"Nothing was found. The reason is not known: {outputs.as_text(str(error) or type(error).__name__)}"
        outputs.explain(folder, row, text, again)
        examined += [name_page(row)] * again


def name_page(row):
    """Return the name of an image, with the number of the page if there are several."""
    return f"{row['name']}, page {row['page']}" if row["pages"] > 1 else row["name"]


if __name__ == "__main__":
    main()
