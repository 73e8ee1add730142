"""Crops of one photograph are found, and what only looks alike is not joined."""

import tracemalloc

import numpy as np
import pytest

from explore import leaks
from simulate import nuclei as simulate_nuclei


@pytest.fixture(scope="module")
def photographs():
    """Four simulated photographs, 256x256, uint8."""
    modalities = [simulate_nuclei.MODALITIES[i] for i in (1, 3, 4, 1)]
    made = [
        simulate_nuclei.photograph(np.random.default_rng(i), modality, (256, 256))[0] for i, modality in enumerate(modalities)
    ]
    return [(255 * image).astype(np.uint8) for image in made]


def quarters(image):
    half = image.shape[0] // 2
    return [image[:half, :half], image[:half, half:], image[half:, :half], image[half:, half:]]


def test_four_crops_of_one_photograph_are_one_group(photographs):
    groups, matches = leaks.leak_groups(quarters(photographs[1]))
    assert groups.tolist() == [0, 0, 0, 0]
    assert {(match.first, match.second, match.kind) for match in matches} == {
        (0, 1, "right"), (2, 3, "right"), (0, 2, "below"), (1, 3, "below")
    }  # fmt: skip


def test_crops_of_four_photographs_are_four_groups(photographs):
    crops = [crop for photograph in photographs for crop in quarters(photograph)]
    order = np.random.default_rng(0).permutation(len(crops))
    groups, _ = leaks.leak_groups([crops[i] for i in order])
    photograph_of = order // 4
    for group in np.unique(groups):
        assert len(set(photograph_of[groups == group])) == 1
    assert len(np.unique(groups)) == 4


def test_a_near_duplicate_is_found(photographs):
    noisy = np.clip(photographs[1] + np.random.default_rng(0).normal(0, 5, photographs[1].shape), 0, 255).astype(np.uint8)
    groups, matches = leaks.leak_groups([photographs[1], photographs[2], noisy])
    assert groups.tolist() == [0, 1, 0]
    assert [match.kind for match in matches] == ["duplicate"]


def test_images_of_different_size_and_blank_images_do_not_match():
    blank = np.zeros((32, 32, 1), np.uint8)
    groups, matches = leaks.leak_groups([blank, blank + 7, np.zeros((32, 40, 1), np.uint8)])
    assert len(set(groups)) == 3 and not matches


def test_noise_does_not_match_noise():
    """Each is the other's best match, and the seam is as smooth as the images are; but nothing continues."""
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 1), dtype=np.uint8)
    assert leaks.leak_groups(list(noise))[1] == []


def test_a_rough_seam_is_not_joined():
    """Borders that correlate, as two nuclei at one height do, but at another brightness: not one photograph."""
    profile = 100 * np.exp(-0.5 * ((np.arange(64) - 30) / 6) ** 2)
    rng = np.random.default_rng(0)
    left, right = (np.repeat(profile[:, None], 64, axis=1) + rng.normal(0, 1, (64, 64)) for _ in range(2))

    def kinds(*images):
        return {match.kind for match in leaks.find_matches([np.float32(image) for image in images])}

    assert "right" in kinds(left, right)
    assert "right" not in kinds(left, 2 * right)


def test_examples_are_the_clearest_and_the_least_clear_pair_of_every_kind():
    matches = [leaks.Match(0, 1, "below", value, 1.0) for value in (0.6, 0.9, 0.7)] + [
        leaks.Match(2, 3, "duplicate", 0.95, 0.0)
    ]
    assert [match.correlation for match in leaks.examples(matches)] == [0.9, 0.6, 0.95]
    assert leaks.examples([]) == []


@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_images_compared_in_blocks_match_as_all_at_once(photographs, monkeypatch, at_once):
    crops = [crop for photograph in photographs for crop in quarters(photograph)]
    crops += [crops[3] // 2 + 9, crops[8]]
    expected = [(match.first, match.second, match.kind, match.seam) for match in leaks.find_matches(crops)]
    monkeypatch.setattr(leaks, "AT_ONCE", at_once)
    found = leaks.find_matches(crops)
    assert [(match.first, match.second, match.kind, match.seam) for match in found] == expected
    assert {kind for _, _, kind, _ in expected} == {"right", "below", "duplicate"}


def test_no_image_is_kept():
    """40 images of 512x512 px as float32 would hold 40 MiB, their borders and thumbnails hold 1 MiB."""

    def images():
        for number in range(40):
            yield np.random.default_rng(number).integers(0, 255, (512, 512, 1), dtype=np.uint8)

    leaks.leak_groups([next(images())])
    tracemalloc.start()
    groups, _ = leaks.leak_groups(images())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(groups) == 40 and peak < 8 * 2**20


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (2, 3), (2, 40)])
def test_images_of_a_few_pixels(shape):
    images = [np.random.default_rng(number).integers(0, 255, (*shape, 3), dtype=np.uint8) for number in range(4)]
    assert leaks.leak_groups(images)[0].shape == (4,)
    assert leaks.leak_groups([])[0].tolist() == []
