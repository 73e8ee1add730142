"""Download the public images of a recipe into the folder where the recipe looks for them.

python datasets/download.py dsb                       nuclei: one zip file, which is not unpacked
python datasets/download.py bbbc005                   particles: masks and images (1.8 GB), unpacked
python datasets/download.py cells                     sequences of the Cell Tracking Challenge, unpacked
python datasets/download.py cells --url http://...    the same files from a mirror
python datasets/download.py tomography                not public, like isbi: prints whom to ask

After an interruption, the same command continues. Files that are there already are neither downloaded again nor changed.
"""

import argparse
import os
import shutil
import sys
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pooch
import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from system.files import read_json, write_json
from system.progress import progress

HERE = Path(__file__).parent
BROAD = "https://data.broadinstitute.org/bbbc"
TRACKING = "https://data.celltrackingchallenge.net/training-datasets"
WORK = ".download"  # folder beside the images for unfinished files; deleted at the end
CHECKSUMS = "checksums.json"
CHUNK = 1 << 16  # bytes; at most so many are lost when the connection breaks
TIMEOUT = (15, 60)  # seconds to connect, and between two chunks
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)

pooch.get_logger().setLevel("WARNING")  # it would print the path of its temporary files


class Archive(NamedTuple):
    """A published zip file; ``sha256``: None if no checksum is known; ``unpack``: False if the recipe reads the zip file."""

    name: str
    address: str
    sha256: str | None
    unpack: bool = True


# The publishers give no checksums. Others computed these after a download:
# stage1_train.zip: github.com/fsantibanezleal/CAOS_FrothSeg, data/derived/real-adjacent-dataset-manifest.json
# Cell Tracking Challenge: github.com/constantinpape/torch-em, torch_em/data/datasets/light_microscopy/ctc.py
ARCHIVES = {
    "dsb": (
        Archive(
            "stage1_train.zip",
            f"{BROAD}/BBBC038",
            "dcb6edc2690f137406638b2309581a71522c4dff19157d118453b448dcddcb68",
            unpack=False,
        ),
    ),
    # The masks come first: after an interruption, images without masks would look like a complete data set.
    "bbbc005": (
        Archive("BBBC005_v1_ground_truth.zip", f"{BROAD}/BBBC005", None),
        Archive("BBBC005_v1_images.zip", f"{BROAD}/BBBC005", None),
    ),
    "cells": (
        Archive("DIC-C2DH-HeLa.zip", TRACKING, "832fed2d05bb7488cf9c51a2994b75f8f3f53b3c3098856211f2d39023c34e1a"),
        Archive("PhC-C2DH-U373.zip", TRACKING, "b18185c18fce54e8eeb93e4bbb9b201d757add9409bbf2283b8114185a11bc9e"),
    ),
}
NOT_PUBLIC = {
    "tomography": "these soft X-ray tomograms are private; ask the authors of the publication for them. "
    "Save the slices as {folder}/inp/<sample>_image_<slice>.tiff and their masks, with the same names, in "
    "{folder}/out/. The recipe also reads sequences of the Cell Tracking Challenge as samples. Without data, it uses "
    "simulated images.",
    "isbi": "to get the images of ISBI 2012, register at "
    "https://imagej.net/events/isbi-2012-segmentation-challenge; put train-volume.tif, train-labels.tif and "
    "test-volume.tif into {folder}/.",
}


def main(arguments=None):
    """Download what the command line asks for. An error ends the program with one sentence."""
    parser = argparse.ArgumentParser(
        description="Download the public images of a recipe. After an interruption, the same command continues.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "recipe",
        choices=[*ARCHIVES, *NOT_PUBLIC],
        help="dsb: nuclei, DSB 2018; bbbc005: particles, BBBC005 (1.8 GB); cells: two sets of the Cell Tracking Challenge; "
        "tomography, isbi: not public, prints whom to ask",
    )
    parser.add_argument("--folder", type=Path, default=HERE, help="folder of the data sets (default: %(default)s)")
    parser.add_argument("--url", metavar="BASE", help="address of a mirror that has the same zip files")
    options = parser.parse_args(arguments)
    folder = options.folder / options.recipe
    if options.recipe in NOT_PUBLIC:
        sys.exit(f"{options.recipe}: {NOT_PUBLIC[options.recipe].format(folder=folder)}")
    try:
        for archive in ARCHIVES[options.recipe]:
            fetch(archive, folder, options.url)
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    except KeyboardInterrupt:
        print("Stopped. The same command continues from here.", file=sys.stderr)
        sys.exit(130)


def fetch(archive, folder, address=None):
    """Put the images of one archive into ``folder``; download nothing if they are there already."""
    zip_path = folder / archive.name
    images = zip_path.with_suffix("")
    unpacked, found = images.is_dir() and any(images.iterdir()), zip_path.exists()
    if unpacked or (found and not archive.unpack):
        print(f"{images if unpacked else zip_path}: is there already")
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if not found:
            download(archive, folder, address)
        if archive.unpack:
            unpack(zip_path, images)
    except (ValueError, OSError):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        raise
    shutil.rmtree(folder / WORK, ignore_errors=True)
    if archive.unpack and not found:
        zip_path.unlink()
    kept = f" ({zip_path.name} is no longer needed; you may delete it)" if archive.unpack and found else ""
    print(f"{images if archive.unpack else zip_path}: complete{kept}")


