"""What Arrow tables need here beside Arrow itself: rows by key, rows in the running, columns by row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Integers, Row


def positions(keys: pa.ChunkedArray, among: pa.ChunkedArray) -> Integers:
    """Where each key is found first, -1 for nowhere."""
    found = pc.index_in(keys, value_set=among.combine_chunks())
    return np.asarray(pc.fill_null(found, -1), dtype=np.int64)


def look_up(table: pa.Table, key: str, values: pa.ChunkedArray) -> pa.Table:
    """The row of `table` for each value of its column `key`. Raises KeyError for one that it lacks."""
    rows = positions(values, table[key])
    if (rows < 0).any():
        raise KeyError(values[int(np.argmin(rows))].as_py())
    return table.take(rows)


def scattered(values: npt.NDArray[Any], rows: Integers, length: int, kind: pa.DataType) -> pa.Array:
    """A column of `length` with the values at `rows`, null elsewhere and for NaN."""
    column, missing = np.zeros(length, dtype=values.dtype), np.ones(length, dtype=bool)
    column[rows], missing[rows] = values, False
    if np.issubdtype(column.dtype, np.floating):
        missing |= np.isnan(column)
    return pa.array(column, mask=missing).cast(kind)


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """The column as Python values, several times as fast as Arrow's own way where NumPy knows the type."""
    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if pa.types.is_string(column.type) or (number and column.null_count == 0):
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())


def rows_of(table: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """The table's rows as dicts of `names`."""
    columns = [values_of(table[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def columns_of_rows(rows: Sequence[Row], names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Columns as arrays: numbers as float64 with NaN for null, anything else as objects."""
    return {name: _column([row.get(name) for row in rows]) for name in names}


def columns_of_table(table: pa.Table, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The same, from an Arrow table."""
    result: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        column = table[name]
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            result[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        else:
            result[name] = _objects(values_of(column))
    return result


def _column(values: list[Any]) -> npt.NDArray[Any]:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return _objects(values)


def _objects(values: list[Any]) -> npt.NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
