"""Tables of drawn images with known numbers; clusters that are the same every time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data import Sample, Split
from explore import tables


@pytest.fixture
def samples():
    gray = np.zeros((10, 20, 1), np.uint8)
    gray[:, 10:] = 255
    pink = np.full((10, 10, 3), (255, 128, 200), np.uint8)
    mask = np.zeros((10, 20), np.uint16)
    mask[0, :3], mask[5, :5], mask[9, :10] = 1, 2, 9
    return [Sample("gray", gray, mask), Sample("pink", pink, np.zeros((10, 10), np.uint16))]


def test_sizes(samples):
    table = tables.size_table([*samples, samples[0]])
    assert table.to_dict("records")[0] == {"height": 10, "width": 20, "images": 2}


def test_nuclei_areas_and_foreground(samples):
    assert tables.object_areas(samples[0]).tolist() == [3, 5, 10]
    table = tables.mask_table(samples)
    assert table.loc["gray"].tolist() == [3, 18 / 200, 5]
    large = replace(samples[0], mask=np.uint32(2**31 - 1) * (samples[0].mask == 9) + samples[0].mask % 9)
    assert tables.object_areas(large).tolist() == [3, 5, 10]
    assert table.loc["pink", "objects"] == 0 and np.isnan(table.loc["pink", "median_area"])


def test_image_statistics(samples):
    table = tables.image_table(samples)
    assert table.loc["gray", "brightness"] == pytest.approx(0.5)
    assert table.loc["gray", "contrast"] == pytest.approx(0.5)
    assert table.loc["gray", "skewness"] == pytest.approx(0, abs=1e-6)
    assert table.loc["gray", ["redness", "blueness"]].tolist() == [0, 0]
    assert table.loc["pink", "redness"] > 0.2 and table.loc["pink", "blueness"] > 0
    assert table.loc["gray", "log_pixels"] == pytest.approx(np.log10(200))


def test_red_is_not_blue():
    red = Sample("red", np.full((4, 4, 3), (200, 0, 0), np.uint8), np.zeros((4, 4), np.uint8))
    table = tables.image_table([red])
    assert table.loc["red", "redness"] > 0.4 and table.loc["red", "blueness"] < -0.3


def test_bright_spots_skew_up_and_dark_spots_down():
    spots = np.zeros((20, 20, 1), np.uint8)
    spots[:4, :4] = 255
    mask = np.zeros((20, 20), np.uint8)
    skewness = tables.image_table([Sample("a", spots, mask), Sample("b", 255 - spots, mask)])["skewness"]
    assert skewness["a"] > 1 and skewness["b"] == pytest.approx(-skewness["a"], rel=1e-3)


def test_clusters_are_deterministic_and_the_largest_is_first():
    rng = np.random.default_rng(0)
    centres = np.repeat([0, 10, 20], [30, 50, 20])
    values = centres[:, None] + rng.normal(0, 0.1, (100, len(tables.FEATURES)))
    table = pd.DataFrame(values, columns=list(tables.FEATURES))
    labels = tables.kmeans_clusters(table, 3)
    assert [set(labels[centres == centre]) for centre in (10, 0, 20)] == [{0}, {1}, {2}]
    np.testing.assert_array_equal(labels, tables.kmeans_clusters(table, 3))


def test_fewer_different_images_than_clusters():
    table = pd.DataFrame(
        np.repeat([[0.0], [1.0]], [3, 2], axis=0).repeat(len(tables.FEATURES), axis=1), columns=list(tables.FEATURES)
    )
    assert tables.kmeans_clusters(table, 8).tolist() == [0, 0, 0, 1, 1]


def test_three_clear_clusters_have_the_best_silhouette():
    table = pd.DataFrame(np.repeat(np.diag([9.0, 9.0, 9.0, 0, 0, 0, 0])[:3], 5, axis=0), columns=list(tables.FEATURES))
    table.iloc[:, :3] += np.random.default_rng(0).normal(0, 0.1, (15, 3))
    scores = tables.cluster_counts(table, range(2, 6)).set_index("clusters")
    assert scores["silhouette"].idxmax() == 3 and scores["inertia"].is_monotonic_decreasing
    profile = tables.cluster_profile(table, tables.kmeans_clusters(table, 3))
    assert profile.shape == (3, 7) and np.allclose(profile.mean(), 0, atol=1e-6)


def features(**changes):
    """One row of features: a dark gray field, changed as the keywords say."""
    row = {
        "brightness": 0.1,
        "contrast": 0.1,
        "skewness": 3.0,
        "redness": 0.0,
        "blueness": 0.0,
        "texture": -0.8,
        "log_pixels": 5.0,
    }
    return row | changes


def test_clusters_are_named_by_what_they_show():
    rows = [
        features(),
        features(log_pixels=6.0),
        features(texture=-0.2, log_pixels=4.9),
        features(brightness=0.7, skewness=-2.0, redness=0.2, blueness=0.2),
        features(brightness=0.7, skewness=-2.0, redness=0.2, blueness=0.0),
        features(brightness=0.9, skewness=-1.0),
    ]
    table = pd.DataFrame(rows * 2)
    assert tables.cluster_names(table, [0, 1, 2, 3, 4, 5] * 2) == {
        0: "0 dark, gray, smooth", 1: "1 dark, gray, large", 2: "2 dark, gray, fine",
        3: "3 bright, purple", 4: "4 bright, pink", 5: "5 bright, gray",
    }  # fmt: skip


def test_cluster_names_are_short_unique_and_the_same_each_time():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(0, 1, (60, len(tables.FEATURES))), columns=list(tables.FEATURES))
    names = tables.cluster_names(table, np.arange(60) % 10)
    assert list(names) == list(range(10)) and len(set(names.values())) == 10 and max(map(len, names.values())) <= 24
    assert names == tables.cluster_names(table, np.arange(60) % 10)


def test_the_name_of_a_single_cluster():
    assert tables.cluster_names(pd.DataFrame([features()]), [3]) == {3: "3 dark, gray"}


@pytest.mark.parametrize(
    ("colour", "word"),
    [((255, 0, 0), "red"), ((0, 0, 255), "blue"), ((0, 160, 0), "green"), ((240, 220, 0), "yellow"), ((0, 180, 180), "cyan"),
     ((120, 60, 160), "purple"), ((255, 150, 180), "pink"), ((90, 90, 90), "gray")],
)  # fmt: skip
def test_the_colour_in_a_name_is_that_of_the_images(colour, word):
    table = tables.image_table([Sample("a", np.full((4, 4, 3), colour, np.uint8), np.zeros((4, 4), np.uint8))])
    assert f", {word}" in tables.cluster_names(table, [0])[0]


def test_roles_are_counted_per_stratum(samples):
    split = Split([replace(samples[0], stratum=2)], [replace(samples[1], stratum=2)], [samples[0], samples[1]])
    assert tables.role_table(split).to_dict("index") == {
        0: {"train": 0, "validation": 0, "test": 2},
        2: {"train": 1, "validation": 1, "test": 0},
    }
