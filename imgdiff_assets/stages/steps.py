"""The steps of a stage: measurements (models, minutes) and verdicts (thresholds, milliseconds).

- `Measurement`: fills columns by running models; memoised row by row under a fingerprint of all it depends on;
- `Derivation`: computes a column from the rows still in the running (a rank among them, for example), every time anew;
- `Filter`: rejects rows. A rejected row keeps all it was measured to have, and skips the measurements that follow.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Columns, Pixels, Row

RANGE = b"range"
CANARY_MARGIN = 1e-3
"""How far from a threshold the rows planted for it lie."""


def score(name: str, low: float, high: float, kind: pa.DataType | None = None) -> pa.Field:
    """A column for a score, which is never outside `low` to `high`; float32 unless told otherwise."""
    return pa.field(name, kind or pa.float32(), metadata={RANGE: f"{low} {high}".encode()})


def cosine(name: str) -> pa.Field:
    """A column for a cosine."""
    return score(name, -1.0, 1.0)


def share(name: str) -> pa.Field:
    """A column for a share or a probability."""
    return score(name, 0.0, 1.0)


def quality(name: str) -> pa.Field:
    """A column for a quality that a model predicts, which nothing keeps below 1."""
    return score(name, 0.0, math.inf)


def range_of(column: pa.Field) -> tuple[float, float] | None:
    """The least and the largest value of a score; None for a column that is not one."""
    if column.metadata is None or RANGE not in column.metadata:
        return None
    low, high = column.metadata[RANGE].decode().split()
    return float(low), float(high)


class Work(Protocol):
    """What a measurement may use: the settings that it names, the loaded models, and images.

    `images` gives the source and the target image of the pair that a row belongs to, `erased` the one image of a
    region from which it was erased, in the stage that made it and in those after it, `given` the encoded images of a
    pair that was ingested.
    """

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def model(self, role: str) -> Any: ...

    def images(self, pair_id: str) -> tuple[Pixels, Pixels]: ...

    def erased(self, region_id: str) -> Pixels: ...

    def given(self, pair_id: str) -> Mapping[str, Any]: ...


def always(recipe: Any) -> bool:
    """Of results that something reads whatever the recipe."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class InSection:
    """A step reads its stage's section of the recipe; one that a package adds, the part of it under `section`.

    Such a part is None in a recipe that does not name it, and the step is off.
    """

    section: str = ""
    of_stage: bool = False
    """Whether a step that is on by its part is handed the whole section nonetheless."""

    def own(self, settings: Any) -> Any:
        """The step's part of the stage's section."""
        return settings if self.of_stage else self._part(settings)

    def on(self, settings: Any) -> bool:
        """Whether the recipe has the step."""
        return self._part(settings) is not None

    def _part(self, settings: Any) -> Any:
        return attrgetter(self.section)(settings) if self.section else settings


@dataclass(frozen=True, slots=True)
class Ways:
    """Other ways to make a measurement: by what a row says in `column`, the roles that are asked for it.

    A row that says nothing is measured by the measurement's own roles. `used` tells of the step's settings in which
    ways its rows may be made, None being that one. A row depends on the roles of its way alone.
    """

    column: str
    roles: Mapping[str, tuple[str, ...]]
    used: Callable[[Any], Collection[str | None]]


@dataclass(frozen=True, slots=True)
class Measurement(InSection):
    """Fills `columns` of the rows it is given; equal inputs and equal settings are measured once.

    `run` gets a batch of rows and returns, for each row, one dict of its columns (or, with `expands`, a non-empty
    list of dicts: one row becomes several), or the exception with which this row alone failed. `inputs` names the
    columns that the result depends on, and `later_inputs` those that came later: of a row that has none of them they
    are in no fingerprint, so that what was measured before holds. `roles` names the models, `settings` the settings
    that it depends on (keys of the section, `seed`, or `section.key`), `indifferent` those that change the form of a
    result and not what it says: of a recipe, `run` is handed these and no others. `version` is raised when the code's
    results change. `read` says of a recipe whether anything reads the results: where nothing does, those that are
    there stay, and no more are measured.
    """

    name: str
    columns: tuple[pa.Field, ...]
    inputs: tuple[str, ...]
    run: Callable[[Sequence[Row], Work], Sequence[Any]]
    settings: tuple[str, ...] = ()
    indifferent: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    more_roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By a setting that is left out of hashes: the roles that are asked only where it is not its default."""
    more_inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By such a setting: the inputs that the result depends on only where it is not its default."""
    pictures_alone: bool = False
    """Whether of the image-text encoder pictures alone are asked: where a recipe names an image encoder, that is."""
    version: int = 1
    expands: bool = False
    later_inputs: tuple[str, ...] = ()
    read: Callable[[Any], bool] = always
    told: tuple[str, ...] = ()
    """Columns of its own that `run` is handed too where a row is made again: they tell what no fingerprint does."""
    ways: Ways | None = None
    by_way: Mapping[str | None, tuple[str, ...]] = field(default_factory=dict)
    """The roles of each way that a recipe has; filled in by `Stage.under`, and empty where there is but its own."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `run` is handed."""
        return (*self.inputs, *self.later_inputs)

    def hashed(self, row: Row) -> list[Any]:
        """What of a row is in its fingerprint."""
        later = [row[name] for name in self.later_inputs]
        known = any(value is not None for value in later)
        return [*(row[name] for name in self.inputs), *(later if known else ())]

    @property
    def fingerprint_column(self) -> str:
        return f"{self.name}_fingerprint"


