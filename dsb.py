"""DSB 2018: nuclei in fluorescence, bright field and histology.

Source    Data Science Bowl 2018, stage1_train: 664 images, 28,986 nuclei (Caicedo et al. 2019; BBBC038, CC0)
Command   python train_and_predict.py dsb --data stage1_train.zip
Hardware  2 cores of an AMD EPYC without AVX-512, no GPU, float32
Time      56 minutes of training, 7 minutes of prediction, scores and figures
Score     mean Dice of 132 report images 0.906 (95 % 0.883 to 0.924), all pixels together 0.909; results/dsb
"""

import contextlib
import hashlib
import os
import warnings
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

import explore
import leaks
import simulate_nuclei
import splits
from config import Config
from data import Sample
from files import written_whole
from images import as_image, binary_mask, read_image

TITLE = "DSB 2018 nuclei"
LICENCE = "CC0"
CONFIG = Config(recipe="dsb", filters=16, dropout=0.2, augment=0.5, epochs=24, steps=60, views=8)
SIMULATED = CONFIG.replace(filters=8, epochs=6, steps=24, learning_rate=3e-3, views=1)
STRATUM = "cluster"
HEADLINES = ("dice_mean", "dice_pooled")
UNUSED = ("hold_out", "labels")
PUBLISHED = {"settings": {"epochs": 5, "steps": 3500}, "scores": {"Dice": 0.602}}
CLUSTERS = 8
CACHE = Path(__file__).parent / "datasets" / "cache"
CACHE_VERSION = 1  # raise it when what is stored changes
CACHE_FROM = 2000  # files; fewer are read in about a second


def find(folder):
    """The data that a user has put into ``datasets/dsb``: the unpacked folder, the zip file, or None.

    Raises ValueError when there are several zip files and none is ``stage1_train.zip``.
    """
    zips = sorted(folder.glob("*.zip"))
    if len(zips) > 1 and folder / "stage1_train.zip" not in zips:
        raise ValueError(f"{folder}: holds {', '.join(z.name for z in zips)}; say which one with --data.")
    for path in (folder / "stage1_train", folder):
        if any(path.glob("*/images/*")):
            return path
    return folder / "stage1_train.zip" if folder / "stage1_train.zip" in zips else next(iter(zips), None)


def is_published(source):
    """Whether data is the published set, by its name; a user's own images in the same layout are not."""
    return source.name.startswith("stage1_train")


def simulate(folder):
    """Simulated nuclei in the same layout."""
    return simulate_nuclei.nuclei(folder)


def load(source, cache=CACHE):
    """Read ``stage1_train.zip``, or its unpacked folder, as a list of Samples in the order of their names.

    Expects ``ImageId/images/<one>.png`` and ``ImageId/masks/<one per nucleus>.png``. Images come back as uint8 or
    uint16, (H, W, 1) where all colours are equal and (H, W, 3) otherwise; masks as uint16 numbers of the nuclei. The
    decoded images are kept in ``cache`` and used again only while every file is still the same; None keeps nothing.
    Raises ValueError that names the file, or the zip file and its member, for anything that cannot be used.
    """
    source = Path(source)
    with _open(source) as archive:
        stored = cache and Path(cache) / f"dsb-{_digest(str(source.resolve()))}-{archive.fingerprint()}.npz"
        if stored and stored.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):  # damaged: decode again
                return _read_cache(stored)
        samples = _decode(archive)
    if stored and len(archive.names) >= CACHE_FROM:
        try:
            _write_cache(stored, samples)
        except OSError as error:
            warnings.warn(f"The next start will be slow: {error}", stacklevel=2)
    return samples


def split(samples, config):
    """Fit, choose and report: equal shares of eight clusters of images, crops of one photograph kept together."""
    if config.classes != 2:
        raise ValueError(f"--classes is {config.classes}, but the masks of dsb number nuclei: objects and background are 2.")
    groups, _ = leaks.leak_groups([sample.image for sample in samples])
    strata = explore.cluster(explore.image_table(samples), CLUSTERS)
    return splits.split_by_group(
        splits.with_groups(samples, groups, strata), config.choose_share, config.report_share, config.seed
    )


