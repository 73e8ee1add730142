"""True and predicted objects side by side: drawn cases with known answers."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from data import Sample
from scores.matching import (
    IOUS,
    count_objects,
    detection_scores,
    detection_table,
    match,
    match_all,
    mean_average_precision,
    object_scores,
    pooled_detection,
)

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


def detected(truth, predicted):
    counts = count_objects(truth, predicted)
    return counts, {name: round(value, 4) for name, value in detection_scores(**counts).items()}


def test_detection_of_the_truth_and_of_nothing():
    assert detected(TRUTH, TRUTH)[1] == {"map": 1, "ap50": 1, "f1": 1, "panoptic": 1}
    assert detected(TRUTH, 0 * TRUTH)[1] == detected(0 * TRUTH, TRUTH)[1] == {"map": 0, "ap50": 0, "f1": 0, "panoptic": 0}
    assert detected(0 * TRUTH, 0 * TRUTH)[1] == {"map": 1, "ap50": 1, "f1": 1, "panoptic": 1}


def test_a_shrunken_object_counts_up_to_its_iou():
    """An IoU of 0.6 is above 0.5 and 0.55 only: (2 * 1 + 8 * 1/3) / 10; panoptic (0.6 + 1) / 2."""
    predicted = TRUTH.copy()
    predicted[0:4, 0:10] = 0
    counts, scores = detected(TRUTH, predicted)
    assert counts["matched"].tolist() == [2, 2] + [1] * 8 and (counts["splits"], counts["merges"]) == (0, 0)
    assert scores == {"map": 0.4667, "ap50": 1, "f1": 1, "panoptic": 0.8}


def test_a_split_object_and_two_merged_ones():
    cut = TRUTH.copy()
    cut[0:4, 0:10] = 9
    counts, scores = detected(TRUTH, cut)
    assert (counts["splits"], counts["merges"]) == (1, 0) and scores["ap50"] == 0.6667 and scores["f1"] == 0.8
    counts, scores = detected(TRUTH, (TRUTH > 0).astype(int))
    assert (counts["splits"], counts["merges"]) == (0, 1) and scores["ap50"] == 0.5 and scores["panoptic"] == 0.4444


def test_half_an_iou_is_no_match():
    """At exactly 0.5 two predicted halves would both match: Kaggle's score wants more."""
    predicted = np.where(np.arange(20) < 5, TRUTH, 0)
    assert count_objects(TRUTH, predicted)["matched"][0] == 0


def test_kaggles_score_as_a_plain_loop_gives_it():
    rng = np.random.default_rng(0)
    truth, predicted = (np.kron(rng.integers(0, 9, (8, 8)), np.ones((4, 4), int)) for _ in range(2))
    predicted = np.where(rng.random((32, 32)) < 0.75, truth, predicted)
    precisions = []
    for least in IOUS:
        pairs = [(truth == t, predicted == p) for t in range(1, 9) for p in range(1, 9)]
        hits = sum((a & b).sum() / (a | b).sum() > least for a, b in pairs)
        precisions.append(hits / (8 + 8 - hits))
    assert 0.1 < np.mean(precisions) < 0.9 and detected(truth, predicted)[1]["map"] == round(np.mean(precisions), 4)


def test_images_are_scored_one_by_one_and_together():
    samples = [Sample(name, np.zeros((10, 20, 1), np.uint8), TRUTH, group=3, stratum=1) for name in "ab"]
    table = detection_table(samples, [TRUTH, (TRUTH > 0).astype(int)])
    assert table["ap50"].tolist() == [1, 0.5] and table["merges"].tolist() == [0, 1] and set(table["group"]) == {3}
    assert mean_average_precision(samples, [TRUTH, TRUTH]) == 1
    pooled = pooled_detection(table)  # 4 true, 3 predicted, 3 matched
    assert pooled == pytest.approx({"ap50": 3 / 4, "f1": 6 / 7, "panoptic": 2 * (2 + 2 / 3) / 7})


