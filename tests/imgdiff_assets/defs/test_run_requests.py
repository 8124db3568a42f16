"""Which runs are requested for stale shards: exactly those, as few as there can be."""

from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.defs.run_requests import BRIDGED, Request, group

KEYS = [f"shard-{number:06d}" for number in range(40)]
SETS = [("a", "b", "c"), ("b", "c"), ("c",)]


def test_neighbours_share_a_run() -> None:
    stale = dict.fromkeys(KEYS[2:5], ("a", "b"))
    assert group(KEYS, stale, set(KEYS) - set(stale)) == [Request(KEYS[2], KEYS[4], ("a", "b"))]


def test_nothing_stale_asks_for_no_run() -> None:
    assert group(KEYS, {}, set(KEYS)) == []


def test_a_few_fresh_shards_are_run_over_and_many_are_not() -> None:
    for gap, runs in ((BRIDGED, 1), (BRIDGED + 1, 2)):
        stale = {KEYS[0]: ("a",), KEYS[gap + 1]: ("a",)}
        assert len(group(KEYS, stale, set(KEYS) - set(stale))) == runs


def test_a_shard_that_lacks_other_tables_is_apart() -> None:
    stale = {KEYS[0]: ("b",), KEYS[1]: ("a", "b"), KEYS[2]: ("b",)}
    assert [request.stages for request in group(KEYS, stale, ())] == [("b",), ("a", "b"), ("b",)]


def test_the_range_is_told_in_words_and_to_dagster() -> None:
    one, several = Request("x", "x", ("a",)), Request("x", "y", ("a",))
    assert (one.shards, several.shards) == ("x", "x to y")
    assert list(several.tags.values()) == ["x", "y"]


@given(
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(SETS)),
    st.sets(st.sampled_from(KEYS)),
)
def test_every_stale_shard_is_in_one_run_and_no_other_is_but_fresh_ones(stale: dict, held: set) -> None:
    """`held` shards (another run has them, or nobody asked for them) are never run over."""
    stale = {key: names for key, names in stale.items() if key not in held}
    fresh = set(KEYS) - held - set(stale)
    covered: list[str] = []
    for request in group(KEYS, stale, fresh):
        shards = [key for key in KEYS if request.first <= key <= request.last]
        assert all(stale.get(key, request.stages) == request.stages for key in shards)
        assert not held & set(shards)
        covered += shards
    assert len(covered) == len(set(covered))
    assert set(stale) <= set(covered)


def test_no_run_takes_more_stale_shards_than_one_may() -> None:
    stale = dict.fromkeys([*KEYS[:4], KEYS[5]], ("a",))
    runs = [request.shards for request in group(KEYS, stale, set(KEYS) - set(stale), most=2)]
    assert runs == [f"{KEYS[0]} to {KEYS[1]}", f"{KEYS[2]} to {KEYS[3]}", KEYS[5]]
