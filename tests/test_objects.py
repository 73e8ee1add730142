"""Objects of masks with known answers."""

import numpy as np
import pytest

from data import Predictions, Sample
from maps import OutputMaps
from objects import (
    H_DISTANCE_MAP,
    H_PIXELS,
    Watershed,
    classify_objects,
    find_objects,
    fit_watershed,
    separate_by_distance,
    separate_by_markers,
)
from scores.matching import mean_average_precision, mean_seg


def discs(*centres, radius=12, shape=(80, 120)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= radius**2 for cy, cx in centres], axis=0)


@pytest.mark.parametrize(("gap", "expected"), [(26, 2), (22, 2), (18, 2), (4, 1)])
def test_discs_come_apart_where_they_have_a_waist(gap, expected):
    labels = separate_by_distance(discs((40, 40), (40, 40 + gap)), h=1.0)
    assert labels.dtype == np.int32 and labels.max() == expected
    if expected == 2:
        assert labels[40, 40] != labels[40, 40 + gap]
        assert (labels > 0).sum() == discs((40, 40), (40, 40 + gap)).sum()


def test_a_larger_h_divides_less():
    mask = discs((40, 40), (40, 58))
    assert separate_by_distance(mask, h=1.0).max(initial=0) == 2
    assert separate_by_distance(mask, h=5.0).max(initial=0) == 1


def test_what_the_image_cuts_off_is_one_object():
    assert separate_by_distance(discs((0, 40), (79, 100))).max(initial=0) == 2


def test_small_objects_are_dropped_and_numbers_stay_in_order():
    mask = discs((20, 20), (60, 90))
    mask[0:2, 100:102] = True
    assert separate_by_distance(mask).max(initial=0) == 3
    labels = separate_by_distance(mask, minimum_area=10)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_an_empty_mask_holds_nothing():
    assert separate_by_distance(np.zeros((20, 20), bool)).max(initial=0) == 0


def touching_pair():
    """Two squares that touch, 20x20 px each, with the probability of being inside low along their border."""
    mask = np.zeros((30, 60), bool)
    mask[5:25, 10:50] = True
    inside = np.where(mask, 0.95, 0.02)
    inside[:, 28:32] = 0.2
    return mask, inside


def test_the_border_class_divides_what_touches_and_every_pixel_keeps_an_object():
    mask, inside = touching_pair()
    labels = separate_by_markers(mask, inside, marker_threshold=0.5)
    assert labels.max() == 2 and ((labels > 0) == mask).all()
    assert np.bincount(labels.ravel())[1:].tolist() == [400, 400]
    assert separate_by_markers(mask, inside, marker_threshold=0.1).max() == 1


def test_a_piece_without_a_marker_is_one_object_and_small_ones_and_holes_go():
    mask, inside = touching_pair()
    mask[26:30, 0:4], inside[26:30, 0:4] = True, 0.3
    mask[10, 15] = False
    labels = separate_by_markers(mask, inside, marker_threshold=0.5)
    assert labels.max() == 3 and labels[10, 15] == 0
    labels = separate_by_markers(mask, inside, marker_threshold=0.5, minimum_area=20)
    assert labels.max() == 2 and labels[10, 15] > 0


def predictions(mask, truth, probability, maps):
    sample = Sample("a", np.zeros((*mask.shape, 1), np.uint8), truth)
    return Predictions([sample], [probability], [mask], maps)


def test_the_parameters_that_find_the_objects_are_chosen():
    mask, inside = touching_pair()
    truth = separate_by_markers(mask, inside, 0.5)
    border = OutputMaps(border=True)
    probability = np.stack([1 - mask, inside, mask - inside], axis=-1)
    how = fit_watershed(predictions(mask, truth, probability, border), mean_seg)
    assert how.h is None and how.marker_threshold in (0.3, 0.5, 0.7, 0.8, 0.9) and how.minimum_area <= 80
    assert find_objects(mask, probability, how, border).max() == 2
    plain = fit_watershed(predictions(mask, truth, inside[..., None], OutputMaps()), mean_seg)
    assert plain.h in H_PIXELS and plain.marker_threshold is None
    assert find_objects(mask, inside[..., None], plain, OutputMaps()).max() == 1


