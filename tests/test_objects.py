"""Objects of masks with known answers."""

import numpy as np
import pytest

from data import Predictions, Sample
from objects import DEPTHS, NECKS, divide, fit_watershed, separate, separate_by_seeds
from scores.matching import mean_average_precision, mean_seg


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
    assert separate(mask, neck=1.0).max(initial=0) == 2
    assert separate(mask, neck=5.0).max(initial=0) == 1


def test_what_the_image_cuts_off_is_one_object():
    assert separate(discs((0, 40), (79, 100))).max(initial=0) == 2


def test_small_objects_are_dropped_and_numbers_stay_in_order():
    mask = discs((20, 20), (60, 90))
    mask[0:2, 100:102] = True
    assert separate(mask).max(initial=0) == 3
    labels = separate(mask, minimum_area=10)
    assert set(np.unique(labels)) == {0, 1, 2}


def test_an_empty_mask_holds_nothing():
    assert separate(np.zeros((20, 20), bool)).max(initial=0) == 0


def touching_pair():
    """Two squares that touch, 20x20 px each, with the probability of being inside low along their border."""
    mask = np.zeros((30, 60), bool)
    mask[5:25, 10:50] = True
    inside = np.where(mask, 0.95, 0.02)
    inside[:, 28:32] = 0.2
    return mask, inside


def test_the_border_class_divides_what_touches_and_every_pixel_keeps_an_object():
    mask, inside = touching_pair()
    labels = separate_by_seeds(mask, inside, seed=0.5)
    assert labels.max() == 2 and ((labels > 0) == mask).all()
    assert np.bincount(labels.ravel())[1:].tolist() == [400, 400]
    assert separate_by_seeds(mask, inside, seed=0.1).max() == 1


def test_a_piece_without_a_seed_is_one_object_and_small_ones_and_holes_go():
    mask, inside = touching_pair()
    mask[26:30, 0:4], inside[26:30, 0:4] = True, 0.3
    mask[10, 15] = False
    labels = separate_by_seeds(mask, inside, seed=0.5)
    assert labels.max() == 3 and labels[10, 15] == 0
    labels = separate_by_seeds(mask, inside, seed=0.5, minimum_area=20)
    assert labels.max() == 2 and labels[10, 15] > 0


def test_the_separation_that_finds_the_objects_is_chosen():
    mask, inside = touching_pair()
    truth = separate_by_seeds(mask, inside, 0.5)
    probability = np.stack([1 - mask, inside, mask - inside], axis=-1)
    sample = Sample("a", np.zeros((*mask.shape, 1), np.uint8), truth)
    how = fit_watershed(Predictions([sample], [probability], [mask]), mean_seg)
    assert how.strength in (0.3, 0.5, 0.7, 0.8, 0.9) and how.minimum_area <= 80
    assert divide(mask, probability, how).max() == 2
    by_neck = fit_watershed(Predictions([sample], [probability[..., 1:2]], [mask]), mean_seg)
    assert by_neck.strength in NECKS and divide(mask, probability[..., 1:2], by_neck).max() == 1


@pytest.mark.parametrize("maps", [1, 2, 3])
def test_objects_that_the_network_doubts_are_dropped_where_that_scores_better(maps):
    mask, _ = touching_pair()
    found = np.where(mask, 0.95, 0.0)
    mask[:, 0:8], found[:, 0:8] = True, 0.72  # no object
    truth = separate(found > 0.8)
    probability = np.stack([1 - found, found, 0 * found] if maps == 3 else [found] * maps, axis=-1)
    sample = Sample("a", np.zeros((*mask.shape, 1), np.uint8), truth)
    how = fit_watershed(Predictions([sample], [probability], [mask]), mean_average_precision)
    assert how.confidence == 0.75
    assert divide(mask, probability, how._replace(confidence=0)).max() == truth.max() + 1
    labels = divide(mask, probability, how)
    assert labels.max() == truth.max() and not labels[:, 0:8].any()


def test_no_object_is_dropped_where_that_does_not_score_better():
    mask, _ = touching_pair()
    sample = Sample("a", np.zeros((*mask.shape, 1), np.uint8), separate(mask))
    found = np.where(mask, 0.6, 0.0)[..., None]
    assert fit_watershed(Predictions([sample], [found], [mask]), mean_average_precision).confidence == 0


def test_pieces_that_meet_at_a_corner_both_stay():
    mask = np.zeros((30, 30), bool)
    mask[2:14, 2:14], mask[14:26, 14:26] = True, True
    inside = np.where(mask, 0.9, 0.0)
    inside[14:, 14:] *= 0.2  # below the seed
    labels = separate_by_seeds(mask, inside, seed=0.5)
    assert ((labels > 0) == mask).all() and labels.max() == 2


def depth_of_pair(valley):
    """Two squares that touch, as depths: 1 in the middle of each, ``valley`` where they meet, 0 at the edge of both."""
    mask, _ = touching_pair()
    depth = np.where(mask, 0.2, 0.0)
    depth[10:20, 15:45] = valley
    depth[10:20, 15:25] = depth[10:20, 35:45] = 1.0
    return mask, depth


@pytest.mark.parametrize(("valley", "expected"), [(0.5, 2), (0.89, 2), (0.92, 1)])
def test_depths_of_a_network_divide_what_touches(valley, expected):
    mask, depth = depth_of_pair(valley)
    labels = separate(mask, neck=0.1, depth=depth)
    assert labels.max() == expected and ((labels > 0) == mask).all()


def test_depths_are_used_where_the_network_gives_two_maps():
    mask, depth = depth_of_pair(0.5)
    how = fit_watershed(
        Predictions([Sample("a", np.zeros((*mask.shape, 1), np.uint8), separate(mask, 0.1, depth=depth))],
                  [np.stack([mask, depth], axis=-1).astype(np.float32)], [mask]), mean_seg,
    )  # fmt: skip
    assert how.strength in DEPTHS
    assert divide(mask, np.stack([mask, depth], axis=-1).astype(np.float32), how).max() == 2


def test_a_thin_piece_with_two_seeds_is_two_objects():
    mask = np.zeros((9, 24), bool)
    mask[3:6, 2:22] = True
    inside = np.where(mask, 0.9, 0.0)
    inside[:, 11:13] = 0.1
    assert separate_by_seeds(mask, inside, seed=0.5).max() == 2