def download(archive, folder, address=None):
    """Download one zip file into ``folder`` and check it; until then its name ends in ``.part``.

    ``address``: the mirror, None for the publisher. Without a known checksum, test the CRCs inside the zip file and record
    its SHA-256 for the next download. Raises OSError that names the URL if the network fails, and ValueError if the file
    differs from the published one.
    """
    url = f"{(address or archive.address).rstrip('/')}/{archive.name}"
    path, part, checksums = (folder / name for name in (archive.name, f"{archive.name}.part", CHECKSUMS))
    recorded = read_json(checksums) if checksums.exists() else {}
    known = archive.sha256 or recorded.get(archive.name)
    try:
        downloader = partial(continue_download, part=part)
        complete = pooch.retrieve(url, known, archive.name, folder / WORK, downloader=downloader)
    except requests.RequestException as error:
        held = part.stat().st_size if part.exists() else 0
        continues = f": it continues after the {held:,} bytes in {part}" if held else ""
        raise OSError(
            f"{url}: {_reason(error)}; check the network and the address (--url sets another one), then give the same "
            f"command again{continues}."
        ) from error
    except OSError as error:
        raise OSError(
            f"{part}: could not be written ({error}); check the folder and the free space, then repeat the command."
        ) from error
    except ValueError as error:
        source = Path(__file__).name if archive.sha256 else checksums
        raise ValueError(f"{url}: {error} Give the same command again; {source} holds the known hash.") from error
    if not known:
        check_crcs(complete, url)
    os.replace(complete, path)
    if not known:
        write_json(checksums, {**recorded, archive.name: pooch.file_hash(path)})
        print(
            f"{path}: no checksum is published, so only the CRCs inside the file were tested. Its SHA-256 is now in "
            f"{checksums}; a later download must have the same."
        )


def continue_download(url, output, _pooch, part):
    """Download the bytes that ``part`` does not hold yet, then rename it to ``output``: a downloader for pooch.

    If the server does not support ranges, download the whole file again. Raises ``requests.RequestException`` if the
    connection breaks; ``part`` then keeps all bytes that were received.
    """
    held = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if held and answer.status_code == requests.codes.requested_range_not_satisfiable:
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if size not in (str(held), ""):
                part.unlink()  # longer than the file: it is the beginning of another one
                return continue_download(url, output, _pooch, part)
            return os.replace(part, output)
        answer.raise_for_status()
        start = held if answer.status_code == requests.codes.partial_content else 0
        rest = answer.headers.get("Content-Length")
        total = start + int(rest) if rest else None
        with (
            open(part, "ab" if start else "wb") as file,
            progress(description=Path(url).name, unit="B", total=total, initial=start) as bar,
        ):
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    return os.replace(part, output)


def check_crcs(path, url):
    """Raise ValueError that names the address if a file is no zip file or a CRC inside it is wrong."""
    try:
        with zipfile.ZipFile(path) as file:
            member = file.testzip()
    except DAMAGED as error:
        raise ValueError(f"{url}: the file is no zip file, or it is damaged ({error}); give the same command again.") from error
    if member:
        raise ValueError(f"{url}: {member} in the zip file is damaged; give the same command again.")


def unpack(zip_path, images):
    """Unpack the folder of images in a zip file as ``images``, completely or not at all.

    Raises ValueError that names the zip file and the member if a member points outside the folder or is damaged.
    """
    work = zip_path.parent / WORK / "unpacked"
    shutil.rmtree(work, ignore_errors=True)
    try:
        with zipfile.ZipFile(zip_path) as file:
            for name in file.namelist():
                if _points_outside(name):
                    raise ValueError(f"{zip_path}: {name} would be written outside {images}; do not trust this file.")
            for name in progress(file.namelist(), f"Unpacking {zip_path.name}", "file"):
                file.extract(name, work)
    except DAMAGED as error:
        raise ValueError(f"{zip_path}: is damaged ({error}); delete it and give the same command again.") from error
    except OSError as error:
        raise OSError(f"{images}: could not be unpacked ({error}); give the same command again.") from error
    if images.is_dir():
        images.rmdir()  # empty; not every system can rename a folder over it
    os.replace(_folder_of_images(work, zip_path), images)


def _folder_of_images(unpacked, zip_path):
    """Return the folder with the zip file's name, else the only one: the masks of BBBC005 also have another name."""
    names = sorted(path.name for path in unpacked.glob("*") if path.name != "__MACOSX")
    name = zip_path.stem if zip_path.stem in names else names[0] if len(names) == 1 else None
    if name is None or not (unpacked / name).is_dir():
        found = ", ".join(names[:6]) or "nothing"
        raise ValueError(f"{zip_path}: holds {found}, expected the folder {zip_path.stem}; unpack it by hand.")
    return unpacked / name


def _points_outside(name):
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in name.partition("/")[0]


def _reason(error):
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return f"the connection failed ({type(error).__name__})" if isinstance(error, broken) else str(error).rstrip(".")


if __name__ == "__main__":
    main()
