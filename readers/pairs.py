"""Images and the masks of their objects in a folder or zip file: Kaggle's layout, or a folder of each."""

from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np

from data import Sample
from readers.images import IMAGE_SUFFIXES, as_image, binary_mask, object_numbers, read_image

EXPECTED = "ImageId/images/*.png and ImageId/masks/*.png, or images/*.png and masks/*.png of the same names"
LOSSY = (".jpg", ".jpeg")


def find_pairs(archive):
    """The files of every image in an open archive: {name: (image file, [mask files])}.

    ``ImageId/images/<one>`` with ``ImageId/masks/<one per object>``, or ``images/<name>`` with ``masks/<name>``, where
    suffixes may differ. Raises ValueError that names the file for an image without a mask and the other way round.
    """
    files = {"images": [], "masks": []}
    for name in archive.names:
        parts = PurePosixPath(name).parts
        wanted = name.lower().endswith(IMAGE_SUFFIXES) and not parts[-1].startswith(".") and "__MACOSX" not in parts
        if wanted and len(parts) > 1 and parts[-2] in files:
            files[parts[-2]].append(PurePosixPath(name))
    if not files["images"] and not files["masks"]:
        raise ValueError(f"{archive.path}: holds no images; expected {EXPECTED}.")
    name_of = _stem if _in_two_folders(**files) else _folder
    images, masks = {}, defaultdict(list)
    for path in files["images"]:
        if name_of(path) in images:
            raise ValueError(f"{archive.label(path)}: a second image for {name_of(path)}; expected one of each name.")
        images[name_of(path)] = str(path)
    for path in files["masks"]:
        if name_of is _stem and path.stem in masks:
            raise ValueError(f"{archive.label(path)}: a second mask for {path.stem}; expected one of each name.")
        masks[name_of(path)].append(str(path))
    for name in sorted(set(images) ^ set(masks)):
        if name in images:
            raise ValueError(
                f"{archive.label(images[name])}: image without mask; expected {EXPECTED} (one black mask for an image "
                "without objects)."
            )
        raise ValueError(f"{archive.label(masks[name][0])}: mask without image; expected {EXPECTED}.")
    return {name: (images[name], sorted(masks[name])) for name in sorted(images)}


def read_pair(archive, name, image_file, mask_files):
    """One Sample from the files that ``find_pairs`` gives: its mask numbers the objects (uint16).

    Images whose colours are equal become (H, W, 1). A mask of 0 and 255 (or 1) holds one object where there is a mask
    for each, and otherwise its connected parts; other whole numbers are objects' numbers.
    """
    image = as_image(read_image(archive.read(image_file), archive.label(image_file)), archive.label(image_file))
    if (image == image[..., :1]).all():
        image = image[..., :1]
    mask = np.zeros(image.shape[:2], np.uint16)
    for number, file in enumerate(mask_files, 1):
        label = archive.label(file)
        values = read_image(archive.read(file), label)
        if values.shape[:2] != mask.shape:
            raise ValueError(f"{label}: the mask is {values.shape[:2]} px, its image {mask.shape} px; they must be equal.")
        if PurePosixPath(file).stem == name and len(mask_files) == 1:
            mask = _numbers(values, label)
        else:
            mask[binary_mask(values, label) & (mask == 0)] = number
    return Sample(name, np.ascontiguousarray(image), mask)


def _numbers(values, label):
    if label.lower().endswith(LOSSY):
        raise ValueError(f"{label}: JPEG changes the values of a mask; save it as PNG or TIFF.")
    return object_numbers(values, label)


def _in_two_folders(images, masks):
    """Whether all images are in one folder and named as their masks; else every image has folders of its own."""
    one = len({path.parent for path in images}) == 1
    return one and (len(images) > 1 or {_stem(path) for path in images} == {_stem(path) for path in masks})


def _stem(path):
    return path.stem


def _folder(path):
    return path.parts[-3] if len(path.parts) > 2 else "."
