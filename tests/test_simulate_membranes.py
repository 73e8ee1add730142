"""Simulated membranes: every cell enclosed, slices that change gradually, clutter that is not membrane."""

import numpy as np
import pytest
import tifffile

from scores.partitions import cells_of_truth
from simulate import membranes as simulate_membranes

SLICES, SIDE = 8, 112


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight slices of 112x112 px with labels, five without; read only."""
    return simulate_membranes.membranes(tmp_path_factory.mktemp("data") / "membranes", SLICES, SIDE)


@pytest.fixture(scope="module")
def owner():
    """Which neurite each pixel of a slice belongs to."""
    neurites = simulate_membranes.scatter_neurites(np.random.default_rng(0), 8, 160)
    return simulate_membranes.divide(neurites, 3, np.zeros((2, 160, 160), np.float32))


def neurite(column, radius, mitochondrion=False, drift=0.0):
    axes = np.eye(2, dtype=np.float32) / np.float32(radius)
    return simulate_membranes.Neurite(np.array([20.0, column]), np.array([0.0, drift]), radius, axes, 0.0, 10.0, mitochondrion)


def read(folder, name):
    return tifffile.imread(folder / f"{name}.tif")


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


def test_the_challenges_layout(folder):
    sizes = {"train-volume": SLICES, "train-labels": SLICES, "test-volume": simulate_membranes.TEST_SLICES}
    assert {path.stem for path in folder.glob("*.tif")} == set(sizes)
    for name, pages in sizes.items():
        with tifffile.TiffFile(folder / f"{name}.tif") as file:
            assert len(file.pages) == pages
        assert read(folder, name).shape == (pages, SIDE, SIDE) and read(folder, name).dtype == np.uint8
    labels = read(folder, "train-labels")
    assert np.unique(labels).tolist() == [0, 255] and 0.6 < (labels > 0).mean() < 0.9


@pytest.mark.parametrize("half", [1, 2])
def test_membranes_enclose_every_cell(owner, half):
    cells = simulate_membranes.draw_cells(simulate_membranes.from_membrane(owner), half)
    numbered = cells_of_truth(cells)
    assert numbered.max() > 15
    for number in range(1, numbered.max() + 1):
        assert len(np.unique(owner[numbered == number])) == 1
        assert (numbered == number).sum() >= simulate_membranes.SMALLEST
    thin, thick = (simulate_membranes.draw_cells(simulate_membranes.from_membrane(owner), half).mean() for half in (1, 2))
    assert thin > thick + 0.05


def test_distances_and_thickness_by_hand():
    owner = np.repeat([[0, 1]], [10, 10], axis=1).repeat(20, axis=0)
    away = simulate_membranes.from_membrane(owner)
    np.testing.assert_array_equal(away[5], np.abs(np.arange(20) - 9))
    np.testing.assert_array_equal(simulate_membranes.from_membrane(owner.T), away.T)
    for half, thickness in ((1, 3), (2.4, 5)):
        cells = simulate_membranes.draw_cells(away, half)
        assert (~cells).sum(axis=1).tolist() == [thickness] * 20


def test_small_remains_of_cells_are_membrane():
    away = np.zeros((20, 20))
    away[:3, :5] = 9
    away[10:, 10:14] = 9
    cells = simulate_membranes.draw_cells(away, 1)
    assert not cells[:3, :5].any() and cells[10:, 10:14].all() and cells.sum() == 40


def test_the_larger_of_two_neurites_takes_more_and_moves():
    flat = np.zeros((2, 41, 61), np.float32)
    small, large = neurite(10.0, 8.0), neurite(50.0, 16.0)
    row = simulate_membranes.divide([small, large], 0, flat)[20]
    assert (row == 0).sum() == pytest.approx(26, abs=1)  # halfway between their borders, at columns 18 and 34
    assert (simulate_membranes.divide([neurite(10.0, 8.0, drift=2.0), large], 3, flat)[20] == 0).sum() > 27
    assert (simulate_membranes.divide([small, large], 5, flat)[20] == 0).sum() == 28  # both a quarter thinner


def test_neighbouring_slices_are_alike(folder):
    membranes = read(folder, "train-labels") == 0
    near = [dice(membranes[z], membranes[z + 1]) for z in range(SLICES - 1)]
    far = [dice(membranes[z], membranes[z + 6]) for z in range(SLICES - 6)]
    assert np.mean(near) > 0.6 > np.mean(far) + 0.15
    images = read(folder, "train-volume").astype(float)
    alike = [np.corrcoef(images[z].ravel(), images[z + 1].ravel())[0, 1] for z in range(SLICES - 1)]
    assert np.mean(alike) > 0.4


def test_large_and_small_cells(owner):
    areas = np.sort(np.bincount(owner.ravel()))
    assert areas[-1] > 4 * np.median(areas[areas > 0])


def test_membranes_are_dark_lines_on_grey_cells(folder):
    images, cells = read(folder, "train-volume").astype(float), read(folder, "train-labels") > 0
    assert images[~cells].mean() < images[cells].mean() - 40
    assert 20 < images.std() < 50


def test_mitochondria_are_dark_and_stay_within_their_cell():
    owner = np.ones((41, 61), int)
    owner[:, 24:] = 0
    cells = [neurite(20.0, 16.0, mitochondrion=True), neurite(50.0, 16.0)]
    flat = np.zeros((2, 41, 61), np.float32)
    added = simulate_membranes.mitochondria(cells, 0, flat, 1 - owner)
    assert added[20, 20] < -20 and not added[:, 24:].any() and not added[20, :10].any()
    assert added[20].min() < -60  # the rim
    assert not simulate_membranes.mitochondria(cells, 6, flat, 1 - owner).any()


def test_vesicles_and_texture_are_clutter():
    grey = simulate_membranes.cytoplasm(np.random.default_rng(0), (3, 96, 96))
    assert grey.shape == (3, 96, 96)
    assert 10 < grey.std() < 40 and grey.min() < -80


def test_the_same_seed_gives_the_same_files(tmp_path):
    one, two, other = (
        simulate_membranes.membranes(tmp_path / name, simulate_membranes.TEST_SLICES, 48, seed)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    files = sorted(path.relative_to(one) for path in one.iterdir())
    assert len(files) == 4
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert (one / "train-volume.tif").read_bytes() != (other / "train-volume.tif").read_bytes()
    assert not np.array_equal(read(one, "train-volume")[0], read(one, "test-volume")[0])
