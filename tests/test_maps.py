"""The maps of a network: what each one means, and what it learns, by drawn labels."""

import numpy as np
import pytest

from maps import OutputMaps, class_target, distance_target, edge


@pytest.mark.parametrize(
    ("maps", "names"),
    [
        (OutputMaps(), ["foreground"]),
        (OutputMaps(distance=True), ["foreground", "distance map"]),
        (OutputMaps(border=True), ["background", "inside", "border"]),
        (OutputMaps(3), ["background", "class 1", "class 2"]),
        (OutputMaps(3, distance=True), ["background", "class 1", "class 2", "distance map"]),
        (OutputMaps(4, border=True), ["background", "class 1", "class 2", "class 3", "border"]),
    ],
)
def test_every_map_has_a_name_and_a_meaning(maps, names):
    assert maps.names == names and maps.count == len(names)
    described = maps.describe()
    assert [row["name"] for row in described] == names and [row["map"] for row in described] == list(range(len(names)))
    assert all(row["meaning"] and row["activation"] for row in described)
    assert OutputMaps(**maps.to_json()) == maps


def test_one_class_is_no_network():
    with pytest.raises(ValueError, match="at least 2 classes, background and objects; found 1"):
        OutputMaps(classes=1)


def test_two_maps_with_a_distance_are_not_two_classes():
    probability = np.array([[[0.7, 0.2], [0.3, 0.9]]])
    maps = OutputMaps(distance=True)
    assert maps.foreground(probability).tolist() == [[0.7, 0.3]] and maps.distance_map(probability).tolist() == [[0.2, 0.9]]
    assert maps.class_map(probability, 0.5).tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="has no distance map; its maps are foreground"):
        OutputMaps().distance_map(probability)


def test_classes_are_decided_inside_the_foreground():
    """The second pixel: background is the most probable of all, but foreground together is more probable."""
    probability = np.array([[[0.1, 0.2, 0.7, 0.5], [0.4, 0.35, 0.25, 0.1], [0.9, 0.02, 0.08, 0.0]]])
    maps = OutputMaps(3, distance=True)
    np.testing.assert_allclose(maps.foreground(probability), [[0.9, 0.6, 0.1]])
    assert maps.class_map(probability, 0.5).tolist() == [[2, 1, 0]]
    assert maps.class_map(probability, 0.05).tolist() == [[2, 1, 2]]


def test_a_border_belongs_to_the_foreground_and_to_no_class():
    probability = np.array([[[0.1, 0.1, 0.2, 0.6]]])
    maps = OutputMaps(3, border=True)
    assert maps.foreground(probability)[0, 0] == pytest.approx(0.9) and maps.inside(probability)[0, 0] == pytest.approx(0.3)
    assert maps.class_map(probability, 0.5).tolist() == [[2]]


def test_the_edges_of_objects_become_a_border_of_the_given_width():
    mask = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0, 3, 3, 3]])
    foreground, maps = (mask > 0).astype(np.uint8), OutputMaps(border=True)
    assert class_target(mask, foreground, maps, 1).tolist() == [[1, 1, 1, 2, 2, 1, 1, 1, 2, 0, 0, 2, 1, 1]]  # not at the end
    assert class_target(mask, foreground, maps, 2).tolist() == [[1, 1, 2, 2, 2, 2, 1, 2, 2, 0, 0, 2, 2, 1]]
    assert class_target(mask, foreground, OutputMaps()).max() == 1


def test_the_border_of_three_classes_is_class_three():
    mask, classes = np.array([[1, 1, 1, 2, 2, 2, 0]]), np.array([[1, 1, 1, 2, 2, 2, 0]], np.uint8)
    assert class_target(mask, classes, OutputMaps(3, border=True), 1).tolist() == [[1, 1, 3, 3, 2, 3, 0]]
    assert class_target(mask, classes, OutputMaps(3)).tolist() == classes.tolist()


def test_the_distance_map_rises_from_every_edge_to_one():
    mask = np.zeros((7, 14), np.uint16)
    mask[1:6, 1:6], mask[1:6, 6:13] = 3, 9  # 5x5 and 5x7 px, which touch
    found = distance_target(mask)
    np.testing.assert_allclose(found[3], np.array([0, 1, 2, 3, 2, 1, 1, 2, 3, 3, 3, 2, 1, 0]) / 3, atol=1e-6)
    assert found.dtype == np.float32 and found[0].max() == 0
    assert distance_target(np.ones((4, 4), int)).tolist() == np.ones((4, 4)).tolist()  # no edge in sight
    assert distance_target(np.zeros((4, 4), int)).max() == 0


def test_numbers_that_a_float32_does_not_tell_apart_are_two_objects():
    mask = np.where(np.arange(12) < 6, 2**24, 2**24 + 1)[None].repeat(3, axis=0).astype(np.int64)
    assert edge(mask, 1)[1].tolist() == [False] * 5 + [True, True] + [False] * 5
    assert distance_target(mask)[1].argmin() in (5, 6)
