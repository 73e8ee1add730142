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
    labels = tables.cluster(table, 3)
    assert [set(labels[centres == centre]) for centre in (10, 0, 20)] == [{0}, {1}, {2}]
    np.testing.assert_array_equal(labels, tables.cluster(table, 3))


def test_fewer_different_images_than_clusters():
    table = pd.DataFrame(
        np.repeat([[0.0], [1.0]], [3, 2], axis=0).repeat(len(tables.FEATURES), axis=1), columns=list(tables.FEATURES)
    )
    assert tables.cluster(table, 8).tolist() == [0, 0, 0, 1, 1]


def test_three_clear_clusters_have_the_best_silhouette():
    table = pd.DataFrame(np.repeat(np.diag([9.0, 9.0, 9.0, 0, 0, 0, 0])[:3], 5, axis=0), columns=list(tables.FEATURES))
    table.iloc[:, :3] += np.random.default_rng(0).normal(0, 0.1, (15, 3))
    scores = tables.cluster_counts(table, range(2, 6)).set_index("clusters")
    assert scores["silhouette"].idxmax() == 3 and scores["inertia"].is_monotonic_decreasing
    profile = tables.cluster_profile(table, tables.cluster(table, 3))
    assert profile.shape == (3, 7) and np.allclose(profile.mean(), 0, atol=1e-6)


def test_roles_are_counted_per_stratum(samples):
    split = Split([replace(samples[0], stratum=2)], [replace(samples[1], stratum=2)], [samples[0], samples[1]])
    assert tables.role_table(split).to_dict("index") == {
        0: {"train": 0, "validation": 0, "test": 2},
        2: {"train": 1, "validation": 1, "test": 0},
    }
