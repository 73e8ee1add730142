"""What a terminal prints and a notebook shows of a Segmentation."""

import base64
import re

import imageio.v3 as iio
import numpy as np
import pytest

from scores.measurements import measure_objects
from segmentation import Segmentation


def found(objects, flags=(), overview=True, pixel_size=None):
    """A Segmentation of drawn objects on a black image."""
    picture = np.zeros((*objects.shape, 3), np.uint8) if overview else None
    mask = np.where(objects > 0, 255, 0).astype(np.uint8)
    table = measure_objects(objects, pixel_size)
    return Segmentation(mask, objects, mask / np.float32(255), table, {}, flags=flags, overview=picture)


def test_a_terminal_prints_two_lines():
    objects = np.zeros((40, 50), np.int32)
    objects[5:15, 5:15], objects[5:15, 20:30], objects[20:36, 20:36] = 1, 2, 3
    assert repr(found(objects)) == "objects: 3 in 40 × 50 px, median diameter: 11.3 px\nflags: none"
    flagged = str(found(objects, ("unstable", "blurred"), pixel_size=0.5))
    assert flagged.splitlines()[0] == "objects: 3 in 40 × 50 px, median diameter: 11.3 px, 5.64 µm"
    assert flagged.splitlines()[1].startswith("flags: unstable (") and "; blurred (" in flagged


def test_nothing_found_has_no_diameter():
    nothing = found(np.zeros((7, 9), np.int32), ("empty",))
    assert repr(nothing) == "objects: 0 in 7 × 9 px\nflags: empty (no object was found)"
    assert "median" not in nothing._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("shape", [(40, 50), (1500, 300)])
def test_a_notebook_shows_the_outlines_and_a_short_table(shape):
    objects = np.zeros(shape, np.int32)
    objects[5:25, 5:25] = 1
    result = found(objects)
    shown = result._repr_mimebundle_()
    assert shown["text/plain"] == repr(result)
    page = shown["text/html"]
    assert page.count("<tr>") == 3 and "<th>objects</th><td>1 in" in page
    picture = iio.imread(base64.b64decode(re.search(r"base64,([^\"]+)", page)[1]), extension=".jpg").astype(int)
    top = round(5 * picture.shape[0] / shape[0])
    assert picture[top, top + 1 : 2 * top].max(axis=-1).min() > 100 and picture[2 * top, 2 * top].max() < 50


def test_without_a_picture_there_is_the_table():
    page = found(np.zeros((7, 9), np.int32), overview=False)._repr_mimebundle_()["text/html"]
    assert "<img" not in page and "<table" in page
