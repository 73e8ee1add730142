"""True and predicted objects side by side: drawn cases with known answers."""

import numpy as np
import pytest

from data import Sample
from matching import match, match_all, object_scores

TRUTH = np.zeros((10, 20), int)
TRUTH[0:10, 0:10] = 4  # 100 px
TRUTH[0:5, 10:20] = 7  # 50 px


def test_the_truth_against_itself_is_perfect():
    assert object_scores(match(TRUTH, TRUTH)) == {"seg": 1.0, "object_iou": 1.0, "found": 1.0}


def test_an_object_cut_in_two_counts_with_its_larger_half():
    predicted = TRUTH.copy()
    predicted[0:4, 0:10] = 9  # 60 px of the first stay 4
    first, second = match(TRUTH, predicted).to_dict("records")
    assert first == {"label": 4, "predicted": 4, "iou": 0.6, "covering": 4, "covering_iou": 0.6}
    assert second["iou"] == 1


def test_two_objects_in_one():
    scores = object_scores(match(TRUTH, (TRUTH > 0).astype(int)))
    assert scores["seg"] == scores["object_iou"] == pytest.approx((100 / 150 + 50 / 150) / 2)
    assert scores["found"] == 0.5


def test_half_an_object_is_not_enough_for_seg():
    """The challenge wants more than half of the true object covered: exactly half does not count."""
    predicted = np.where(np.arange(20) < 5, TRUTH, 0)
    first = match(TRUTH, predicted).to_dict("records")[0]
    assert first["iou"] == 0.5 and first["covering"] == 0 and first["covering_iou"] == 0


def test_nothing_predicted_and_nothing_true():
    assert object_scores(match(TRUTH, TRUTH * 0)) == {"seg": 0.0, "object_iou": 0.0, "found": 0.0}
    assert len(match(TRUTH * 0, TRUTH)) == 0


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"\(10, 20\) px and the predicted \(10, 19\)"):
        match(TRUTH, TRUTH[:, :19])


def test_many_images_keep_their_names():
    samples = [Sample(name, np.zeros((10, 20, 1), np.uint8), TRUTH, stratum=2) for name in "ab"]
    table = match_all(samples, [TRUTH, TRUTH * 0])
    assert table["name"].tolist() == ["a", "a", "b", "b"] and set(table["stratum"]) == {2}
    assert object_scores(table)["seg"] == 0.5
