"""Which reviewers a sample is for: as few move as can when one comes or goes, and some samples are for two."""

from collections.abc import Sequence

import numpy as np

from imgdiff_assets.common.aliases import Booleans
from imgdiff_assets.common.hashing import content_hash

_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def assigned(ids: Sequence[str], reviewers: Sequence[str], name: str, overlap: float) -> Booleans:
    """Which of some samples (ids of 16 hexadecimal digits) are for `name`, one of the reviewers: (N,) of bool.

    A sample is for the reviewer with the highest weight, a hash of both (rendezvous hashing, Thaler and Ravishankar,
    1998), and a share `overlap` of all samples is for the second one too.
    """
    numbers = np.array([int(identity, 16) for identity in ids], dtype=np.uint64)
    others = [_weights(numbers, other) for other in reviewers if other != name]
    if not others:
        return np.ones(len(ids), dtype=bool)
    own = _weights(numbers, name)
    above = np.sum([other > own for other in others], axis=0)
    twice = _weights(numbers, "") < overlap * 2.0**64
    return np.asarray((above == 0) | (twice & (above == 1)), dtype=bool)


def _weights(numbers: np.ndarray, name: str) -> np.ndarray:
    """A number in [0, 2**64) for each pair (SplitMix64, Steele and others, 2014): equal on every machine."""
    mixed = numbers ^ np.uint64(int(content_hash("reviewer", name)[:16], 16))
    for shift, factor in _ROUNDS:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
