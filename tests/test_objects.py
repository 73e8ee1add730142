"""Objects of masks with known answers."""

import numpy as np
import pytest

from objects import count_objects, separate


def discs(*centres, radius=12, shape=(80, 120)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in centres], axis=0)


@pytest.mark.parametrize(("gap", "expected"), [(26, 2), (22, 2), (18, 2), (4, 1)])
def test_discs_come_apart_where_they_have_a_waist(gap, expected):
    labels = separate(discs((40, 40), (40, 40 + gap)), neck=1.0)
    assert labels.dtype == np.int32 and labels.max() == expected
    if expected == 2:
        assert labels[40, 40] != labels[40, 40 + gap]
        assert (labels > 0).sum() == discs((40, 40), (40, 40 + gap)).sum()


def test_a_deeper_neck_divides_less():
    mask = discs((40, 40), (40, 58))
    assert count_objects(mask, neck=1.0) == 2
    assert count_objects(mask, neck=5.0) == 1


def test_what_the_image_cuts_off_is_one_object():
    assert count_objects(discs((0, 40), (79, 100))) == 2


def test_small_objects_are_dropped_and_numbers_stay_in_order():
    mask = discs((20, 20), (60, 90))
    mask[0:2, 100:102] = True
    assert count_objects(mask) == 3
    labels = separate(mask, least_area=10)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_an_empty_mask_holds_nothing():
    assert count_objects(np.zeros((20, 20), bool)) == 0
