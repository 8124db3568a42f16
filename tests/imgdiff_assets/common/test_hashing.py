"""Ids, seeds and fingerprints: functions of values alone, the same in every process."""

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.common import hashing
from imgdiff_assets.common.hashing import ID_LENGTH, content_hash, content_id, row_hashes, seed_of, table_hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé🙂\n"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)


def test_known_values_never_move() -> None:
    """Every id of every ledger depends on these; a changed hash would measure everything again."""
    assert content_id("caption", "a red ball on the grass") == "65ed076abc21c360"
    assert seed_of(0, "image_pair", "0123456789abcdef") == 5_530_439_109_493_098_918
    assert content_hash() == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


def test_other_processes_agree_whatever_their_string_hashes() -> None:
    command = (
        "from imgdiff_assets.common.hashing import content_hash; print(content_hash({'b': 'é', 'a': [1, 2.5, None]}))"
    )
    for string_hash_seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", command],
            env={"PYTHONHASHSEED": string_hash_seed, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == content_hash({"a": [1, 2.5, None], "b": "é"})


@given(first=JSON, second=JSON)
def test_equal_exactly_when_the_json_is_equal(first: Any, second: Any) -> None:
    # By representation: to Python 0 and False and 0.0 are equal, to a hash of content they are not.
    assert (content_hash(first) == content_hash(second)) == (_plain(first) == _plain(second))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((key, _plain(inner)) for key, inner in value.items())
    return [_plain(inner) for inner in value] if isinstance(value, list) else repr(value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", "b"), (["a", "b"],)),
        ((None,), ("None",)),
        ((None,), ()),
        ((1,), (True,)),
        ((1,), ("1",)),
        (("a",), ("A",)),
    ],
)
def test_values_that_only_look_alike_differ(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    assert content_hash(*first) != content_hash(*second)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_what_is_no_number_has_no_hash(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        content_hash(value)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_what_json_cannot_hold_has_no_hash(value: Any) -> None:
    with pytest.raises(TypeError):
        content_hash(value)


def test_ids_and_seeds_have_their_ranges() -> None:
    ids = {content_id(number) for number in range(5_000)}
    seeds = [seed_of(number) for number in range(5_000)]
    assert len(ids) == 5_000
    assert {len(identity) for identity in ids} == {ID_LENGTH}
    assert all(0 <= seed < 2**63 for seed in seeds)
    # Uniform: the mean of 5,000 values lies within five standard errors of the middle.
    assert abs(sum(seeds) / len(seeds) / 2**63 - 0.5) < 5 * (1 / 12) ** 0.5 / 5_000**0.5


KINDS = {
    "text": (pa.string(), st.none() | st.text()),
    "number": (pa.float32(), st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "count": (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    "flag": (pa.bool_(), st.none() | st.booleans()),
    "turns": (
        pa.list_(pa.struct([("from", pa.string())])),
        st.none() | st.lists(st.fixed_dictionaries({"from": st.text("aé\n")}), max_size=3),
    ),
}
TABLES = st.lists(st.fixed_dictionaries({name: values for name, (_, values) in KINDS.items()}), max_size=5)
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])


@settings(max_examples=60, deadline=None)
@given(rows=TABLES)
def test_columns_hash_as_their_rows_do(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    assert table_hash(table) == content_hash(table.to_pylist())
    names = ["number", "count", "flag", "turns"]
    expected = [content_hash("x", row["text"], [row[name] for name in names]) for row in table.to_pylist()]
    assert row_hashes("x", table["text"], [table[name] for name in names]).to_pylist() == expected
    unnamed = row_hashes("x", pa.chunked_array([pa.nulls(len(rows))]), []).to_pylist()
    assert unnamed == [content_hash("x", None, [])] * len(rows)


def test_more_rows_than_are_turned_into_text_at_once_hash_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"b": [str(number) for number in range(10)], "a": list(range(10))})
    whole = table_hash(table), row_hashes("x", table["b"], [table["a"]])
    monkeypatch.setattr(hashing, "CHUNK_ROWS", 3)
    assert (table_hash(table), row_hashes("x", table["b"], [table["a"]])) == whole


def test_a_column_with_a_number_that_is_none_has_no_hash() -> None:
    with pytest.raises(ValueError, match="not finite"):
        table_hash(pa.table({"score": [0.5, float("nan")]}))
