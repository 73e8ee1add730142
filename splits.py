"""Giving every sample a role, so that leaking samples stay together and every role holds the same kinds of images."""

import dataclasses
from collections import Counter
from itertools import groupby

import numpy as np

from data import ROLES, Split


def split_by_group(samples, validation_share, test_share, seed=0):
    """Divide samples into train, validation and test: whole groups, and every stratum in equal proportions.

    Groups are placed one after the other, the largest first, where the strata they hold lack most; then single groups
    move for as long as that brings a role closer. Raises ValueError with fewer than three groups.
    """
    groups = sorted({sample.group for sample in samples})
    if len(groups) < len(ROLES):
        raise ValueError(
            f"{len(samples)} images in {len(groups)} independent groups: fitting, choosing and reporting need at least "
            f"{len(ROLES)}. Add images from other photographs or specimens."
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


def hold_out(samples, units, held=None):
    """Report the samples of one unit, validation by those of the next one (after the last comes the first), train the others.

    ``units``: name of the unit (specimen, sequence, block of slices) that every sample belongs to; ``held``: the one
    to test, the last if None. Samples come back with their unit's number, from 1, as their group. Raises
    ValueError for a unit that is not there and for fewer than three units.
    """
    names = list(dict.fromkeys(units))
    held = names[-1] if held is None else held
    if held not in names:
        raise ValueError(f"--hold-out {held}: not among the data, which has {', '.join(names)}.")
    if len(names) < len(ROLES):
        raise ValueError(
            f"The data has only {', '.join(names)}: fitting, choosing and reporting need at least {len(ROLES)} that are "
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


def leave_gap(split, place, gap):
    """A split without the samples that lie too close to one of another role: test keeps all, then validation, then train.

    ``place``: a function of a sample that gives its (sequence, number of the frame); fewer than ``gap`` frames in
    between are too close.
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
            f"Too few frames: with {gap} left out between the roles, {len(train)} images are left to train and {len(validation)} to validate. "
            "Add frames or labels."
        )
    return Split(train, validation, split.test)


def spans(split, place):
    """The frames or slices of every role as text: {role: "01: 0 to 11, 56 to 83"}; ``place`` as in ``leave_gap``."""
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


def shuffle(split, seed=0):
    """The same samples dealt to the same numbers of places at random, whatever leaks: only to show what that does."""
    samples = [sample for _, members in split.items() for sample in members]
    dealt = [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))]
    train, validation = len(split.train), len(split.train) + len(split.validation)
    return Split(dealt[:train], dealt[train:validation], dealt[validation:])


def limit_train(split, count, seed=0):
    """A split with ``count`` of its samples to train, drawn at random; None keeps all. ValueError when there are fewer."""
    if count is None:
        return split
    if count > len(split.train):
        raise ValueError(f"--train-images {count}, but there are only {len(split.train)} images to train.")
    kept = np.sort(np.random.default_rng(seed).permutation(len(split.train))[:count])
    return dataclasses.replace(split, train=[split.train[i] for i in kept])


def describe_split(split):
    """How many images and groups there are, and how many images have each role, as a sentence."""
    samples = [sample for _, members in split.items() for sample in members]
    sizes = Counter(sample.group for sample in samples)
    roles = ", ".join(f"{len(members)} to {role}" for role, members in split.items())
    return f"Images: {len(samples)} in {len(sizes)} independent groups (the largest of {max(sizes.values())}); {roles}"


def with_groups(samples, groups, strata):
    """Copies of the samples that carry their group and stratum."""
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
    """Squared distance from the wanted counts if a group joined a role; each stratum and role weighs the same."""
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
    """With very few groups a role can stay empty: it takes the smallest group of the role that has most groups."""
    for role in range(len(ROLES)):
        if not (role_of == role).any():
            fullest = np.bincount(role_of, minlength=len(ROLES)).argmax()
            candidates = np.flatnonzero(role_of == fullest)
            role_of[candidates[counts[candidates].sum(axis=1).argmin()]] = role