class _Folder:
    """The files of an unpacked data set."""

    def __init__(self, path):
        self.path = path
        self.names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, name):
        return (self.path / name).read_bytes()

    def label(self, name):
        return str(self.path / name)

    def fingerprint(self):
        states = (os.stat(self.path / name) for name in self.names)
        return _digest(
            "\n".join(f"{n} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for n, s in zip(self.names, states, strict=True))
        )


class _Zip:
    """The members of a zip file; nothing is ever unpacked to disk."""

    def __init__(self, path):
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path}: not a readable zip file ({error}); it may be truncated: download it again.") from error
        self.names = sorted(info.filename for info in self.file.infolist() if not info.is_dir())
        for name in self.names:
            if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or ":" in name:
                raise ValueError(f"{path}: member {name!r} points outside its folder; this is not a safe zip file.")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self, name):
        try:
            return self.file.read(name)
        except Exception as error:  # a damaged member raises BadZipFile, zlib.error, EOFError or NotImplementedError
            raise ValueError(f"{self.label(name)}: the zip file is damaged here ({error}); download it again.") from error

    def label(self, name):
        return f"{self.path}: {name}"

    def fingerprint(self):
        members = sorted((i.filename, i.file_size, i.CRC) for i in self.file.infolist())
        return _digest("\n".join(map(str, members)))


def _open(source):
    if source.is_dir():
        return _Folder(source)
    if source.is_file():
        return _Zip(source)
    raise ValueError(f"{source}: no such folder or zip file.")


def _digest(text):
    return hashlib.sha256(f"{CACHE_VERSION} {text}".encode()).hexdigest()[:16]


def _decode(archive):
    images, masks = _pair(archive)
    with ThreadPoolExecutor() as pool:
        jobs = {name: pool.submit(_decode_one, archive, name, images[name], masks[name]) for name in sorted(images)}
        try:
            return [job.result() for job in tqdm(jobs.values(), desc="Reading images", unit="image", disable=None)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _pair(archive):
    """{ImageId: file} and {ImageId: [mask files]}; every image has masks and every mask an image."""
    images, masks = {}, defaultdict(list)
    for name in archive.names:
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[-2] not in ("images", "masks") or parts[-1].startswith(".") or "__MACOSX" in parts:
            continue
        identity = parts[-3]
        if parts[-2] == "masks":
            masks[identity].append(name)
        elif identity in images:
            raise ValueError(f"{archive.label(name)}: a second image for {identity}; expected one in its images folder.")
        else:
            images[identity] = name
    if not images and not masks:
        raise ValueError(f"{archive.path}: holds no images; expected ImageId/images/*.png and ImageId/masks/*.png.")
    for identity in sorted(set(images) ^ set(masks)):
        if identity in images:
            raise ValueError(
                f"{archive.label(images[identity])}: image without mask; expected files in {identity}/masks/ (one black "
                "mask for an image without nuclei)."
            )
        raise ValueError(f"{archive.label(masks[identity][0])}: mask without image; expected a file in {identity}/images/.")
    return images, masks


def _decode_one(archive, name, image_file, mask_files):
    image = read_image(archive.read(image_file), archive.label(image_file))
    image = as_image(image, archive.label(image_file))
    if (image == image[..., :1]).all():
        image = image[..., :1]
    mask = np.zeros(image.shape[:2], np.uint16)
    for number, file in enumerate(sorted(mask_files), 1):
        label = archive.label(file)
        nucleus = binary_mask(read_image(archive.read(file), label), label)
        if nucleus.shape != mask.shape:
            raise ValueError(f"{label}: the mask is {nucleus.shape} px, its image {mask.shape} px; they must be equal.")
        mask[nucleus & (mask == 0)] = number
    return Sample(name, np.ascontiguousarray(image), mask)


def _write_cache(path, samples):
    for old in path.parent.glob(path.name.rsplit("-", 1)[0] + "-*.npz"):  # of this source, before it changed
        old.unlink()
    arrays = {f"image{i}": sample.image for i, sample in enumerate(samples)}
    arrays |= {f"mask{i}": sample.mask for i, sample in enumerate(samples)}
    with written_whole(path) as temporary:
        np.savez(temporary, names=np.array([sample.name for sample in samples]), **arrays)


def _read_cache(path):
    with np.load(path, allow_pickle=False) as stored:
        return [Sample(str(n), stored[f"image{i}"], stored[f"mask{i}"]) for i, n in enumerate(stored["names"])]
