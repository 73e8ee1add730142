"""Simulated tomograms: pairs of slices, cells that end within the stack, samples that differ more than slices do."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from simulate import stacks as simulate_stacks

SAMPLES, SLICES, SIDE = 3, 8, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three samples of eight slices, 64x64 px; read only."""
    return simulate_stacks.stacks(tmp_path_factory.mktemp("data") / "stacks", SAMPLES, SLICES, SIDE)


def read(folder, part, sample):
    return np.stack([tifffile.imread(path) for path in sorted((folder / part).glob(f"{sample}_image_*.tiff"))])


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


def test_the_layout(folder):
    names = [f"{sample}_image_{index:04d}.tiff" for sample in range(1, SAMPLES + 1) for index in range(SLICES)]
    for part, kind in (("inp", np.uint16), ("out", np.uint8)):
        assert sorted(path.name for path in (folder / part).iterdir()) == names
        stack = read(folder, part, 1)
        assert stack.shape == (SLICES, SIDE, SIDE) and stack.dtype == kind
    assert np.unique(read(folder, "out", 1)).tolist() == [0, 255]


def test_each_sample_is_one_cell_that_ends_within_the_stack(folder):
    for sample in range(1, SAMPLES + 1):
        cell = read(folder, "out", sample) > 0
        assert ndimage.label(cell)[1] == 1
        assert not cell[[0, -1]].any() and cell[SLICES // 2].mean() > 0.15
        assert 0.1 < cell.mean() < 0.45


def test_neighbouring_slices_are_alike_and_samples_differ(folder):
    cells = [read(folder, "out", sample) > 0 for sample in range(1, SAMPLES + 1)]
    images = [read(folder, "inp", sample).astype(float) for sample in range(1, SAMPLES + 1)]
    middle = SLICES // 2
    neighbours = [dice(cell[middle - 1], cell[middle]) for cell in cells]
    assert min(neighbours) > 0.9
    assert all(dice(cell[1], cell[middle]) < low for cell, low in zip(cells, neighbours, strict=True))
    alike = [np.corrcoef(image[middle - 1].ravel(), image[middle].ravel())[0, 1] for image in images]
    other = [np.corrcoef(images[i][middle].ravel(), images[i - 1][middle].ravel())[0, 1] for i in range(SAMPLES)]
    assert np.mean(alike) > np.mean(other) + 0.1
    assert len({image.mean().round(-2) for image in images}) == SAMPLES


def test_a_body_fills_an_ellipsoid_and_stays_within_it():
    body = simulate_stacks.draw_body(np.random.default_rng(0), (21, 80, 90), (10, 40, 45), (8, 30, 20))
    z, y, x = np.nonzero(body)
    assert abs(z - 10).max() <= 8 and abs(y - 40).max() <= 30 and abs(x - 45).max() <= 20
    assert 0.6 < body[10].sum() / (np.pi * 30 * 20) < 1
    assert body[[6, 14]].sum() > 0.85 * 2 * body[10].sum()


def test_absorption_is_that_of_the_specimen():
    rng = np.random.default_rng(0)
    plain = {"texture": 0, "granules": 0, "debris": 0, "clouds": 0, "nucleus": 0, "density": 0.8, "glass": 0.9}
    specimen = replace(simulate_stacks.random_specimen(rng), **plain)
    absorption, cell = simulate_stacks.draw_sample(rng, specimen, (8, 96, 96))
    assert absorption.dtype == np.float32 and absorption[cell] == pytest.approx(0.8)
    assert absorption[0, 47, 47] == pytest.approx(simulate_stacks.ICE)
    assert absorption.max() == pytest.approx(simulate_stacks.ICE + 0.9, abs=0.1)
    dense, cell = simulate_stacks.draw_sample(rng, replace(specimen, nucleus=0.25), (8, 96, 96))
    assert 0.05 < np.mean(dense[cell] == np.float32(1.0)) < 0.5


def test_debris_is_not_part_of_the_cell():
    specimen = replace(simulate_stacks.random_specimen(np.random.default_rng(0)), debris=5, density=0.9, glass=0.0)
    absorption, cell = simulate_stacks.draw_sample(np.random.default_rng(1), specimen, (8, 96, 96))
    outside = ~cell & (absorption > 0.7)
    assert 0.01 < outside.mean() < 0.2


def test_the_scan_is_as_bright_and_noisy_as_the_specimen_says():
    rng = np.random.default_rng(0)
    specimen = replace(simulate_stacks.random_specimen(rng), rings=0.0, noise=0.1, gain=10000)
    image = simulate_stacks.scan(rng, np.full((6, 64, 64), 0.5, np.float32), specimen)
    assert image.dtype == np.uint16
    assert image.mean() == pytest.approx(8000, rel=0.02) and image.std() == pytest.approx(1000, rel=0.05)


def test_rings_are_round():
    rng = np.random.default_rng(0)
    specimen = replace(simulate_stacks.random_specimen(rng), rings=0.1, noise=0.0, gain=10000)
    image = simulate_stacks.scan(rng, np.zeros((2, 65, 65), np.float32), specimen)[0].astype(float)
    assert np.corrcoef(image[32, 33:], image[33:, 32])[0, 1] > 0.6
    assert abs(np.corrcoef(image[32, 33:], image[:32, 5])[0, 1]) < 0.5


def test_the_same_seed_gives_the_same_files(tmp_path):
    one, two, other = (simulate_stacks.stacks(tmp_path / name, 1, 4, 32, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    files = sorted(path.relative_to(one) for path in one.rglob("*.*"))
    assert len(files) == 9
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert any((one / name).read_bytes() != (other / name).read_bytes() for name in files[:4])