def dense(truth, predicted):
    """``match`` and ``count_objects`` as plain NumPy: every true object with every predicted one."""
    true, found = (np.unique(labels[labels > 0]) for labels in (truth, predicted))
    shared = np.array([[((truth == t) & (predicted == p)).sum() for p in found] for t in true]).reshape(len(true), len(found))
    areas, others = (np.array([(a == n).sum() for n in numbers], int) for a, numbers in ((truth, true), (predicted, found)))
    iou = shared / np.maximum(areas[:, None] + others - shared, 1)
    rows = []
    for i, number in enumerate(true):
        row = {"label": number, "predicted": 0, "iou": 0.0, "covering": 0, "covering_iou": 0.0}
        if len(found) and iou[i].max() > 0:
            row |= {"predicted": found[iou[i].argmax()], "iou": iou[i].max()}
        for j in np.flatnonzero(shared[i] > areas[i] / 2):
            row |= {"covering": found[j], "covering_iou": iou[i, j]}
        rows.append(row)
    counts = {
        "objects": len(true), "predicted": len(found), "matched": [(iou > least).sum() for least in IOUS],
        "matched_iou": iou[iou > 0.5].sum(), "splits": ((shared > others / 2).sum(axis=1) > 1).sum(),
        "merges": ((shared > areas[:, None] / 2).sum(axis=0) > 1).sum(),
    }  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "predicted", "iou", "covering", "covering_iou"]), counts


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32])
def test_random_objects_match_as_in_a_dense_table(seed, dtype):
    """Coarse blocks in a finer one's place: objects that are split, merged, half covered and equally well matched."""
    rng = np.random.default_rng(seed)
    numbers = np.sort(rng.choice(60_000, 8, replace=False)).astype(dtype)
    numbers[0] = 0
    coarse, fine = (numbers[np.kron(rng.integers(0, 8, (24 // n, 24 // n)), np.ones((n, n), int))] for n in (6, 4))
    predicted = np.where(rng.random((24, 24)) < rng.choice([0.5, 0.9, 1]), coarse, fine)
    table, counts = dense(coarse, predicted)
    pd.testing.assert_frame_equal(match(coarse, predicted), table, check_dtype=False)
    found = count_objects(coarse, predicted)
    assert {name: np.array(value).tolist() for name, value in found.items()} == {
        name: np.array(value).tolist() for name, value in counts.items()
    }


def test_images_larger_than_what_is_compared_at_once(monkeypatch):
    monkeypatch.setattr("scores.matching.AT_ONCE", 7)
    table, counts = dense(TRUTH, TRUTH.T.reshape(TRUTH.shape))
    pd.testing.assert_frame_equal(match(TRUTH, TRUTH.T.reshape(TRUTH.shape)), table, check_dtype=False)
    assert count_objects(TRUTH, TRUTH.T.reshape(TRUTH.shape))["matched"].tolist() == counts["matched"]


def test_very_many_objects_need_little_memory():
    """10,000 objects against 10,000: a table of all pairs would hold 800 MB."""
    truth = np.kron(np.arange(1, 10_001, dtype=np.int32).reshape(100, 100), np.ones((4, 4), np.int32))
    tracemalloc.start()
    counts = count_objects(truth, np.roll(truth, 1, axis=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts["matched"][:3].tolist() == [10_000, 10_000, 0] and peak < 30 * 2**20  # each IoU is 12 / 20


def test_labels_up_to_32_bits_and_none_beyond():
    truth = np.where(TRUTH == 4, 2**32 - 1, TRUTH)
    assert match(truth, truth)["predicted"].tolist() == [7, 2**32 - 1]
    for wrong in (-1, 2**32):
        with pytest.raises(ValueError, match=f"the predicted labels are .*{wrong}.*expected numbers from 0 to 4294967295"):
            match(TRUTH, np.where(TRUTH == 4, wrong, TRUTH))
