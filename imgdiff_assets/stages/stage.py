"""What a stage is: measurements (models, minutes) and verdicts (thresholds, milliseconds), in the order taken.

A stage turns each *item* (a row of its parent table) into one or more rows. Its steps are

- `Measurement`: fills columns by running models; memoised row by row under a fingerprint of all it depends on;
- `Derivation`: computes a column from the rows still in the running (a rank among them, for example), every time anew;
- `Filter`: rejects rows. A rejected row keeps all it was measured to have, and skips the measurements that follow.

The engine is `imgdiff_assets.engine`; `imgdiff_assets.what_if.judgement` walks the same steps over stored scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.tables import values_of

if TYPE_CHECKING:
    from imgdiff_assets.recipe.recipe import Recipe
    from imgdiff_assets.recipe.stage_settings import StageSettings


UPSTREAM = "upstream"
"""`rejected_by` of a row whose parent is rejected now, but which was measured when it was not."""

ERROR_PREFIX = "error:"
"""`rejected_by` of a row that could not be measured; such rows are tried again by the next run."""

COMMON_COLUMNS = (
    pa.field("kept", pa.bool_()),
    pa.field("rejected_by", pa.string()),
    pa.field("error", pa.string()),
    pa.field("run_id", pa.string()),
    pa.field("measured_at", pa.timestamp("us", tz="UTC")),
)


class Work(Protocol):
    """What a measurement may use: the recipe, the loaded models, and images.

    `images` gives the source and the target image of the pair that a row belongs to, `erased` the one image of a
    region from which it was erased, in the stage that made it and in those after it, `given` the encoded images of a
    pair that was ingested.
    """

    @property
    def recipe(self) -> "Recipe": ...

    def model(self, role: str) -> Any: ...

    def images(self, pair_id: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]: ...

    def erased(self, region_id: str) -> npt.NDArray[np.uint8]: ...

    def given(self, pair_id: str) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """Fills `columns` of the rows it is given; equal inputs and equal settings are measured once.

    `run` gets a batch of rows and returns, for each row, one dict of its columns (or, with `expands`, a non-empty
    list of dicts: one row becomes several), or the exception with which this row alone failed. `inputs` names the
    columns that the result depends on, `settings` gives the part of the recipe it depends on, `roles` the models;
    `version` is raised when the code's results change.
    """

    name: str
    columns: tuple[pa.Field, ...]
    inputs: tuple[str, ...]
    run: Callable[[Sequence[Row], Work], Sequence[Any]]
    settings: Callable[["Recipe"], Mapping[str, Any]] = lambda recipe: {}
    roles: tuple[str, ...] = ()
    version: int = 1
    expands: bool = False

    @property
    def fingerprint_column(self) -> str:
        return f"{self.name}_fingerprint"


@dataclass(frozen=True, slots=True)
class Derivation:
    """Computes one column from the rows that are still in the running."""

    column: pa.Field
    reads: tuple[str, ...]
    compute: Callable[[Columns, Any], npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Canaries:
    """Planted rows that prove a filter works: judged together, `kept` must pass and `rejected` must not.

    A row has the columns that the filter reads, or, for a derived one, those that it is derived from. Without
    `rejected` rows the settings let everything pass, and there is nothing to prove.
    """

    kept: Sequence[Row]
    rejected: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Filter:
    """Keeps the rows for which `passes` is true, judging only rows still in the running.

    `canaries` plants rows for given settings. `score` names the column whose spread is reported, `threshold` the
    setting it is compared with.
    """

    name: str
    reads: tuple[str, ...]
    passes: Callable[[Columns, Any], Booleans]
    canaries: Callable[[Any], Canaries]
    score: str | None = None
    threshold: str | None = None

    def judge(self, columns: Columns, settings: Any) -> Booleans:
        """Which rows pass: one value per row, also where `passes` gives one for all."""
        return np.broadcast_to(np.asarray(self.passes(columns, settings), dtype=bool), len(columns[self.reads[0]]))

    def keeps_larger(self, settings: Any) -> bool:
        """Of a filter with a score and a threshold: whether scores beyond the threshold pass, or those below it."""
        beyond = np.array([getattr(settings, str(self.threshold)) + 1.0])
        return bool(self.judge(dict.fromkeys(self.reads, beyond), settings)[0])


CANARY_MARGIN = 1e-3
"""How far from a threshold the rows planted for it lie."""


def at_least(name: str, score: str, threshold: str, canaries: Callable[[Any], Canaries] | None = None) -> Filter:
    """A filter that keeps rows whose score reaches a setting; `canaries` for a score that is derived."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        return np.asarray(columns[score] >= getattr(settings, threshold), dtype=bool)

    return Filter(name, (score,), passes, canaries or _around(score, threshold, 1), score, threshold)


