"""The catalog: a DuckDB file that answers questions about the ledger. It is an index; lose it and it is made again.

DuckDB lets one process write a file and, while it does, no other process read it. So every connection is short and
held under a file lock, and rows go in as Arrow tables, never one by one.
"""

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from filelock import FileLock

from resources.errors import ExpectedError

if TYPE_CHECKING:
    import duckdb

MATERIALIZATIONS = pa.schema(
    [
        ("asset", pa.string()),
        ("shard", pa.string()),
        ("run_id", pa.string()),
        ("recipe", pa.string()),
        ("recipe_hash", pa.string()),
        ("settings_hash", pa.string()),
        ("code_version", pa.string()),
        ("inputs_hash", pa.string()),
        ("output_hash", pa.string()),
        ("rows_in", pa.int64()),
        ("rows", pa.int64()),
        ("kept", pa.int64()),
        ("reused", pa.int64()),
        ("measured", pa.int64()),
        ("errors", pa.int64()),
        ("seconds", pa.float64()),
        ("finished_at", pa.string()),
        ("rejections", pa.string()),
        ("calls", pa.string()),
        ("step_seconds", pa.string()),
        ("models", pa.string()),
        ("devices", pa.string()),
        ("peak_memory", pa.string()),
    ]
)
FILTER_STATISTICS = pa.schema(
    [
        ("asset", pa.string()),
        ("shard", pa.string()),
        ("run_id", pa.string()),
        ("finished_at", pa.string()),
        ("position", pa.int64()),
        ("filter", pa.string()),
        ("threshold", pa.float64()),
        ("seen", pa.int64()),
        ("passed", pa.int64()),
        ("rejected", pa.int64()),
        ("p05", pa.float64()),
        ("p50", pa.float64()),
        ("p95", pa.float64()),
    ]
)
TABLES = {"materializations": MATERIALIZATIONS, "filter_statistics": FILTER_STATISTICS}

HELD = "Could not set lock"
"""What DuckDB says of a file that another program has open."""


class CatalogUnavailable(ExpectedError, OSError):
    """A catalog that cannot be used: damaged, or held open by a program that is not of this project."""


class CatalogDamaged(CatalogUnavailable):
    """A catalog that is not whole; made anew, nothing of it is lost."""


