"""Find images and masks in a folder or zip file, in Kaggle's layout or in two folders, images and masks."""

from collections import Counter, defaultdict
from pathlib import PurePosixPath

import numpy as np

from data import Sample
from readers.archives import Folder, Zip
from readers.images import IMAGE_SUFFIXES, as_image, read_image
from readers.labels import binary_mask, class_objects, classes_from_map, object_numbers, smallest_type

EXPECTED = "ImageId/images/*.png and ImageId/masks/*.png, or images/*.png and masks/*.png of the same names"
ADVICE = "To train, put images into a folder images and their masks into a folder masks beside it; predict.py needs no masks."
LOSSY = (".jpg", ".jpeg")
NAMED = 4  # most folders or suffixes that a message names


def find_pairs(archive: Folder | Zip) -> dict[str, tuple[str, list[str]]]:
    """Find the files of every image in an open archive: {name: (image file, [mask files])}.

    The layout is ``ImageId/images/<one>`` with ``ImageId/masks/<one per object>``, or ``images/<name>`` with ``masks/<name>``,
    where suffixes may differ. Raises ValueError that names the file for an image without mask and for a mask without image.
    """
    files = {"images": [], "masks": []}
    for path in _visible(archive):
        if path.name.lower().endswith(IMAGE_SUFFIXES) and len(path.parts) > 1 and path.parts[-2] in files:
            files[path.parts[-2]].append(path)
    if not files["images"] or not files["masks"]:
        raise ValueError(f"{archive.path}: {_describe(archive)}; expected {EXPECTED}. {ADVICE}")
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
                f"{archive.label(images[name])}: image without mask; expected {EXPECTED} (an image without objects needs one "
                "black mask)."
            )
        raise ValueError(f"{archive.label(masks[name][0])}: mask without image; expected {EXPECTED}.")
    return {name: (images[name], sorted(masks[name])) for name in sorted(images)}


def find_class_maps(archive: Folder | Zip) -> dict[str, str]:
    """Return the files with the classes of objects, ``ImageId/classes/<one>`` or ``classes/<name>``: {name: file}."""
    found = [path for path in _visible(archive) if len(path.parts) > 1 and path.parts[-2] == "classes"]
    found = [path for path in found if path.name.lower().endswith(IMAGE_SUFFIXES)]
    together = len({path.parent for path in found}) == 1 and len(found) > 1
    return {_stem(path) if together or len(path.parts) < 3 else _folder(path): str(path) for path in found}


def read_pair(
    archive: Folder | Zip,
    name: str,
    image_file: str,
    mask_files: list[str],
    classes: int = 2,
    class_file: str | None = None,
) -> Sample:
    """Read the Sample of one entry of ``find_pairs``; its mask numbers the objects, see ``labels.object_numbers``.

    Images whose channels are equal become (H, W, 1). A single mask with the name of the image holds all objects; other masks
    hold one object each. With more than two ``classes``, ``class_file`` holds the class of each pixel of the objects; if there
    is no such file, the mask with the name of the image holds class numbers.
    """
    image = as_image(read_image(archive.read(image_file), archive.label(image_file)), archive.label(image_file))
    if (image == image[..., :1]).all():
        image = image[..., :1]
    mask, object_classes = np.zeros(image.shape[:2], np.uint32), None
    for number, file in enumerate(mask_files, 1):
        label = archive.label(file)
        values = read_image(archive.read(file), label)
        if values.shape[:2] != mask.shape:
            raise ValueError(f"{label}: the mask is {values.shape[:2]} px, its image {mask.shape} px; they must be equal.")
        if PurePosixPath(file).stem != name or len(mask_files) > 1:
            mask[binary_mask(values, label) & (mask == 0)] = number
        elif label.lower().endswith(LOSSY):
            raise ValueError(f"{label}: JPEG changes the values of a mask; save it as PNG or TIFF.")
        elif classes > 2 and not class_file:
            mask, object_classes = class_objects(values, classes, label)
        else:
            mask = object_numbers(values, label)
    if classes > 2 and class_file:
        label = archive.label(class_file)
        object_classes = classes_from_map(mask, read_image(archive.read(class_file), label), classes, label)
    return Sample(name, np.ascontiguousarray(image), smallest_type(mask), object_classes=object_classes)


def _visible(archive):
    """Return the paths of an archive's files without hidden ones, such as those that macOS adds to zip files."""
    paths = map(PurePosixPath, archive.names)
    return [path for path in paths if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)]


def _describe(archive):
    """Return a text with the number of images in each folder of an archive; if there are none, with its other files."""
    files = _visible(archive)
    images = [path for path in files if path.name.lower().endswith(IMAGE_SUFFIXES)]
    if not files:
        return "holds no files"
    if not images:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in files)
        return f"holds no images ({', '.join(IMAGE_SUFFIXES)}), only other files ({_most_common(kinds)})"
    places = Counter(f"in {path.parent}" if path.parent.name else "in no folder" for path in images)
    return f"found {len(images)} images ({_most_common(places)}), but not both images and masks"


def _most_common(counts):
    named = [f"{count} {name}" for name, count in counts.most_common(NAMED)]
    return ", ".join(named + ["..."] * (len(counts) > NAMED))


def _in_two_folders(images, masks):
    """Return whether all images are in one folder and named like their masks; else every image has separate folders."""
    one = len({path.parent for path in images}) == 1
    return one and (len(images) > 1 or {_stem(path) for path in images} == {_stem(path) for path in masks})


def _stem(path):
    return path.stem


def _folder(path):
    return path.parts[-3] if len(path.parts) > 2 else "."
