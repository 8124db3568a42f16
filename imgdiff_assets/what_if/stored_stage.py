"""What the ledger holds of one stage over many shards, as columns: verdicts at once, scores when first asked for."""

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Integers
from imgdiff_assets.common.tables import columns_of_table
from imgdiff_assets.engine.plan import recorded
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import keys_above, keys_of, scan
from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM, Stage
from imgdiff_assets.stages.steps import Derivation, Filter

MADE = ("asset", "seed", "settings", "made_with", "item_versions", "models", "code_version")
"""What of a table's record its rows depend on."""


class Fate(IntEnum):
    """What becomes of a row; numbers from `len(Fate)` on are reasons of rejection (`StoredStage.reasons`)."""

    KEPT = 0
    UPSTREAM = 1
    UNDECIDED = 2
    """It depends on a measurement that has not been made."""
    GONE = 3
    """The row would not be in the table any more."""


class StoredStage:
    """One stage's tables of some shards, one after the other; every array has an entry per row.

    `parents` hold the tables of the stages before. `parent_rows` are positions of their rows, taken one table after
    the other (-1 where there is none). `families` are equal for rows of one parent, `compared` for those that the
    stage compares. `origins` are the distinct ways in which the tables were made, as records (`MADE`). Raises
    DamagedTable.
    """

    def __init__(self, ledger: Ledger, stage: Stage, shards: Sequence[str], parents: Sequence["StoredStage"]) -> None:
        self.stage, self.parents = stage, parents
        self._ledger, self._shards = ledger, shards
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._having: dict[tuple[str, ...], Booleans] = {}
        fingerprints = [step.fingerprint_column for step in stage.measurements]
        names = dict.fromkeys([stage.id_column, *stage.columns_above, "rejected_by", *fingerprints])
        table = scan(ledger, stage.name, list(names), shards=shards, schema=stage.schema)
        self.ids: pa.ChunkedArray = table[stage.id_column]
        self.shards: pa.ChunkedArray = table["shard"]
        present = ledger.shards(stage.name, shards)
        self.records = {key: recorded(ledger, stage, key) or {} for key in present}
        self.measured: dict[str, Booleans] = {
            step.name: table[step.fingerprint_column].is_valid().to_numpy() for step in stage.measurements
        }
        keys = keys_above(stage, table)
        self.families = _positions(keys, keys.unique())
        above = [keys_of(stage, parent.stage.name, parent.ids).combine_chunks() for parent in parents]
        self.parent_rows = _positions(keys, pa.concat_arrays(above)) if above else self.families
        self.compared = self.families
        if stage.of_rejected is not None:
            self.compared = np.append(parents[0].families, -1)[self.parent_rows]
        self.reasons, self.fates = _read_verdicts(stage, table["rejected_by"])
        self.failed = np.isin(self.fates, [self.fate(reason) for reason in self.reasons if is_error(reason)])
        self.origins, self.origin_rows = _read_origins(self.records, table["shard"])

    def __len__(self) -> int:
        return len(self.fates)

    def fate(self, reason: str) -> int:
        """The number that stands for a reason of rejection."""
        return len(Fate) + self.reasons.index(reason)

    def where(self, values: Sequence[bool]) -> Booleans:
        """One value per origin, for the rows of each."""
        return np.array(values, dtype=bool)[self.origin_rows]

    def having(self, column: str, values: Sequence[str] = ()) -> Booleans:
        """The rows that have a value in a column; one of `values`, if any are named."""
        asked = (column, *values)
        if asked not in self._having:
            column_values = self._scan([column])[column]
            found = pc.is_in(column_values, pa.array(values)) if values else column_values.is_valid()
            self._having[asked] = np.asarray(found.to_numpy(), dtype=bool)
        return self._having[asked]

    def scores(self, stage: Stage) -> Mapping[str, npt.NDArray[Any]]:
        """The measured columns and the items' that filters and derivations of the stage, as a recipe has it, read."""
        read = [name for step in stage.steps if isinstance(step, Derivation | Filter) for name in step.reads]
        derived = {step.column.name for step in stage.steps if isinstance(step, Derivation)}
        return self.columns([name for name in dict.fromkeys(read) if name not in derived])

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """The columns, each read once. Raises OSError."""
        if unread := [name for name in names if name not in self._columns]:
            self._columns |= columns_of_table(self._scan(unread), unread)
        return {name: self._columns[name] for name in names}

    def _scan(self, names: Sequence[str]) -> pa.Table:
        return scan(self._ledger, self.stage.name, names, shards=self._shards, schema=self.stage.schema)


def is_error(reason: str) -> bool:
    return reason.startswith(ERROR_PREFIX)


def _positions(keys: pa.ChunkedArray, among: pa.Array) -> Integers:
    """Where each key is found, -1 for nowhere."""
    found = pc.fill_null(pc.index_in(keys, value_set=among), -1)
    return np.asarray(found, dtype=np.int64)


def _read_verdicts(stage: Stage, rejected_by: pa.ChunkedArray) -> tuple[tuple[str, ...], Integers]:
    """All reasons of rejection (the stage's filters first), and a fate per row."""
    found = [name for name in rejected_by.unique().to_pylist() if name not in (None, UPSTREAM)]
    reasons = tuple(dict.fromkeys([*(step.name for step in stage.filters), *sorted(found)]))
    codes = _positions(rejected_by, pa.array([UPSTREAM, *reasons], pa.string()))
    # Null, a kept row, is found nowhere.
    meaning = np.array([Fate.UPSTREAM, *range(len(Fate), len(Fate) + len(reasons)), Fate.KEPT])
    return reasons, meaning[codes]


def _read_origins(
    records: Mapping[str, Mapping[str, Any]], shards: pa.ChunkedArray
) -> tuple[list[Mapping[str, Any]], Integers]:
    """The distinct ways in which the tables were made, and which is each row's."""
    encoded = shards.combine_chunks().dictionary_encode()
    ways: dict[str, tuple[int, dict[str, Any]]] = {}
    of_shard = []
    for shard in encoded.dictionary.to_pylist():
        made = {name: records[shard].get(name) for name in MADE}
        number, _ = ways.setdefault(json.dumps(made, sort_keys=True), (len(ways), made))
        of_shard.append(number)
    return [made for _, made in ways.values()], np.array(of_shard, dtype=np.int64)[encoded.indices.to_numpy()]
