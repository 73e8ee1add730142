"""Recognise the images of a published data set by their pixels, because names can be the same by chance."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from data import Sample, pixel_digest

FOLDER = Path(__file__).parent / "digests"  # <set>.txt, one digest in each line; datasets/digests.py writes them


def are_published(samples: Sequence[Sample], name: str, least: float = 1.0) -> bool:
    """Return whether at least the share ``least`` of the images belongs to the data set ``name``.

    ``least`` is below 1 for a set with images whose digests are not known.
    """
    known = _digests(name)
    found = sum(pixel_digest(sample.image) in known for sample in samples)
    return len(samples) > 0 and found >= least * len(samples)


@lru_cache
def _digests(name):
    return frozenset((FOLDER / f"{name}.txt").read_text(encoding="utf-8").split())
