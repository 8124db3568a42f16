"""Rows by key, columns by row, values at some rows."""

import numpy as np
import pyarrow as pa
import pytest

from imgdiff_assets.common.tables import look_up, positions, rows_of, scattered, values_of

TABLE = pa.table({"id": ["b", "a", "c"], "size": [2, 1, None]})


def column(*values: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


def test_rows_are_found_by_key_as_often_as_it_is_asked_for() -> None:
    assert look_up(TABLE, "id", column("a", "b", "a"))["size"].to_pylist() == [1, 2, 1]
    assert look_up(TABLE, "id", column()).num_rows == 0
    with pytest.raises(KeyError, match="x"):
        look_up(TABLE, "id", column("a", "x"))


def test_positions_say_where_a_key_is_first() -> None:
    assert positions(column("a", "x", "b"), column("b", "a", "a")).tolist() == [1, -1, 0]
    assert positions(column("a"), pa.chunked_array([], pa.string())).tolist() == [-1]


def test_values_go_to_their_rows_and_the_others_are_null() -> None:
    made = scattered(np.array([1.5, 2.5]), np.array([2, 0]), 4, pa.float32())
    assert (made.to_pylist(), made.type) == ([2.5, None, 1.5, None], pa.float32())


def test_values_are_those_of_arrow() -> None:
    kinds = {"text": ["a", None], "number": [0.1, None], "count": [1, 2], "list": [["a"], None], "flag": [True, None]}
    table = pa.table(kinds)
    assert {name: values_of(table[name]) for name in kinds} == table.to_pydict()
    assert rows_of(table, ["text", "list"]) == table.select(["text", "list"]).to_pylist()
