"""Groups stay whole, and every role holds every stratum in its share."""

import numpy as np
import pytest

from data import ROLES, Sample
from splits import split_by_group, with_groups

IMAGE, MASK = np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1), np.uint8)


def make(groups, strata):
    return with_groups([Sample(f"s{i}", IMAGE, MASK) for i in range(len(groups))], groups, strata)


def counts(split, strata):
    return np.array([np.bincount([s.stratum for s in members], minlength=strata) for _, members in split.items()])


@pytest.mark.parametrize("seed", range(5))
def test_proportions_hold_to_within_one_group(seed):
    """Sizes as in stage1_train: half of the images alone, the others in fours, some groups over two strata."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 1, 1, 2, 4, 8], 200)
    groups = np.repeat(np.arange(200), sizes)
    of_group = rng.choice(8, 200, p=[0.25, 0.2, 0.15, 0.12, 0.1, 0.1, 0.05, 0.03])
    strata = np.where(rng.random(len(groups)) < 0.05, rng.integers(0, 8, len(groups)), np.repeat(of_group, sizes))
    split = split_by_group(make(groups, strata), 0.15, 0.2, seed)
    held = counts(split, 8)
    for stratum in range(8):
        largest = max(np.bincount(groups[strata == stratum]))
        wanted = np.array([0.65, 0.15, 0.2]) * (strata == stratum).sum()
        assert (np.abs(held[:, stratum] - wanted) <= max(1, largest)).all()


def test_groups_stay_whole():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 300)
    split = split_by_group(make(groups, rng.integers(0, 3, 300)), 0.2, 0.3)
    role_of = {}
    for role, members in split.items():
        for sample in members:
            assert role_of.setdefault(sample.group, role) == role
    assert len(role_of) == 40


def test_independent_images_are_divided_exactly():
    split = split_by_group(make(range(100), [0] * 100), 0.15, 0.2)
    assert [len(members) for _, members in split.items()] == [65, 15, 20]


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    samples = make(range(60), np.arange(60) % 4)
    assert split_by_group(samples, 0.2, 0.2, 1).to_json() == split_by_group(samples, 0.2, 0.2, 1).to_json()
    assert split_by_group(samples, 0.2, 0.2, 1).to_json() != split_by_group(samples, 0.2, 0.2, 2).to_json()


def test_three_groups_fill_three_roles():
    for shares in ((0.15, 0.2), (0.01, 0.01)):
        split = split_by_group(make([0, 0, 0, 1, 2], [0] * 5), *shares)
        assert [len(members) > 0 for _, members in split.items()] == [True] * len(ROLES)


def test_two_groups_are_too_few():
    with pytest.raises(ValueError, match="5 images in 2 independent groups"):
        split_by_group(make([0, 0, 0, 1, 1], [0] * 5), 0.15, 0.2)
