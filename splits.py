"""Give every sample a role. Related images (crops of one photograph) get the same role; all roles get the same kinds."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from data import ROLES, Sample, Split


def split_by_group(samples: list[Sample], validation_share: float, test_share: float, seed: int = 0) -> Split:
    """Divide samples into train, validation and test: whole groups, and equal shares of every stratum.

    Each group, the largest first, gets the role that comes closest to its wanted share of every stratum. Then single groups
    move to another role for as long as this brings the roles closer to their shares. Raises ValueError with fewer than three
    groups.
    """
    groups = sorted({sample.group for sample in samples})
    if len(groups) < len(ROLES):
        raise ValueError(
            f"{len(samples)} images in {len(groups)} independent groups; training, validation and test need at least "
            f"{len(ROLES)}. Add images of other specimens."
        )
    counts = _count(samples, groups)  # (groups, strata)
    shares = np.array([1 - validation_share - test_share, validation_share, test_share])
    wanted = shares[:, None] * counts.sum(axis=0)  # (roles, strata)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    role_of = np.full(len(groups), -1)
    held = np.zeros_like(wanted)
    for group in order:
        role = int(np.argmin([_error(held, wanted, counts[group], role) for role in range(len(ROLES))]))
        role_of[group] = role
        held[role] += counts[group]
    _improve(role_of, held, wanted, counts, order)
    _fill_empty(role_of, counts)
    role = dict(zip(groups, role_of, strict=True))
    return Split(*([s for s in samples if role[s.group] == index] for index in range(len(ROLES))))


def hold_out(samples: list[Sample], units: list[str], held: str | None = None) -> Split:
    """Test the samples of one unit, validate on those of the next one (after the last comes the first), train on the others.

    ``units``: for every sample, the name of its unit (specimen, sequence, block of slices). ``held``: the unit for the test,
    the last one if None. The number of the unit, from 1, becomes the group of its samples. Raises ValueError for an unknown
    unit and for fewer than three units.
    """
    names = list(dict.fromkeys(units))
    held = names[-1] if held is None else held
    if held not in names:
        raise ValueError(f"--hold-out {held}: not among the data, which has {', '.join(names)}.")
    if len(names) < len(ROLES):
        raise ValueError(
            f"The data has only {', '.join(names)}; training, validation and test need at least {len(ROLES)} that are "
            "independent of each other."
        )
    numbers = [names.index(unit) + 1 for unit in units]
    reported = names.index(held) + 1
    chosen = reported % len(names) + 1
    grouped = with_groups(samples, numbers, [sample.stratum for sample in samples])
    return Split(
        [sample for sample in grouped if sample.group not in (reported, chosen)],
        [sample for sample in grouped if sample.group == chosen],
        [sample for sample in grouped if sample.group == reported],
    )


def leave_gap(split: Split, place: Callable[[Sample], tuple[str, int]], gap: int) -> Split:
    """Drop samples of validation that lie too close to test samples, and samples of train too close to either of the two.

    ``place``: a function of a sample that returns its (sequence, number of the frame). Two frames of a sequence are too close
    if fewer than ``gap`` frames lie between them. Raises ValueError if nothing is left to train or to validate.
    """

    def far(samples, others):
        taken = [place(other) for other in others]

        def close(sample):
            sequence, frame = place(sample)
            return any(sequence == other and abs(frame - number) <= gap for other, number in taken)

        return [sample for sample in samples if not close(sample)]

    validation = far(split.validation, split.test)
    train = far(split.train, [*split.test, *validation])
    if not (train and validation):
        raise ValueError(
            f"Too few frames: with {gap} left out between the roles, {len(train)} are left to train and {len(validation)} for "
            "validation. Add frames or labels."
        )
    return Split(train, validation, split.test)


def spans(split: Split, place: Callable[[Sample], tuple[str, int]]) -> dict[str, str]:
    """Return the frames or slices of each role as text: {role: "01: 0 to 11, 56 to 83"}; ``place`` as in ``leave_gap``."""
    told = {}
    for role, members in split.items():
        parts = {}
        places = enumerate(sorted({place(sample) for sample in members}))
        for (sequence, _), run in groupby(places, lambda entry: (entry[1][0], entry[1][1] - entry[0])):
            numbers = [number for _, (_, number) in run]
            text = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
            parts.setdefault(sequence, []).append(text)
        told[role] = "; ".join(f"{sequence}: {', '.join(texts)}" for sequence, texts in parts.items())
    return told


def shuffle(split: Split, seed: int = 0) -> Split:
    """Return a random split with as many samples in each role. Its scores are too high: it only shows the effect of leaks."""
    samples = [*split]
    dealt = [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))]
    train, validation = len(split.train), len(split.train) + len(split.validation)
    return Split(dealt[:train], dealt[train:validation], dealt[validation:])


def limit_train(split: Split, count: int | None, seed: int = 0) -> Split:
    """Keep ``count`` random training samples, or all of them if None. Raises ValueError if there are fewer."""
    if count is None:
        return split
    if count > len(split.train):
        raise ValueError(f"--train-images {count}, but there are only {len(split.train)} training images.")
    kept = np.sort(np.random.default_rng(seed).permutation(len(split.train))[:count])
    return dataclasses.replace(split, train=[split.train[i] for i in kept])


def describe_split(split: Split) -> str:
    """Return a sentence with the numbers of images and groups, and the number of images in each role."""
    sizes = Counter(sample.group for sample in split)
    roles = ", ".join(f"{len(members)} {role}" for role, members in split.items())
    return f"Images: {len([*split])} in {len(sizes)} independent groups (the largest has {max(sizes.values())}); {roles}"


def with_groups(samples: list[Sample], groups: Sequence[int], strata: Sequence[int]) -> list[Sample]:
    """Return copies of the samples with these groups and strata."""
    return [
        dataclasses.replace(sample, group=int(group), stratum=int(stratum))
        for sample, group, stratum in zip(samples, groups, strata, strict=True)
    ]


def _count(samples, groups):
    place = {group: row for row, group in enumerate(groups)}
    counts = np.zeros((len(groups), 1 + max(sample.stratum for sample in samples)))
    for sample in samples:
        counts[place[sample.group], sample.stratum] += 1
    return counts


def _error(held, wanted, group, role):
    """Return the squared distance to the wanted counts after a group joins a role; all strata and roles have equal weight."""
    after = held.copy()
    after[role] += group
    return (np.square(after - wanted) / np.maximum(wanted, 1)).sum()


def _improve(role_of, held, wanted, counts, order):
    """Move single groups for as long as the error falls."""
    improved = True
    while improved:
        improved = False
        for group in order:
            best = _best_role(role_of[group], held, wanted, counts[group])
            if best != role_of[group]:
                held[role_of[group]] -= counts[group]
                held[best] += counts[group]
                role_of[group] = best
                improved = True


def _best_role(role, held, wanted, group):
    without = held.copy()
    without[role] -= group
    errors = [_error(without, wanted, group, other) for other in range(len(ROLES))]
    best = int(np.argmin(errors))
    return best if errors[best] < errors[role] - 1e-9 else role


def _fill_empty(role_of, counts):
    """Give each empty role the smallest group of the role with most groups. A role can be empty if there are few groups."""
    for role in range(len(ROLES)):
        if not (role_of == role).any():
            fullest = np.bincount(role_of, minlength=len(ROLES)).argmax()
            candidates = np.flatnonzero(role_of == fullest)
            role_of[candidates[counts[candidates].sum(axis=1).argmin()]] = role