class Catalog:
    """The catalog file at `path`; made, with its tables, when first written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep one connection for all that this object does in the block; other processes wait for its end."""
        with self.connect() as connection:
            self._held = connection
            try:
                yield
            finally:
                self._held = None

    @contextmanager
    def connect(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A short exclusive connection; other processes wait for it to close. Raises CatalogUnavailable."""
        import duckdb

        if self._held is not None:
            with self._explained():
                yield self._held
            return
        with self._lock(), self._explained(), closing(duckdb.connect(self.path)) as connection:
            for name, schema in TABLES.items():
                empty = schema.empty_table()
                connection.register("empty_rows", empty)
                connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM empty_rows")
                # A catalog of an older version lacks columns; all that have been added since are text.
                present = connection.table(name).columns
                for column in [column for column in schema.names if column not in present]:
                    connection.execute(f"ALTER TABLE {name} ADD COLUMN {column} VARCHAR")
                connection.unregister("empty_rows")
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """DuckDB notices what is damaged when it comes to it, which may be in the middle of an answer."""
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            kind = CatalogUnavailable if HELD in str(error) else CatalogDamaged
            reason = " ".join(str(error).split())
            raise kind(f"{self.path}: the catalog cannot be used ({reason}).") from error

    def _lock(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_suffix(".lock"))

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add materialisation records; one that is there already (same asset, shard and end) is replaced."""
        self._write(
            records, "WHERE (asset, shard, finished_at) IN (SELECT (asset, shard, finished_at) FROM new_records)"
        )

    def replace(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Make the catalog anew from all records; a damaged file, or one of an older version, is no hindrance."""
        with self._lock():
            for file in (self.path, self.path.with_name(self.path.name + ".wal")):
                file.unlink(missing_ok=True)
        self._write(records, "")

    def _write(self, records: Sequence[Mapping[str, Any]], forgotten: str) -> None:
        new_records, new_statistics = _materializations(records), _filter_statistics(records)
        with self.connect() as connection:
            connection.begin()
            connection.register("new_records", new_records)
            connection.register("new_statistics", new_statistics)
            for name, rows in (("materializations", "new_records"), ("filter_statistics", "new_statistics")):
                connection.execute(f"DELETE FROM {name} {forgotten}")
                connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {rows}")
            connection.commit()

    def create_view(self, name: str, folder: Path, pattern: str, columns: Sequence[str]) -> None:
        """A view `name` over the Parquet files in `folder` that match `pattern`: the `shard` of each row, and which of
        `columns` any of the files has."""
        listed = ", ".join(map(quoted, columns))
        with self.connect() as connection:
            connection.execute(
                f'CREATE OR REPLACE VIEW "{name}" AS SELECT shard, COLUMNS(lambda name: name IN ({listed})) '
                f"FROM read_parquet({files_matching(folder, pattern)}, hive_partitioning = true, "
                "hive_types = {'shard': VARCHAR}, union_by_name = true)"
            )

    def create_image_view(
        self, name: str, folder: Path, pattern: str, columns: Sequence[str], images: Sequence[str], parts: Path
    ) -> None:
        """The same with images, `struct(bytes, path)`: the files have them, or say which row of which file in `parts`.

        Of both there may be some; of files that have neither there is no such view.
        """
        options = "hive_partitioning = true, hive_types = {'shard': VARCHAR}"
        rows = f"read_parquet({files_matching(folder, pattern)}, {options}, union_by_name = true)"
        with self.connect() as connection:
            found = connection.sql(f"SELECT * FROM {rows} LIMIT 0")
            kinds = dict(zip(found.columns, found.types, strict=True))
            shown, joined = [f"t.{name}" for name in ("shard", *columns) if name in kinds], ""
            for image in [name for name in images if name in kinds]:
                fields = [field for field, _ in kinds[image].children]
                itself = f"struct_pack(bytes := t.{image}.bytes, path := t.{image}.path)"
                if "part" in fields:
                    joined += (
                        f" LEFT JOIN stored AS {image}_part ON {image}_part.shard = t.shard AND {image}_part.part = "
                        f"t.{image}.part AND {image}_part.number = t.{image}.row"
                    )
                    other = f"CASE WHEN t.{image}.bytes IS NOT NULL THEN {itself} END" if "bytes" in fields else "NULL"
                    shown.append(f"coalesce({image}_part.image, {other}) AS {image}")
                else:
                    shown.append(f"t.{image}")
            stored = (
                "WITH stored AS (SELECT shard, image, file_row_number AS number, parse_filename(filename, true) part "
                f"FROM read_parquet({files_matching(parts, 'shard=*/*.parquet')}, {options}, filename = true, "
                "file_row_number = true)) "
            )
            connection.execute(
                f'CREATE OR REPLACE VIEW "{name}" AS {stored if joined else ""}SELECT {", ".join(shown)} '
                f"FROM {rows} AS t{joined}"
            )

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The answer to one question, as an Arrow table."""
        with self.connect() as connection:
            return connection.sql(sql, params=list(parameters)).to_arrow_table()


def quoted(text: str) -> str:
    """Text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def files_matching(folder: Path, pattern: str) -> str:
    """What names the files in `folder` that match `pattern`, also those to come, for DuckDB's `read_parquet`.

    Below a folder with a backslash in its name, which DuckDB has no way to write, they are those that are there now.
    """
    if "\\" in str(folder):
        return f"[{', '.join(quoted(str(path)) for path in sorted(folder.glob(pattern)))}]"
    return quoted(f"{glob.escape(str(folder))}/{pattern}")


def _materializations(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    rows = [
        {
            name: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
            for name in MATERIALIZATIONS.names
            # A record of an older version lacks what that version did not know.
            for value in [record.get(name)]
        }
        for record in records
    ]
    return pa.Table.from_pylist(rows, schema=MATERIALIZATIONS)


def _filter_statistics(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    identity = ("asset", "shard", "run_id", "finished_at")
    rows = [
        {**{name: record[name] for name in identity}, "position": position, **statistic}
        for record in records
        for position, statistic in enumerate(record["filters"])
    ]
    return pa.Table.from_pylist(rows, schema=FILTER_STATISTICS)
