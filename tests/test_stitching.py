"""Objects that are numbered block by block, against the same objects numbered at once."""

import numpy as np
import pytest
from scipy import ndimage

import tiles
from objects import separate_by_distance, separate_by_markers


def partition(labels):
    """The objects of a label image, whatever their numbers: the first pixel and the area of each."""
    _, first, areas = np.unique(labels, return_index=True, return_counts=True)
    return set(zip(first.tolist(), areas.tolist(), strict=True))


def crowd(side=180, step=15, radius=9):
    """Discs that overlap with their neighbours, so that all are one connected piece, and how deep each pixel lies."""
    y, x = np.mgrid[:side, :side]
    y, x = (part % step - step // 2 for part in (y, x))
    depth = np.clip(1 - np.hypot(y, x) / radius, 0, 1)
    return depth > 0, depth


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tiles, "BLOCK_SIDE", 40)
    monkeypatch.setattr(tiles, "BLOCK_OVERLAP", 80)


def test_blocks_cover_every_pixel_once_and_look_further():
    image, seen = np.arange(100 * 130).reshape(100, 130), np.zeros((100, 130), int)
    for block in tiles.blocks(image.shape, 32, 16):
        assert (image[block.own] == image[block.window][tiles.within(block.own, block.window)]).all()
        seen[block.own] += 1
        assert [side.start for side in block.used] == [max(0, side.start - 4) for side in block.own]
        assert [side.stop for side in block.window] == [min(s.stop + 8, n) for s, n in zip(block.own, image.shape, strict=True)]
    assert (seen == 1).all()


def test_nuclei_that_form_one_piece_are_those_of_one_look(small_blocks, monkeypatch):
    mask, depth = crowd()
    divided = separate_by_distance(mask, 0.2, distance=depth)
    monkeypatch.setattr(tiles, "BLOCK_SIDE", 4096)
    at_once = separate_by_distance(mask, 0.2, distance=depth)
    assert at_once.max() == 144 and ndimage.label(mask)[1] == 1
    assert partition(divided) == partition(at_once) and divided.max() == 144


def test_seeds_in_blocks_are_those_of_one_look(small_blocks, monkeypatch):
    mask, depth = crowd()
    divided = separate_by_markers(mask, depth, 0.5)
    monkeypatch.setattr(tiles, "BLOCK_SIDE", 4096)
    assert partition(divided) == partition(separate_by_markers(mask, depth, 0.5)) and divided.max() == 144


@pytest.mark.parametrize("rows", [slice(0, 300), slice(40, 52)], ids=["all of the image", "a long bar"])
def test_an_object_larger_than_a_block_stays_one(small_blocks, rows):
    mask = np.zeros((300, 400), bool)
    mask[rows] = True
    assert separate_by_distance(mask).max() == 1
    assert separate_by_distance(mask, 0.2, distance=mask.astype(float)).max() == 1


def test_only_what_shares_most_of_both_is_the_same():
    before, now = np.zeros((2, 10, 10), int)
    before[:, :5], now[:, :5], before[:, 5:], now[:3, 5:] = 1, 4, 2, 5
    assert tiles.same_objects(before, now).tolist() == [[1, 2], [4, 5]]
    now[:7, 5:] = 4
    assert tiles.same_objects(before, now).tolist() == [[1], [4]]
