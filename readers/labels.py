"""Turn the values of mask files into foreground, numbers of objects and classes of objects."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CORNERS_TOUCH = np.ones((3, 3))
FULL = (1, 255, 65535)  # usual foreground values in masks without numbers; the highest value of the data type is one, too
MOST = np.iinfo(np.int32).max  # number of an object: SciPy and OpenCV count in int32


def binary_mask(values: NDArray, name: str) -> NDArray[np.bool_]:
    """Return the foreground of a mask with two values, 0 for the background, such as 0/1, 0/255 or 0/65535: bool (H, W).

    ``values``: (H, W), or colours of equal channels. Raises ValueError that names the file for other values.
    """
    values = _one_channel(values, name)
    if _foreground_value(values) is None:
        found = ", ".join(str(value) for value in np.unique(values)[:6])
        raise ValueError(f"{name}: mask values {found}; a binary mask holds 0 and 1, or 0 and 255.")
    return values != 0


def object_numbers(values: NDArray, name: str) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """Return the object number of every pixel of a mask, 0 for the background: (H, W), uint16 if possible, else uint32.

    Numbers stay as they are. In a mask with two values (0/1, 0/255, 0/65535, ...), every connected part becomes an object;
    parts that touch at a corner are connected. A single connected object with another number, such as 7, keeps its number.
    Raises ValueError that names the file for fractions, colours, negative numbers and numbers above 2,147,483,647.
    """
    values = _whole_numbers(values, name)
    highest = _foreground_value(values)
    if highest:
        parts, count = ndimage.label(values, CORNERS_TOUCH)
        if count > 1 or _is_full(highest, values.dtype):
            return smallest_type(parts)
    if values.min(initial=0) < 0 or values.max(initial=0) > MOST:
        raise ValueError(f"{name}: numbers from {values.min()} to {values.max()}; objects have numbers from 1 to {MOST}.")
    return smallest_type(values)


def class_objects(values: NDArray, classes: int, name: str) -> tuple[NDArray, NDArray[np.uint8]]:
    """Return (objects, classes of the objects) for a mask of class numbers, 0 (background) to ``classes`` - 1.

    The objects are the connected parts of equal class: (H, W), numbered from 1, as in ``object_numbers``. Their classes:
    uint8 (objects + 1,), 0 for the background. A mask may lack some classes. Raises ValueError that names the file for
    fractions, colours and other class numbers.
    """
    values = _class_numbers(values, classes, name)
    objects, class_of = np.zeros(values.shape, np.int32), [np.zeros(1, np.uint8)]
    count = 0
    for number in range(1, int(values.max(initial=0)) + 1):
        parts, found = ndimage.label(values == number, CORNERS_TOUCH)
        objects[parts > 0] = parts[parts > 0] + count
        class_of.append(np.full(found, number, np.uint8))
        count += found
    return smallest_type(objects), np.concatenate(class_of)


def classes_from_map(mask: NDArray, values: NDArray, classes: int, name: str) -> NDArray[np.uint8]:
    """Return the class of each object of a mask (H, W): the most frequent class among its pixels in a class map (H, W).

    The result is uint8 (highest number + 1,), 0 for the background. Raises ValueError that names the file of the class map if
    its size or a class number is wrong, or if an object has no class.
    """
    values = _class_numbers(values, classes, name)
    if values.shape != mask.shape:
        raise ValueError(f"{name}: the classes are {values.shape} px, the mask {mask.shape} px; they must be equal.")
    keys, pixels = np.unique(mask.astype(np.int64) * classes + values, return_counts=True)
    numbers, class_numbers = np.divmod(keys, classes)
    usable = (numbers > 0) & (class_numbers > 0)
    without = np.setdiff1d(numbers, [0, *numbers[usable]])
    if len(without):
        raise ValueError(f"{name}: object {without[0]} of the mask has no class here; every object needs one, from 1 on.")
    numbers, class_numbers = numbers[usable], class_numbers[usable]
    decided = np.zeros(int(mask.max(initial=0)) + 1, np.uint8)
    order = np.lexsort((-class_numbers, pixels[usable]))  # the last entry of each object wins
    decided[numbers[order]] = class_numbers[order]
    return decided


def read_objects(values: NDArray, classes: int, name: str) -> tuple[NDArray, NDArray[np.uint8] | None]:
    """Return the objects of a mask and the class of each: ``class_objects``, or ``object_numbers`` and None for two classes."""
    return (object_numbers(values, name), None) if classes == 2 else class_objects(values, classes, name)


def smallest_type(numbers: NDArray) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """Return object numbers (0 or above) as uint16, or as uint32 if the highest one needs it."""
    return numbers.astype(np.uint16 if numbers.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32)


def _whole_numbers(values, name):
    values = _one_channel(values, name)
    if values.dtype.kind not in "biu":
        raise ValueError(f"{name}: holds {values.dtype} values; a mask holds whole numbers, 0 for the background.")
    return values


def _class_numbers(values, classes, name):
    values = _whole_numbers(values, name)
    lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"{name}: holds the class number {lowest if lowest < 0 else highest}; with {classes} classes, masks hold 0 "
            f"(background) to {classes - 1}. Correct the mask, or set --classes to the number of classes with the background."
        )
    return values.astype(np.int64)


def _one_channel(values, name):
    if values.ndim == 2:
        return values
    colours = values[..., : max(1, values.shape[2] - (values.shape[2] in (2, 4)))]
    if (colours != colours[..., :1]).any():
        raise ValueError(f"{name}: a coloured mask; expected one channel with 0 and 1, with 0 and 255, or with object numbers.")
    return colours[..., 0]


def _foreground_value(values):
    """Return the only value above 0 of a mask (0 for an empty mask); None if the mask has several such values."""
    highest = values.max(initial=0)
    if ((values != 0) & (values != highest)).any():
        return None
    return int(highest) if (values == 0).any() or highest == 0 or _is_full(highest, values.dtype) else None


def _is_full(value, dtype):
    return value in FULL or (dtype.kind in "iu" and value == np.iinfo(dtype).max)