@dataclass(frozen=True, slots=True)
class Derivation(InSection):
    """Computes one column from the rows that are still in the running; `version` is raised when its values change.

    It compares rows of one parent at most, unless it says that it is `of_shard`, and compares all.
    """

    column: pa.Field
    reads: tuple[str, ...]
    compute: Callable[[Columns, Any], npt.NDArray[Any]]
    version: int = 1
    of_shard: bool = False


@dataclass(frozen=True, slots=True)
class Canaries:
    """Planted rows that prove a filter works: judged together, `kept` must pass and `rejected` must not.

    A row has the columns that the filter reads, or, for a derived one, those that it is derived from. Without
    `rejected` rows the settings let everything pass, and there is nothing to prove.
    """

    kept: Sequence[Row]
    rejected: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Filter(InSection):
    """Keeps the rows for which `passes` is true, judging only rows still in the running.

    `reason` says in words why a row is rejected. `canaries` plants rows for given settings. `score` names the column
    whose spread is reported, `threshold` the setting it is compared with. `version` is raised when verdicts change.
    `unless_missing`: a row that has no score is not judged, and passes.
    """

    name: str
    reads: tuple[str, ...]
    passes: Callable[[Columns, Any], Booleans]
    reason: str
    canaries: Callable[[Any], Canaries]
    score: str | None = None
    threshold: str | None = None
    version: int = 1
    unless_missing: bool = False

    def judge(self, columns: Columns, settings: Any) -> Booleans:
        """Which rows pass, by the stage's settings: one value per row, also where `passes` gives one for all."""
        passes = np.asarray(self.passes(columns, self.own(settings)), dtype=bool)
        return np.broadcast_to(passes, len(columns[self.reads[0]]))

    @property
    def setting(self) -> str | None:
        """The threshold's key in the stage's section."""
        return f"{self.section}.{self.threshold}" if self.section and self.threshold else self.threshold

    def limit(self, settings: Any) -> Any:
        """The threshold in the stage's settings; None for a filter without one."""
        return attrgetter(self.setting)(settings) if self.setting else None

    def keeps_larger(self, settings: Any) -> bool:
        """Of a filter with a score and a threshold: whether scores beyond the threshold pass, or those below it."""
        beyond = np.array([self.limit(settings) + 1.0])
        return bool(self.judge(dict.fromkeys(self.reads, beyond), settings)[0])


Step = Measurement | Derivation | Filter


def at_least(
    name: str, score: str, threshold: str, reason: str, canaries: Callable[[Any], Canaries] | None = None
) -> Filter:
    """A filter that keeps rows whose score reaches a setting; `canaries` for a score that is derived."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        return np.asarray(columns[score] >= getattr(settings, threshold), dtype=bool)

    return Filter(name, (score,), passes, reason, canaries or _around(score, threshold, 1), score, threshold)


def below(
    name: str, score: str, threshold: str, reason: str, canaries: Callable[[Any], Canaries] | None = None
) -> Filter:
    """A filter that keeps rows whose score stays under a setting; `canaries` for a score that is derived."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        return np.asarray(columns[score] < getattr(settings, threshold), dtype=bool)

    return Filter(name, (score,), passes, reason, canaries or _around(score, threshold, -1), score, threshold)


def unless_missing(judge: Filter) -> Filter:
    """The filter, for rows that have its score; the others, of which none was measured, pass."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        scores = np.asarray(columns[judge.reads[0]], dtype=np.float64)
        return np.asarray(np.isnan(scores) | judge.passes({judge.reads[0]: scores}, settings), dtype=bool)

    return replace(judge, passes=passes, unless_missing=True)


def _around(score: str, threshold: str, direction: int) -> Callable[[Any], Canaries]:
    """Canaries a little to the right and to the wrong side of a threshold."""

    def canaries(settings: Any) -> Canaries:
        limit = getattr(settings, threshold)
        step = direction * CANARY_MARGIN
        return Canaries(kept=[{score: limit + step}], rejected=[{score: limit - step}])

    return canaries
