"""Masks in every encoding: foreground, numbers of objects, classes of objects."""

import tracemalloc

import numpy as np
import pytest

from data import Sample
from explore.tables import object_areas, object_diameters
from readers.labels import binary_mask, class_objects, classes_from_map, object_numbers, read_objects, smallest_type

RGBA = np.array([[[255, 0, 0, 255], [10, 10, 10, 255]]], np.uint8)


@pytest.fixture
def discs():
    """25 discs with a diameter of 34 px that do not touch: bool (250, 250)."""
    y, x = np.mgrid[:250, :250] % 50 - 24.5
    return y**2 + x**2 < 17**2


@pytest.mark.parametrize(
    ("high", "dtype"),
    [(1, bool), (1, np.uint8), (255, np.uint8), (1, np.uint16), (65535, np.uint16), (255, np.int32), (65535, np.int64),
     (128, np.uint8), (2**32 - 1, np.uint32), (127, np.int8), (100, np.uint16)],
)  # fmt: skip
def test_discs_in_a_mask_of_two_values_are_objects_of_their_own_size(discs, high, dtype):
    mask = object_numbers((discs * np.array(high, np.uint64)).astype(dtype), "m.png")
    assert mask.dtype == np.uint16 and mask.max() == 25 and (mask > 0).tolist() == discs.tolist()
    diameters = object_diameters([Sample("a", np.zeros((250, 250, 1), np.uint8), mask)])
    assert diameters["median"] == pytest.approx(34, abs=1)


def test_parts_that_touch_at_a_corner_are_one_object():
    assert object_numbers(np.eye(3, dtype=np.uint8) * 255, "m.png").max() == 1


def test_whole_numbers_stay_as_they_are():
    values = np.array([[0, 7, 7, 0, 7, 300]])  # object 7 has two parts
    assert object_numbers(values, "m.tif").tolist() == values.tolist()


@pytest.mark.parametrize("number", [2, 7, 300, 70_000])
def test_a_single_connected_object_keeps_its_number(number):
    assert object_numbers(np.array([[0, number, number]]), "m.tif").tolist() == [[0, number, number]]
    assert (object_numbers(np.full((2, 2), number), "m.tif") == number).all()


@pytest.mark.parametrize("values", [[[0, 0]], [[False, False]]])
def test_a_mask_without_objects(values):
    assert object_numbers(np.array(values), "m.png").tolist() == [[0, 0]]
    assert not binary_mask(np.array(values), "m.png").any()


@pytest.mark.parametrize(("highest", "dtype"), [(65_535, np.uint16), (65_536, np.uint32), (2**31 - 1, np.uint32)])
@pytest.mark.parametrize("stored", [np.uint32, np.int64, np.uint64])
def test_high_numbers_are_kept(highest, dtype, stored):
    mask = object_numbers(np.array([[0, 1, highest]], stored), "m.tif")
    assert mask.dtype == dtype and mask.tolist() == [[0, 1, highest]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 1, 2**31]]), r"m\.tif: numbers from 0 to 2147483648; objects have numbers from 1 to 2147483647"),
        (np.array([[0, 5, -1]]), r"m\.tif: numbers from -1 to 5"),
        (np.array([[0, -1]]), r"m\.tif: numbers from -1 to 0"),
        (np.array([[0.0, 1.0]]), r"m\.tif: holds float64 values; a mask holds whole numbers"),
        (RGBA, r"m\.tif: a coloured mask"),
    ],
)
def test_what_cannot_be_object_numbers(values, message):
    with pytest.raises(ValueError, match=message):
        object_numbers(values, "m.tif")


def test_more_parts_than_sixteen_bits_can_number():
    mask = np.zeros((600, 600), np.uint8)
    mask[::2, ::2] = 1
    numbers = object_numbers(mask, "m.png")
    assert numbers.dtype == np.uint32 and numbers.max() == 90_000 and (numbers > 0).sum() == 90_000


def test_the_smallest_type_never_wraps():
    assert smallest_type(np.array([0, 65_535])).dtype == np.uint16 and smallest_type(np.array([0, 65_536])).tolist() == [
        0,
        65_536,
    ]
    assert smallest_type(np.zeros((0, 3), np.int32)).dtype == np.uint16


