"""Simulated cells in time series: known axes, gold and silver truth, frames that resemble their neighbours."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage
from skimage.measure import regionprops

from simulate import cells as simulate_cells

FRAMES, SIDE = 9, 160


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sequences of nine frames, 160x160 px; read only."""
    return simulate_cells.low_contrast_cells(tmp_path_factory.mktemp("data") / "cells", FRAMES, SIDE)


def read(folder, part):
    return [tifffile.imread(path) for path in sorted((folder / part).glob("*.tif"))]


def dice(one, two):
    return 2 * ((one > 0) & (two > 0)).sum() / ((one > 0).sum() + (two > 0).sum())


@pytest.mark.parametrize("sequence", ["01", "02"])
def test_the_challenges_layout(folder, sequence):
    names = {
        part: sorted(path.name for path in (folder / f"{sequence}{part}").iterdir()) for part in ("", "_GT/SEG", "_ST/SEG")
    }
    assert names[""] == [f"t{frame:03d}.tif" for frame in range(FRAMES)]
    assert names["_ST/SEG"] == [f"man_seg{frame:03d}.tif" for frame in range(FRAMES)]
    assert names["_GT/SEG"] == ["man_seg000.tif", "man_seg004.tif", "man_seg008.tif"]
    image, labels = read(folder, sequence)[0], read(folder, f"{sequence}_GT/SEG")[0]
    assert image.dtype == np.uint8 and labels.dtype == np.uint16 and image.shape == labels.shape == (SIDE, SIDE)
    assert labels.max() >= 3


def test_the_files_state_the_size_of_a_pixel(folder):
    with tifffile.TiffFile(folder / "01/t000.tif") as file:
        page = file.pages[0]
        assert page.compression.name == "LZW" and page.tags["ResolutionUnit"].value.name == "CENTIMETER"
        per_cm = [page.tags[name].value for name in ("XResolution", "YResolution")]
    assert [1e4 * below / above for above, below in per_cm] == pytest.approx([0.65, 0.65])


def test_the_axes_are_those_of_the_drawn_ellipses(folder):
    known = 0
    for sequence in ("01", "02"):
        axes = pd.read_csv(folder / f"{sequence}_GT/axes.csv")
        for frame, labels in zip((0, 4, 8), read(folder, f"{sequence}_GT/SEG"), strict=True):
            regions = {region.label: region for region in regionprops(labels)}
            for row in axes[(axes["frame"] == frame) & ~axes["touches_border"]].itertuples():
                region, known = regions[row.label], known + 1
                assert region.area == pytest.approx(np.pi / 4 * row.major_px * row.minor_px, rel=0.02)
                assert region.axis_major_length == pytest.approx(row.major_px, rel=0.02)
                assert region.axis_minor_length == pytest.approx(row.minor_px, rel=0.02)
                assert abs(np.sin(region.orientation - row.orientation)) < 0.2
    assert known >= 6


def test_cells_at_the_border_are_marked_and_those_cut_by_others_left_out():
    texture = np.zeros((80, 80))
    ellipse = simulate_cells.Cell(np.array([50.0, 50.0]), np.zeros(2), 0.0, 0.0, 40, 30, (), texture)
    cut = replace(ellipse, centre=np.array([50.0, 75.0]))
    border = replace(ellipse, centre=np.array([110.0, 5.0]))
    waving = replace(ellipse, centre=np.array([120.0, 120.0]), waves=((3, 0.1, 0.0),))
    cells = [ellipse, cut, border, waving]
    labels = simulate_cells.draw_labels(cells, 0, (SIDE, SIDE))
    assert np.unique(labels).tolist() == [0, 1, 2, 3, 4]
    table = pd.DataFrame(simulate_cells.true_axes(cells, 0, labels), columns=simulate_cells.AXES)
    assert table["label"].tolist() == [1, 3] and table["touches_border"].tolist() == [False, True]


def test_a_cell_moves_and_turns():
    cell = simulate_cells.Cell(np.array([60.0, 60.0]), np.array([2.0, -1.0]), 0.0, 0.1, 50, 30, (), np.zeros((100, 100)))
    region = regionprops(simulate_cells.draw_labels([cell], 10, (SIDE, SIDE)))[0]
    assert region.centroid == pytest.approx((80, 50), abs=0.3)
    assert region.orientation == pytest.approx(1.0, abs=0.05)


def test_every_cell_is_in_one_piece_and_some_touch():
    scenes = [simulate_cells.scatter_cells(np.random.default_rng(seed), 10, 2, (512, 512)) for seed in range(3)]
    for cells in scenes:
        labels = simulate_cells.draw_labels(cells, 0, (512, 512))
        assert ndimage.label(labels > 0, np.ones((3, 3)))[1] <= 8
        for number, cell in enumerate(cells, start=1):
            assert ndimage.label(labels == number)[1] == 1
            assert (labels == number).sum() > 0.7 * np.pi / 4 * cell.major * cell.minor


def test_what_another_cell_cuts_in_two_keeps_the_larger_piece():
    disc = simulate_cells.Cell(np.array([50.0, 50.0]), np.zeros(2), 0.0, 0.0, 30, 30, (), np.zeros((80, 80)))
    behind = replace(disc, centre=np.array([55.0, 50.0]), major=80, minor=10)
    labels = simulate_cells.draw_labels([disc, behind], 0, (SIDE, SIDE))
    assert ndimage.label(labels == 2)[1] == 1 and labels[85, 50] == 2 and labels[25, 50] == 0


def test_silver_borders_are_near_the_true_ones(folder):
    for sequence in ("01", "02"):
        silver = read(folder, f"{sequence}_ST/SEG")[::4]
        for exact, near in zip(read(folder, f"{sequence}_GT/SEG"), silver, strict=True):
            assert 0.93 < dice(exact, near) < 0.999


def test_neighbouring_frames_are_alike_and_the_sequences_differ(folder):
    silver = read(folder, "01_ST/SEG")
    assert dice(silver[0], silver[1]) > 0.9 > dice(silver[0], read(folder, "02_ST/SEG")[0]) + 0.2
    assert dice(silver[0], silver[1]) > dice(silver[0], silver[8]) + 0.03


def test_cells_are_of_low_contrast_and_seen_by_their_relief(folder):
    image, labels = read(folder, "01")[0].astype(float), read(folder, "01_GT/SEG")[0]
    inside, outside = ndimage.binary_erosion(labels > 0, iterations=2), ~ndimage.binary_dilation(labels > 0, iterations=4)
    assert abs(image[inside].mean() - image[outside].mean()) < 10
    relief = image - ndimage.gaussian_filter(image, 5)
    assert relief[inside].std() > 1.5 * relief[outside].std()


def test_the_same_seed_gives_the_same_files(tmp_path):
    one, two, other = (
        simulate_cells.low_contrast_cells(tmp_path / name, 2, 96, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    files = sorted(path.relative_to(one) for path in one.rglob("*.*"))
    assert len(files) == 13
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in files)
    assert (one / "01/t000.tif").read_bytes() != (other / "01/t000.tif").read_bytes()
