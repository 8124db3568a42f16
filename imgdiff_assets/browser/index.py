"""The tables of the ledger without their images, in memory: what the pages ask, while runs replace the files.

A file is read whole and closed before anything is asked of it, and its rows take the place of the older ones in one
transaction. So a page sees each table either before or after a run, never half of it, and blocks no writer.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.cells import is_image
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews, reviews_state
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.tags import TAGS, tags_by_row
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import UPSTREAM, Stage

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 1.0
ROW = pa.field("row", pa.int64())
SHARD = pa.field("shard", pa.string())
MATERIALIZED = pa.schema(
    [
        ("asset", pa.string()),
        ("shard", pa.string()),
        ("run_id", pa.string()),
        ("finished_at", pa.string()),
        ("judged", pa.int64()),
        ("kept", pa.int64()),
    ]
)
REVIEWED = pa.schema([("sample_id", pa.string()), ("review", pa.string())])
ALIKE = pa.schema([("like_id", pa.string()), ("pair_id", pa.string()), ("place", pa.int64())])
MOST_COMPUTED = 64
TAGGED = pa.schema([("row_id", pa.string()), ("tag", pa.string())])


class Index:
    """Answers SQL about all shards, or `shards` alone. Safe to use from several threads.

    There is one table per stage (each row with its `shard` and its position `row` in the file there), `materialized`
    (a row per materialisation), `reviewed` (what reviewers together say of a sample) `tagged` (a row per tag)
    and `alike` (what looks like a pair, nearest first, of pairs that were asked about).
    """

    def __init__(self, home: Home, shards: Sequence[str] | None = None) -> None:
        self.home = home
        self.ledger = Ledger(home.ledger)
        self._only = None if shards is None else frozenset(shards)
        self.records: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.damaged: dict[tuple[str, str], str] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._said_states: dict[str, tuple[Entry, ...]] = {}
        self._looked_at = float("-inf")
        self._lock = threading.Lock()
        self._connection = duckdb.connect(":memory:")
        for stage in STAGES:
            self._create(stage.name, light_schema(stage))
        self._create("materialized", MATERIALIZED)
        self._create("reviewed", REVIEWED)
        self._create("tagged", TAGGED)
        self._create("alike", ALIKE)
        self._computed: dict[tuple[str, str], Any] = {}

    def _create(self, name: str, schema: pa.Schema) -> None:
        self._connection.register("empty_rows", schema.empty_table())
        self._connection.execute(f"CREATE TABLE {name} AS SELECT * FROM empty_rows")
        self._connection.unregister("empty_rows")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The answer to one question, as of now."""
        found: list[dict[str, Any]] = self.table(sql, parameters).to_pylist()
        return found

    def table(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The same, as an Arrow table."""
        self.refresh()
        with self._connection.cursor() as cursor:
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()

    def refresh(self, at_once: bool = False) -> None:
        """Take in what has changed since; files are looked at once a second at most, unless `at_once`."""
        with self._lock:
            if not at_once and time.monotonic() - self._looked_at < SECONDS_BETWEEN_LOOKS:
                return
            for stage in STAGES:
                self._refresh_stage(stage)
            self._refresh_said()
            self._looked_at = time.monotonic()

    def computed(self, what: str, of: str, compute: Callable[[], T]) -> T:
        """What was computed of the tables: once, until one of them changes."""
        self.refresh()
        kept = self._computed
        if (what, of) not in kept:
            value = compute()
            if len(kept) >= MOST_COMPUTED:
                kept.clear()
            kept[what, of] = value
        found: T = kept[what, of]
        return found

    def keep_alike(self, like: str, pairs: Sequence[str]) -> None:
        """Let questions ask for the pairs that look like one."""
        rows = [{"like_id": like, "pair_id": pair, "place": place} for place, pair in enumerate(pairs)]
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.register("new_rows", pa.Table.from_pylist(rows, ALIKE))
            cursor.execute("DELETE FROM alike WHERE like_id = ?", [like])
            cursor.execute("INSERT INTO alike SELECT * FROM new_rows")
            cursor.unregister("new_rows")
            cursor.commit()

    def hear(self) -> None:
        """Take in at once what people have just said."""
        with self._lock:
            self._refresh_said()

    def _refresh_stage(self, stage: Stage) -> None:
        present = self.ledger.versions(stage.name)
        if self._only is not None:
            present = {key: version for key, version in present.items() if key in self._only}
        known = {key: state for (asset, key), state in self._states.items() if asset == stage.name}
        changed = [key for key, state in present.items() if state != known.get(key)]
        gone = [key for key in known if key not in present]
        if not changed and not gone:
            return
        self._computed = {}
        tables, history = [], []
        for key in changed:
            table, lines = self._read(stage, key)
            tables.append(table)
            history += lines
            self._states[stage.name, key] = present[key]
        for key in gone:
            for known_of in (self._states, self.records, self.damaged):
                known_of.pop((stage.name, key), None)
        rows = pa.concat_tables(tables) if tables else light_schema(stage).empty_table()
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.execute(f"DELETE FROM {stage.name} WHERE shard IN (SELECT unnest(?))", [[*changed, *gone]])
            cursor.execute(
                "DELETE FROM materialized WHERE asset = ? AND shard IN (SELECT unnest(?))",
                [stage.name, [*changed, *gone]],
            )
            for name, values in ((stage.name, rows), ("materialized", pa.Table.from_pylist(history, MATERIALIZED))):
                cursor.register("new_rows", values)
                cursor.execute(f"INSERT INTO {name} SELECT * FROM new_rows")
                cursor.unregister("new_rows")
            cursor.commit()

    def _read(self, stage: Stage, key: str) -> tuple[pa.Table, list[dict[str, Any]]]:
        """Rows and history of one table; none of one that is damaged or has just been moved away."""
        schema = light_schema(stage)
        self.damaged.pop((stage.name, key), None)
        try:
            table = self.ledger.read(stage.name, key, _of_files(schema))
            self.records[stage.name, key] = self.ledger.record(stage.name, key) or {}
        except OSError as error:
            self.damaged[stage.name, key] = " ".join(str(error).split())
            return schema.empty_table(), []
        table = table.append_column(SHARD, pa.repeat(pa.scalar(key), table.num_rows))
        table = table.append_column(ROW, pa.array(range(table.num_rows), pa.int64()))
        history = [
            {
                "asset": stage.name,
                "shard": key,
                "run_id": record["run_id"],
                "finished_at": record["finished_at"],
                "judged": record["rows"] - record["rejections"].get(UPSTREAM, 0),
                "kept": record["kept"],
            }
            for record in self.ledger.history(stage.name, key)
        ]
        return table, history

    def _refresh_said(self) -> None:
        """What people say."""
        self._replace("reviewed", REVIEWED, reviews_state(self.home), self._reviewed)
        self._replace("tagged", TAGGED, TAGS.state(self.home), self._tagged)

    def _reviewed(self) -> list[dict[str, str]]:
        shards = read_reviews(self.home).by_shard
        said = {name: review for of_shard in shards.values() for name, review in of_shard.items()}
        return [{"sample_id": name, "review": review} for name, review in said.items()]

    def _tagged(self) -> list[dict[str, str]]:
        return [{"row_id": row, "tag": tag} for row, tags in tags_by_row(self.home).items() for tag in tags]

    def _replace(
        self, name: str, schema: pa.Schema, state: tuple[Entry, ...], read: Callable[[], list[dict[str, str]]]
    ) -> None:
        """Other rows for a table, if the state of what they are read from is another."""
        if state == self._said_states.get(name, ()):
            return
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.register("new_rows", pa.Table.from_pylist(read(), schema))
            cursor.execute(f"DELETE FROM {name}")
            cursor.execute(f"INSERT INTO {name} SELECT * FROM new_rows")
            cursor.unregister("new_rows")
            cursor.commit()
        self._said_states[name] = state

    def shards(self) -> list[str]:
        """The shards that have any table, in order."""
        self.refresh()
        return sorted({key for _, key in list(self._states)})

    def find(self, identity: str) -> tuple[str, str] | None:
        """(stage, shard) of the first table, from the end of the graph, that has a row with this very id."""
        for stage in reversed(STAGES):
            sql = f"SELECT shard FROM {stage.name} WHERE {stage.id_column} = ? LIMIT 1"
            if found := self.rows(sql, [identity]):
                return stage.name, found[0]["shard"]
        return None


def _of_files(schema: pa.Schema) -> pa.Schema:
    """Those of the columns that the index reads."""
    return pa.schema([field for field in schema if field not in (SHARD, ROW)])


def light_schema(stage: Stage) -> pa.Schema:
    """The columns that the index holds of a stage: no images, no fingerprints."""
    columns = [field for field in stage.schema if not is_image(field) and not field.name.endswith("_fingerprint")]
    return pa.schema([*columns, SHARD, ROW])