@pytest.mark.parametrize(
    "maps", [OutputMaps(), OutputMaps(distance=True), OutputMaps(border=True), OutputMaps(3), OutputMaps(3, False, True)]
)
def test_objects_that_the_network_doubts_are_dropped_where_that_scores_better(maps):
    mask, _ = touching_pair()
    found = np.where(mask, 0.95, 0.0)
    mask[:, 0:8], found[:, 0:8] = True, 0.72  # no object
    truth = separate_by_distance(found > 0.8)
    shown = [found] if maps.single else [1 - found, found, 0 * found]
    probability = np.stack(shown + [found] * maps.distance, axis=-1)
    assert probability.shape[-1] == maps.count
    how = fit_watershed(predictions(mask, truth, probability, maps), mean_average_precision)
    assert how.minimum_confidence == 0.75
    assert find_objects(mask, probability, how._replace(minimum_confidence=0), maps).max() == truth.max() + 1
    labels = find_objects(mask, probability, how, maps)
    assert labels.max() == truth.max() and not labels[:, 0:8].any()


def test_no_object_is_dropped_where_that_does_not_score_better():
    mask, _ = touching_pair()
    found = np.where(mask, 0.6, 0.0)[..., None]
    fitted = fit_watershed(predictions(mask, separate_by_distance(mask), found, OutputMaps()), mean_average_precision)
    assert fitted.minimum_confidence == 0


def test_numbers_far_apart_need_no_memory_for_all_numbers_between():
    mask, inside = touching_pair()
    truth = np.where(mask, 2**31 - 1, 0).astype(np.int64)
    assert fit_watershed(predictions(mask, truth, inside[..., None], OutputMaps()), mean_seg).h in H_PIXELS


def test_an_object_gets_the_class_of_most_of_its_pixels():
    labels = np.zeros((2000, 6), np.int32)  # higher than a strip
    labels[2:1900, 0:3], labels[2:1900, 3:6] = 1, 2
    classes = np.ones(labels.shape, np.uint8)
    classes[1000:1900, 0:3] = 2  # less than half of object 1
    classes[900:1900, 3:6] = 2  # more than half of object 2
    assert classify_objects(labels, classes).tolist() == [0, 1, 2]
    assert classify_objects(np.zeros((4, 4), np.int32), np.ones((4, 4), np.uint8)).tolist() == [0]


def test_objects_of_two_classes_that_touch_are_found_together_and_get_their_classes():
    mask, inside = touching_pair()
    maps = OutputMaps(classes=3, border=True)
    right = np.arange(mask.shape[1]) >= 30
    probability = np.stack([1 - mask, inside * ~right, inside * right, mask - inside], axis=-1)
    assert maps.count == 4
    labels = find_objects(mask, probability, Watershed(marker_threshold=0.5), maps)
    assert labels.max() == 2 and ((labels > 0) == mask).all()
    decided = classify_objects(labels, maps.pixel_classes(probability))
    assert decided[labels[10, 12]] == 1 and decided[labels[10, 45]] == 2


def test_pieces_that_meet_at_a_corner_both_stay():
    mask = np.zeros((30, 30), bool)
    mask[2:14, 2:14], mask[14:26, 14:26] = True, True
    inside = np.where(mask, 0.9, 0.0)
    inside[14:, 14:] *= 0.2  # below the marker threshold
    labels = separate_by_markers(mask, inside, marker_threshold=0.5)
    assert ((labels > 0) == mask).all() and labels.max() == 2


def distance_of_pair(valley):
    """Two squares that touch, as a distance map: 1 in the middle of each, ``valley`` where they meet, 0 at the edge of both."""
    mask, _ = touching_pair()
    distance = np.where(mask, 0.2, 0.0)
    distance[10:20, 15:45] = valley
    distance[10:20, 15:25] = distance[10:20, 35:45] = 1.0
    return mask, distance


@pytest.mark.parametrize(("valley", "expected"), [(0.5, 2), (0.89, 2), (0.92, 1)])
def test_a_learned_distance_map_divides_what_touches(valley, expected):
    mask, distance = distance_of_pair(valley)
    labels = separate_by_distance(mask, h=0.1, distance=distance)
    assert labels.max() == expected and ((labels > 0) == mask).all()


def test_the_distance_map_is_used_if_the_network_has_one():
    mask, distance = distance_of_pair(0.5)
    maps, probability = OutputMaps(distance=True), np.stack([mask, distance], axis=-1).astype(np.float32)
    truth = separate_by_distance(mask, 0.1, distance=distance)
    how = fit_watershed(predictions(mask, truth, probability, maps), mean_seg)
    assert how.h in H_DISTANCE_MAP
    assert find_objects(mask, probability, how, maps).max() == 2


def test_a_thin_piece_with_two_markers_is_two_objects():
    mask = np.zeros((9, 24), bool)
    mask[3:6, 2:22] = True
    inside = np.where(mask, 0.9, 0.0)
    inside[:, 11:13] = 0.1
    assert separate_by_markers(mask, inside, marker_threshold=0.5).max() == 2
