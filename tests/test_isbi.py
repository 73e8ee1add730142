"""ISBI 2012: volumes, blocks of slices, the challenge's scores of drawn membranes."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import isbi
from data import Predictions


def write(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")


@pytest.fixture
def folder(tmp_path):
    """Ten slices of four square cells between membranes of two px, and three test slices."""
    label = np.full((32, 32), 255, np.uint8)
    label[15:17], label[:, 15:17] = 0, 0
    write(tmp_path / isbi.IMAGES, np.stack([label + n for n in range(10)]))
    write(tmp_path / isbi.LABELS, np.stack([label] * 10))
    write(tmp_path / isbi.TEST, np.stack([label] * 3))
    return tmp_path


def test_slices_and_their_numbered_cells(folder):
    samples = isbi.load(folder)
    assert len(samples) == 10 and samples[3].name == "slice_003" and samples[3].image.shape == (32, 32, 1)
    assert samples[0].mask.max() == 4 and (samples[0].mask == 0).sum() == 2 * 2 * 32 - 4
    assert [s.name for s in isbi.load_unlabelled(folder)] == ["test_000", "test_001", "test_002"]


def test_a_volume_of_the_published_size_is_not_the_published_one(folder):
    rng = np.random.default_rng(0)
    write(folder / isbi.IMAGES, rng.integers(0, 255, (5, 512, 512), dtype=np.uint8))
    write(folder / isbi.LABELS, np.full((5, 512, 512), 255, np.uint8))
    assert not isbi.RECIPE.is_published(isbi.load(folder), folder)


def test_a_slice_without_a_cell_is_named(folder):
    labels = tifffile.imread(folder / isbi.LABELS)
    labels[3] = 0
    write(folder / isbi.LABELS, labels)
    with pytest.raises(ValueError, match=r"train-labels\.tif, slice 3: holds no cell, only membrane"):
        isbi.load(folder)


def test_no_test_volume_is_no_mistake(folder):
    (folder / isbi.TEST).unlink()
    assert isbi.load_unlabelled(folder) == [] and isbi.find(folder) == folder


def test_blocks_of_neighbouring_slices(folder):
    split = isbi.split(isbi.load(folder), isbi.CONFIG.replace(hold_out="4"))
    numbers = [[int(s.name[-3:]) for s in members] for _, members in split.items()]
    assert numbers == [[0, 1, 2, 3, 4], [9], [6, 7]]  # 5 and 8 are too close to what is reported
    assert isbi.hold_outs([]) == ["1", "2", "3", "4", "5"]


def test_too_few_slices(folder):
    with pytest.raises(ValueError, match="has 4 slices; 5 blocks of neighbouring ones need at least 5"):
        isbi.split(isbi.load(folder)[:4], isbi.CONFIG)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (isbi.LABELS, (9, 32, 32), r"train-labels\.tif: has 9 slices, train-volume\.tif has 10"),
        (isbi.LABELS, (10, 32, 30), r"train-labels\.tif: slices of \(32, 30\) px, train-volume\.tif has \(32, 32\) px"),
        (isbi.IMAGES, (9, 32, 32), r"train-labels\.tif: has 10 slices, train-volume\.tif has 9"),
    ],
)
def test_volumes_that_do_not_fit(folder, name, shape, message):
    write(folder / name, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=message):
        isbi.load(folder)


def test_a_stack_that_is_rgb_by_mistake(folder):
    tifffile.imwrite(folder / isbi.LABELS, np.zeros((10, 32, 32, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"train-labels\.tif: its pages have 3 channels"):
        isbi.load(folder)


def test_labels_with_other_values_and_missing_files(folder):
    write(folder / isbi.LABELS, np.full((10, 32, 32), 7, np.uint8))
    with pytest.raises(ValueError, match=r"train-labels\.tif, slice 0: mask values 7"):
        isbi.load(folder)
    (folder / isbi.LABELS).unlink()
    with pytest.raises(ValueError, match=r"train-labels\.tif: is not there; expected train-volume\.tif"):
        isbi.load(folder)


def predicted(samples, membrane):
    """A prediction with the given probability (H, W) of membrane in every slice."""
    probability = (1 - membrane)[..., None].astype(np.float32)
    return Predictions(samples, [probability] * len(samples), [probability[..., 0] > 0.5] * len(samples))


def test_the_truth_scores_one_at_every_threshold(folder):
    samples = isbi.load(folder)
    truth = (samples[0].mask == 0).astype(float)
    table = isbi.threshold_table(samples[:2], isbi.membranes(predicted(samples[:2], truth), None))
    assert len(table) == 9 and (table["pixel_error"] == 0).all()
    assert table["v_rand"].min() == pytest.approx(1) and table["v_info"].min() == pytest.approx(1)


def test_the_best_threshold_and_the_fitted_one(folder):
    """A membrane that is faint in the validation set, and clutter that is as faint in the test set."""
    samples = isbi.load(folder)
    truth = samples[0].mask == 0
    faint = np.where(truth, 0.25, 0.0)
    cluttered = np.where(truth, 0.95, 0.0)
    cluttered[8, :] = np.maximum(cluttered[8, :], 0.35)
    none = Predictions([], [], [])
    measured = isbi.measure(predicted(samples[:2], faint), predicted(samples[2:4], cluttered), none, isbi.CONFIG)
    scores = measured.scores
    assert scores["membrane_threshold"] in (0.1, 0.2) and scores["v_rand"] == pytest.approx(1)
    assert scores["v_rand_at_fitted_threshold"] < 0.9
    wrong = (ndimage.binary_dilation(cluttered > 0.2) & (cluttered > 0.2) & ~truth).mean()
    assert scores["pixel_error_at_fitted_threshold"] == pytest.approx(wrong)
    assert not measured.tiffs


def test_gaps_are_closed_as_the_validation_set_asks(folder):
    """Membranes of probability 0.9 with a gap of 0.05: where all gaps are alike, closing them restores every cell."""
    samples = isbi.load(folder)
    gaps = np.where(samples[0].mask == 0, 0.9, 0.0)
    gaps[6:10, 15:17] = 0.05
    part = predicted(samples[:2], gaps)
    scores = isbi.measure(part, predicted(samples[2:4], gaps), Predictions([], [], []), isbi.CONFIG).scores
    assert scores["gap_h"] in (0.05, 0.07, 0.1) and scores["v_rand"] > 0.99 > scores["v_rand_with_gaps"]
    # A whole membrane has no gap to close, and nothing changes.
    whole = predicted(samples[:2], np.where(samples[0].mask == 0, 0.95, 0.0))
    scores = isbi.measure(whole, part, Predictions([], [], []), isbi.CONFIG).scores
    assert scores["gap_h"] is None and scores["v_rand"] == scores["v_rand_with_gaps"]


def test_the_submission_is_the_probability_of_cell_for_every_test_slice(folder):
    samples, test = isbi.load(folder)[:2], isbi.load_unlabelled(folder)
    part = predicted(samples, (samples[0].mask == 0).astype(float))
    measured = isbi.measure(part, part, predicted(test, np.full((32, 32), 0.25)), isbi.CONFIG)
    submission = measured.tiffs["submission"]
    assert submission.shape == (3, 32, 32) and submission.dtype == np.float32 and (submission == 0.75).all()
