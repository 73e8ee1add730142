"""Readable names of columns, scores and settings; short names of images."""

import pytest

import config
from explore.tables import FEATURES
from scores.measurements import LENGTHS, QUANTITIES
from system.names import READABLE, images_of, readable, short_names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("area", "Area (px²)"),
        ("area_um2", "Area (µm²)"),
        ("feret_max_um", "Largest Feret diameter (µm)"),
        ("dice_mean", "Dice, mean of the images"),
        ("iou_pooled", "IoU, whole test set as one"),
        ("accuracy_worst", "Accuracy, worst image"),
        ("mean_intensity", "Mean intensity"),
        ("learning_rate", "Learning rate"),
        ("hold_out", "Held out for the test"),
        ("nuclei per image", "nuclei per image"),
        ("Area of a cell (px²)", "Area of a cell (px²)"),
        ("V_rand", "V_rand"),
    ],
)
def test_names_become_readable(name, text):
    assert readable(name) == text


def test_no_axis_shows_a_raw_name():
    names = [*LENGTHS, *QUANTITIES, *FEATURES, *(f"{length}_um" for length in LENGTHS), *vars(config.Config())]
    assert not [name for name in names if "_" in readable(name) or readable(name)[0].islower()]
    assert {*LENGTHS, *QUANTITIES, *FEATURES} <= set(READABLE)


def test_lengths_and_areas_have_units():
    assert all(readable(name).endswith("(px)") and readable(f"{name}_um").endswith("(µm)") for name in LENGTHS)


def test_short_names_stay():
    assert short_names(["a", "cell_01", ""]) == ["a", "cell_01", ""]


def test_the_beginning_and_the_end_of_a_long_name_are_shown():
    names = ["SIMCEPImages_A10_C40_F1_s05_w1", "SIMCEPImages_A10_C40_F1_s05_w2"]
    assert short_names(names) == ["SIMCEP…A10_C40_F1_s05_w1", "SIMCEP…A10_C40_F1_s05_w2"]


def test_a_hash_is_shown_by_its_beginning():
    assert short_names(["0" * 64, "0" * 8 + "1" * 56]) == ["0" * 9, "0" * 8 + "1"]


@pytest.mark.parametrize(
    "names",
    [
        [f"experiment_of_monday_patient_{patient}_overview_objective_20x_channel_1" for patient in "abc"],
        [f"{letter}{'x' * 60}" for letter in "ab"],
        [f"{'x' * 30}{letter}{'y' * 30}" for letter in "abc"],
        ["a" * 70, "a" * 71],
        ["f" * 32 + "0", "f" * 33 + "0", "other"],
    ],
)
def test_different_names_stay_different(names):
    short = short_names(names)
    assert len(set(short)) == len(names) == len(short)
    assert all(len(one) <= len(other) for one, other in zip(short, names, strict=True))


def test_equal_names_do_not_make_all_longer():
    assert short_names(["g" * 40, "g" * 40]) == 2 * [f"{'g' * 6}…{'g' * 17}"]


def test_numbers_of_images():
    assert (images_of(1), images_of(0), images_of(7)) == ("1 image", "0 images", "7 images")
