"""Samples are shared out evenly, twice as often as is asked, and stay with whom they are."""

import numpy as np

from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.method.assignment import assigned

IDS = [content_id("sample", number) for number in range(20_000)]
TEAM = ["Ann", "Bob", "Eve"]


def test_everybody_gets_as_many_and_the_overlap_is_as_asked() -> None:
    given = np.stack([assigned(IDS, TEAM, name, 0.2) for name in TEAM])
    times = given.sum(axis=0)
    assert set(times) == {1, 2}
    assert abs((times == 2).mean() - 0.2) < 0.01
    assert np.allclose(given.mean(axis=1), 0.4, atol=0.01)
    pairs = [(given[one] & given[other]).sum() for one, other in ((0, 1), (0, 2), (1, 2))]
    assert max(pairs) < 1.15 * min(pairs), "everybody shares with everybody"


def test_who_joins_takes_from_others_and_moves_nothing_between_them() -> None:
    before = {name: assigned(IDS, TEAM, name, 0) for name in TEAM}
    after = {name: assigned(IDS, [*TEAM, "Zoe"], name, 0) for name in TEAM}
    assert all((after[name] <= before[name]).all() for name in TEAM)
    assert assigned(IDS, ["Ann"], "Ann", 0.2).all()
