"""Groups stay whole, and every role holds every stratum in its share."""

import numpy as np
import pytest

from data import ROLES, Sample, Split
from splits import hold_out, leave_gap, limit_train, shuffle, spans, split_by_group, with_groups

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


def slices(count):
    return [Sample(f"a_{i}_x", IMAGE, MASK) for i in range(count)]


def names(samples):
    return [int(sample.name.split("_")[1]) for sample in samples]


def test_one_unit_is_the_test_the_next_one_validates_the_others_train():
    units = ["7", "7", "8", "9", "9", "10"]
    split = hold_out(slices(6), units, "9")
    assert [names(members) for _, members in split.items()] == [[0, 1, 2], [5], [3, 4]]
    assert [sample.group for sample in split.test] == [3, 3]
    last = hold_out(slices(6), units)
    assert [names(members) for _, members in last.items()] == [[2, 3, 4], [0, 1], [5]]


def test_a_unit_that_is_not_there_and_too_few_units():
    with pytest.raises(ValueError, match="--hold-out 5: not among the data, which has 7, 8, 9"):
        hold_out(slices(3), ["7", "8", "9"], "5")
    with pytest.raises(ValueError, match="The data has only 7, 8; training, validation and test need at least 3"):
        hold_out(slices(3), ["7", "8", "8"])


def test_a_gap_keeps_the_whole_test_and_only_counts_frames_of_one_sequence():
    frames = slices(9)
    split = Split(frames[0:4], frames[4:7], frames[7:9])

    def place(sample):
        return sample.name[0], int(sample.name.split("_")[1])

    assert [names(members) for _, members in leave_gap(split, place, 1).items()] == [[0, 1, 2], [4, 5], [7, 8]]
    assert [names(members) for _, members in leave_gap(split, place, 2).items()] == [[0, 1], [4], [7, 8]]
    other = leave_gap(split, lambda sample: (sample.name, 0), 2)
    assert len(other.train) == 4
    with pytest.raises(ValueError, match="with 3 left out between the roles, 4 are left to train and 0 for validation"):
        leave_gap(split, place, 3)


def test_spans_tell_the_frames_of_every_role():
    frames = slices(9)
    split = Split([*frames[0:2], *frames[5:7]], frames[3:4], frames[8:])
    told = spans(split, lambda sample: ("01", int(sample.name.split("_")[1])))
    assert told == {"train": "01: 0 to 1, 5 to 6", "validation": "01: 3", "test": "01: 8"}


def test_a_shuffled_split_holds_the_same_samples_and_sizes():
    frames = slices(30)
    split = shuffle(Split(frames[:18], frames[18:24], frames[24:]), seed=0)
    assert [len(members) for _, members in split.items()] == [18, 6, 6]
    assert sorted(names(split.train + split.validation + split.test)) == list(range(30))
    assert max(names(split.train)) > 23


def test_a_limited_training_set_is_drawn_at_random_and_keeps_the_others():
    frames = slices(12)
    split = Split(frames[:10], frames[10:11], frames[11:])
    drawn = [names(limit_train(split, 4, seed).train) for seed in range(3)]
    assert all(len(set(chosen)) == 4 and set(chosen) <= set(range(10)) for chosen in drawn) and len(set(map(tuple, drawn))) > 1
    assert limit_train(split, None) is split and limit_train(split, 4).test == split.test
    with pytest.raises(ValueError, match="--train-images 11, but there are only 10 training images"):
        limit_train(split, 11)