def below(name: str, score: str, threshold: str, canaries: Callable[[Any], Canaries] | None = None) -> Filter:
    """A filter that keeps rows whose score stays under a setting; `canaries` for a score that is derived."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        return np.asarray(columns[score] < getattr(settings, threshold), dtype=bool)

    return Filter(name, (score,), passes, canaries or _around(score, threshold, -1), score, threshold)


def _around(score: str, threshold: str, direction: int) -> Callable[[Any], Canaries]:
    """Canaries a little to the right and to the wrong side of a threshold."""

    def canaries(settings: Any) -> Canaries:
        limit = getattr(settings, threshold)
        step = direction * CANARY_MARGIN
        return Canaries(kept=[{score: limit + step}], rejected=[{score: limit - step}])

    return canaries


Step = Measurement | Derivation | Filter


@dataclass(frozen=True, slots=True)
class Stage:
    """One table of the ledger: where its items come from, and the steps every row goes through.

    `items(tables, recipe)` maps the parent tables to the stage's items: a table of `item_columns`, and `kept`, which
    says whether the item's parent is. `row_id(row)` is the content hash that `id_column` holds, taken after the first
    measurement; None where the items have that column.
    """

    name: str
    id_column: str
    parents: tuple[str, ...]
    item_columns: tuple[pa.Field, ...]
    items: Callable[[Mapping[str, pa.Table], "Recipe"], pa.Table]
    steps: tuple[Step, ...]
    description: str
    row_id: Callable[[Row], str] | None = None
    of_rejected: bool = False
    """Whether rows that the stage before rejects are items too; then rows of one grandparent are compared."""
    item_settings: Callable[["Recipe"], Mapping[str, Any]] = lambda recipe: {}
    """The part of the recipe that the items depend on, beside the tables: what-if cannot tell what others are."""

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(step for step in self.steps if isinstance(step, Measurement))

    @property
    def filters(self) -> tuple[Filter, ...]:
        return tuple(step for step in self.steps if isinstance(step, Filter))

    @property
    def code_version(self) -> str:
        """Changes whenever a measurement's version does."""
        return ".".join(str(measurement.version) for measurement in self.measurements)

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(role for measurement in self.measurements for role in measurement.roles))

    @property
    def schema(self) -> pa.Schema:
        """All columns of the table: id, items', measured, derived, fingerprints, verdict."""
        columns = [pa.field(self.id_column, pa.string())]
        columns += [column for column in self.item_columns if column.name != self.id_column]
        for step in self.steps:
            if isinstance(step, Measurement):
                columns += step.columns
            elif isinstance(step, Derivation):
                columns.append(step.column)
        columns += COMMON_COLUMNS[:3]
        columns += [pa.field(step.fingerprint_column, pa.string()) for step in self.measurements]
        columns += COMMON_COLUMNS[3:]
        return pa.schema(columns)

    def enabled(self, recipe: "Recipe") -> bool:
        """Whether the recipe has this stage switched on; most have no switch."""
        return bool(getattr(self.settings(recipe), "enabled", True))

    def settings(self, recipe: "Recipe") -> "StageSettings":
        """This stage's section of the recipe."""
        section: StageSettings = getattr(recipe, self.name)
        return section


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