def test_large_sparse_numbers_need_no_memory_of_their_size():
    """A table of 2**31 - 1 entries would take 17 GB."""
    mask = np.zeros((4, 5), np.uint32)
    mask[0, :3], mask[2, :] = 2**31 - 1, 3
    tracemalloc.start()
    areas = object_areas(Sample("a", np.zeros((4, 5, 1), np.uint8), mask))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert areas.tolist() == [5, 3] and peak < 2**20


def test_classes_of_connected_parts():
    values = np.array([[1, 1, 0, 2, 2], [0, 0, 0, 1, 1], [1, 0, 0, 0, 0]], np.uint8)
    objects, classes = class_objects(values, 3, "m.png")
    assert objects.tolist() == [[1, 1, 0, 4, 4], [0, 0, 0, 2, 2], [3, 0, 0, 0, 0]]
    assert classes.tolist() == [0, 1, 1, 1, 2] and classes.dtype == np.uint8 and objects.dtype == np.uint16
    np.testing.assert_array_equal(classes[objects], values)


@pytest.mark.parametrize("values", [np.zeros((2, 2), np.uint8), np.eye(2, dtype=bool), np.eye(2, dtype=np.int64)])
def test_masks_need_not_show_every_class(values):
    objects, classes = class_objects(values, 4, "m.png")
    assert classes.tolist() == [0] + [1] * bool(values.any()) and (objects > 0).tolist() == (values > 0).tolist()


@pytest.mark.parametrize(("value", "found"), [(3, 3), (255, 255), (-1, -1), (2**40, 2**40)])
def test_class_numbers_beyond_the_classes_are_refused(value, found):
    with pytest.raises(ValueError, match=rf"m\.png: holds the class number {found}; with 3 classes, masks hold 0 .* to 2"):
        class_objects(np.array([[0, 1, value]]), 3, "m.png")


def test_an_object_has_the_class_of_most_of_its_pixels():
    mask = np.array([[0, 7, 7, 7], [0, 3, 3, 3], [0, 9, 9, 9]])
    values = np.array([[1, 2, 2, 1], [0, 0, 0, 1], [0, 2, 1, 0]], np.uint8)  # 9: equally many, the lower class
    assert classes_from_map(mask, values, 3, "c.png").tolist() == [0, 0, 0, 1, 0, 0, 0, 2, 0, 1]
    assert classes_from_map(mask * 0, values, 3, "c.png").tolist() == [0]
    with pytest.raises(ValueError, match=r"c\.png: object 7 of the mask has no class here"):
        classes_from_map(mask, np.where(mask == 7, 0, values), 3, "c.png")
    with pytest.raises(ValueError, match=r"c\.png: the classes are \(2, 4\) px, the mask \(3, 4\) px"):
        classes_from_map(mask, values[:2], 3, "c.png")
    with pytest.raises(ValueError, match=r"c\.png: holds the class number 2; with 2 classes"):
        classes_from_map(mask, values, 2, "c.png")


def test_classes_are_read_where_there_are_more_than_two():
    values = np.array([[0, 1, 2, 0, 1]])
    assert read_objects(values, 2, "m.png")[0].tolist() == values.tolist() and read_objects(values, 2, "m.png")[1] is None
    assert [part.tolist() for part in read_objects(values, 3, "m.png")] == [[[0, 1, 3, 0, 2]], [0, 1, 1, 2]]


@pytest.mark.parametrize(
    "values", [[0, 1, 1], [0, 255, 255], [0, 0, 0], [1, 1, 1], [False, True, True], [0, 65535, 65535], [0, 7, 7]]
)
def test_masks_of_0_and_1_and_of_0_and_255_are_right(values):
    assert binary_mask(np.array([values]), "m.png").tolist() == [[bool(value) for value in values]]


def test_a_gray_mask_stored_as_colour_is_right():
    mask = np.array([[[255, 255, 255, 255], [0, 0, 0, 255]]], np.uint8)
    assert binary_mask(mask, "m.png").tolist() == [[True, False]]


def test_other_mask_values_are_refused():
    with pytest.raises(ValueError, match=r"m\.png: mask values 0, 128, 255; a binary mask holds"):
        binary_mask(np.array([[0, 128, 255]]), "m.png")
    with pytest.raises(ValueError, match=r"m\.png: a coloured mask"):
        binary_mask(RGBA, "m.png")
    with pytest.raises(ValueError, match=r"m\.png: mask values 3; a binary mask holds"):
        binary_mask(np.full((2, 2), 3), "m.png")
