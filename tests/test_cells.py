"""Cells: roles by sequence or block of frames, and objects and sizes measured beside the truth's."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

import cells
from data import Predictions, Sample
from readers import ctc
from scores.measurements import measure_objects
from simulate import cells as simulate_cells

IMAGE = np.zeros((4, 4, 1), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two short simulated sequences; read only."""
    return simulate_cells.low_contrast_cells(tmp_path_factory.mktemp("data") / "cells", frames=4, side=160)


@pytest.fixture(scope="module")
def simulated(folder):
    """Their labelled frames."""
    return cells.load(folder)


def frames(sequence, count, gold=()):
    return [
        Sample(f"{sequence}_t{i:03d}_{'gold' if i in gold else 'silver'}", IMAGE, np.eye(4, dtype=np.uint16),
               stratum=ctc.GOLD if i in gold else ctc.SILVER)
        for i in range(count)
    ]  # fmt: skip


def numbers(samples):
    return [ctc.place(sample)[1] for sample in samples]


def test_of_two_sequences_one_is_the_test_whole():
    samples = [*frames("01", 50), *frames("02", 20, gold=(3,))]
    split = cells.split(samples, cells.CONFIG)
    assert {ctc.place(s)[0] for s in split.test} == {"02"} and len(split.test) == 20
    assert numbers(split.validation) == list(range(10)) and numbers(split.train) == list(range(15, 50))
    other = cells.split(samples, cells.CONFIG.replace(hold_out="01"))
    assert len(other.test) == 50 and {ctc.place(s)[0] for s in [*other.train, *other.validation]} == {"02"}


def test_of_one_sequence_the_block_with_most_gold_labels_is_the_test_with_gaps_around_it():
    split = cells.split(frames("01", 100, gold=(25, 30, 90)), cells.CONFIG)
    assert numbers(split.test) == list(range(20, 40))
    assert set(numbers(split.validation)) <= set(range(45, 60)) and len(split.validation) == cells.VALIDATION_FRAMES
    assert numbers(split.train) == [*range(15), *range(65, 100)]
    assert cells.hold_outs(frames("01", 100)) == ["1", "2", "3", "4", "5"]


def test_a_sequence_that_is_not_there():
    for held in ("03", "01 block 1"):
        with pytest.raises(ValueError, match=f"--hold-out {held}: not among the data, which has 01, 02"):
            cells.split([*frames("01", 50), *frames("02", 20)], cells.CONFIG.replace(hold_out=held))


def test_frames_without_a_cell_cannot_be_the_test():
    empty = [replace(sample, mask=np.zeros((4, 4), np.uint16)) for sample in frames("02", 20)]
    with pytest.raises(ValueError, match="--hold-out 02: no frame in it has a labelled cell; choose another one for the test"):
        cells.split([*frames("01", 50), *empty], cells.CONFIG)


def test_several_data_sets_and_none(tmp_path):
    assert cells.find(tmp_path) is None
    (tmp_path / "DIC-C2DH-HeLa/01").mkdir(parents=True)
    assert cells.find(tmp_path) == tmp_path / "DIC-C2DH-HeLa"
    (tmp_path / "PhC-C2DH-U373/01").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds DIC-C2DH-HeLa, PhC-C2DH-U373; say which one with --data"):
        cells.find(tmp_path)
    with pytest.raises(ValueError, match="is no data set of the Cell Tracking Challenge"):
        cells.load(tmp_path)


def perfect(samples):
    """A prediction that is the truth."""
    inside = [(sample.mask > 0).astype(np.float32) for sample in samples]
    probabilities = [np.stack([1 - part, part, 0 * part], axis=-1) for part in inside]
    return Predictions(samples, probabilities, [part.astype(np.uint8) for part in inside])


def test_a_perfect_prediction_of_separate_cells(simulated):
    apart = [s for s in simulated if s.stratum == ctc.GOLD]
    apart = [_without_touching(sample) for sample in apart]
    measured = cells.measure(perfect(apart), perfect(apart), Predictions([], [], []), cells.CONFIG)
    assert measured.scores["seg"] == measured.scores["object_iou"] == 1
    assert measured.tables["objects"]["label_kind"].tolist() == ["gold"]
    assert measured.tables["agreement"]["error"].max() == 0
    table = measured.tables["measurements"]
    assert len(table) == len(measured.tables["measurements_of_truth"]) == sum(len(np.unique(s.mask)) - 1 for s in apart)
    np.testing.assert_allclose(table["feret_max_um"], 0.65 * table["feret_max"], rtol=1e-3)
    assert set(measured.figures) == {"objects", "agreement"}
    for sample in apart:
        labels = measured.tiffs[f"predictions/{sample.name}_objects"]
        assert labels.dtype == np.uint16 and ((labels > 0) == (sample.mask > 0)).all()


def _without_touching(sample):
    """The sample without cells that touch another one."""
    mask = sample.mask.copy()
    for number in np.unique(mask[mask > 0]):
        near = ndimage.binary_dilation(mask == number, np.ones((5, 5)))
        if ((mask != number) & (mask > 0) & near).any():
            mask[mask == number] = 0
    return Sample(sample.name, sample.image, mask, sample.group, sample.stratum, sample.pixel_size)


def test_only_whole_cells_that_were_found_are_compared(simulated):
    sample = next(s for s in simulated if s.stratum == ctc.GOLD)
    truth = np.zeros_like(sample.mask)
    truth[10:30, 10:30], truth[60:80, 60:80], truth[0:20, 100:120], truth[120:140, 20:40] = 1, 2, 3, 4
    found = np.zeros_like(truth)
    found[10:30, 12:30], found[66:80, 73:80], found[1:20, 100:120], found[118:142, 20:40] = 5, 6, 7, 8
    sample = Sample("a", sample.image, truth)
    true, measured = (cells._measure_all([sample], [labels], [None]) for labels in (truth, found))
    true, measured = cells.compared(cells.match_all([sample], [found]), true, measured)
    assert true["label"].tolist() == [1, 4]
    assert measured["area"].tolist() == [360, 480]


def test_known_diameters_are_measured_to_within_a_pixel(folder, simulated):
    """The axes that the ellipses were drawn with, in every gold frame."""
    errors = []
    for sample in (s for s in simulated if s.stratum == ctc.GOLD):
        sequence, frame = ctc.place(sample)
        known = pd.read_csv(folder / f"{sequence}_GT/axes.csv")
        known = known[(known["frame"] == frame) & ~known["touches_border"]]
        both = known.merge(measure_objects(sample.mask), on="label")
        errors += list(both["feret_max"] - both["major_px"]) + list(both["feret_min"] - both["minor_px"])
        errors += list(both["equivalent_diameter"] - np.sqrt(both["major_px"] * both["minor_px"]))
    assert len(errors) >= 9 and np.abs(errors).mean() < 0.5 and np.abs(errors).max() < 1.5
