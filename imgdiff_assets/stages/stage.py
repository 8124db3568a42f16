"""What a stage is: one table of the ledger, where its items come from, and the steps that every row goes through.

A stage is data and pure functions, and knows all there is to know about its table; what runs, shows, counts or
explains tables asks it. `imgdiff_assets.engine` runs it, `imgdiff_assets.what_if.judgement` walks the same steps over
stored scores.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.stages.settings import Sections, StageSettings, is_recorded, lacks_role, value_of
from imgdiff_assets.stages.steps import Derivation, Filter, Measurement, Step, range_of

UPSTREAM = "upstream"
"""`rejected_by` of a row whose parent is rejected now, but which was measured when it was not."""

ERROR_PREFIX = "error:"
"""`rejected_by` of a row that could not be measured."""

CAPTION_FILE = "caption_file"
"""The parent of the first stage: the ingested captions, which are no table of the ledger."""

REVIEWS = "reviews"
"""The parent that people write: what they said of the shard's samples."""

CORRECTIONS = "corrections"
"""The parent that people write, too: what they corrected of the shard's regions. Where there is nothing, it is in no
hash."""

OUTSIDE = (CAPTION_FILE, REVIEWS, CORRECTIONS)

IMAGE_ENCODER, IMAGE_TEXT_ENCODER = "image_encoder", "image_text_encoder"

COMMON_COLUMNS = (
    pa.field("kept", pa.bool_()),
    pa.field("rejected_by", pa.string()),
    pa.field("error", pa.string()),
    pa.field("run_id", pa.string()),
    pa.field("measured_at", pa.timestamp("us", tz="UTC")),
)


@dataclass(frozen=True, slots=True)
class Above:
    """The row above of those rows that have the columns `having` and lack those `lacking`.

    It is a row of `table`, and `id_column` names it. Where it is rejected, the row is set aside; with `rejected_by`,
    rows are made of those alone that this filter rejected. `wanted` says of the stage's section whether any are made.
    """

    table: str
    id_column: str
    having: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    rejected_by: str | None = None
    wanted: Callable[[Any], bool] = lambda settings: True

    def concerns(self, row: Mapping[str, Any]) -> bool:
        """Whether this is where the row comes from."""
        here = (row.get(name) is not None for name in self.having)
        return all(here) and all(row.get(name) is None for name in self.lacking)


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows that depend on others of the shard than the row above: what-if cannot tell what becomes of them.

    They are those with a value in `column` (one of `values`, if any are named); they depend on all rows of `table`,
    and where it is `kept` on which of these are kept. `wanted` says of the stage's section whether they do.
    """

    table: str
    column: str
    values: tuple[str, ...] = ()
    kept: bool = False
    wanted: Callable[[Any], bool] = lambda settings: True


@dataclass(frozen=True)
class Stage:
    """One table of the ledger.

    `items(tables, settings)` maps the parent tables to the stage's items: a table of `item_columns`, and `kept`,
    which says whether the item's parent is; of a recipe it is handed the `item_settings` and no others. `row_id(row)`
    is the content hash that `id_column` holds, taken after the first measurement; None where the items have that
    column. `section` is the class of the stage's section of the recipe, `above` says which row each row comes from.
    """

    name: str
    id_column: str
    parents: tuple[str, ...]
    above: tuple[Above, ...]
    section: type[StageSettings]
    item_columns: tuple[pa.Field, ...]
    items: Callable[[Mapping[str, pa.Table], Mapping[str, Any]], pa.Table]
    steps: tuple[Step, ...]
    description: str
    row_id: Callable[[Row], str] | None = None
    item_settings: tuple[str, ...] = ()
    """The settings that items depend on, as `Measurement.settings`: what-if cannot tell what others are."""

    columns_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the name of a setting, or of an optional parent: item columns that are there only where the recipe has it."""

    item_versions: Callable[[Any], Mapping[str, int]] = lambda settings: {}
    """By the stage's settings: the versions of the code that makes items, by the name of what it makes. The first is
    in no hash, as if the version were not told."""

    one_each: Callable[[Any], bool] = lambda settings: True
    """By the stage's settings: whether of each kept row above one item is made (or the first measurement makes several
    rows of one). Of others what-if cannot tell how many there will be."""

    beside: tuple[Beside, ...] = ()

    absent: Mapping[str, float] = field(default_factory=dict)
    """By column: the value of a score that stands for none, as where there was nothing to compare with."""

    of_rejected: tuple[str, ...] | None = None
    """None: only kept rows of the stage before are items. Else rejected ones are too, but for those that these
    filters rejected; then rows of one grandparent are compared."""

    compared_texts: tuple[str, str] | None = None
    """Two columns whose words people compare."""

    contents: Callable[[Mapping[str, Any]], Sequence[str]] = lambda row: ()
    """Lines that say what is in a row, for lineage."""

    also: tuple[str, ...] = ()
    """Optional stages that are parents too, where a recipe names them."""

    optional: bool = False
    """Whether a recipe that does not name the stage has it off, though no package brings it."""

    roles_of_pictures: tuple[str, ...] = ()
    """The roles that it asks, beside its own, over shards of pictures."""

    unnamed_roles: tuple[str, ...] = ()
    """Those of its possible roles that a recipe names no model for; filled in by `under`."""

    package: str | None = None
    """The installed package that brings the stage, with its version; a recipe that does not name it has it off."""

    @cached_property
    def measurements(self) -> tuple[Measurement, ...]:
        return tuple(step for step in self.steps if isinstance(step, Measurement))

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        return tuple(step for step in self.steps if isinstance(step, Filter))

    @property
    def code_version(self) -> str:
        """Changes whenever a measurement's version does; those of installed filters come and go, and are named."""
        own = ".".join(str(step.version) for step in self.measurements if not step.section)
        return own + "".join(f"+{step.name}={step.version}" for step in self.measurements if step.section)

    def versions(self, code_version: str) -> dict[str, str]:
        """The versions that a code version of this stage tells, by measurement."""
        own, *added = code_version.split("+")
        names = (step.name for step in self.measurements if not step.section)
        return {**dict(zip(names, own.split("."), strict=False)), **dict(text.split("=", 1) for text in added)}

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(role for measurement in self.measurements for role in measurement.roles))

    @property
    def possible_roles(self) -> tuple[str, ...]:
        """Its roles, and those that other settings would have it ask."""
        others = [each.more_roles.values() for each in self.measurements]
        others += [each.ways.roles.values() for each in self.measurements if each.ways is not None]
        more = [role for ways in others for roles in ways for role in roles]
        roles = dict.fromkeys([*self.roles, *more, *self.roles_of_pictures])
        return tuple(role for role in roles if role not in self.unnamed_roles)

    @cached_property
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

    @property
    def off_unless_named(self) -> bool:
        """Whether a recipe that does not name the stage has it off, with all that it brings."""
        return self.optional or self.package is not None

    @property
    def tables(self) -> tuple[str, ...]:
        """The parents that are tables of the ledger."""
        return tuple(parent for parent in self.parents if parent not in OUTSIDE)

    def filter_named(self, name: str) -> Filter | None:
        return next((step for step in self.filters if step.name == name), None)

    def range_of(self, score: str) -> tuple[float, float] | None:
        """The least and the largest value of a score; None for a column that is not one."""
        return range_of(self.schema.field(score))

    def row_above(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """Table and id of the row that a row was made of."""
        origin = next(origin for origin in self.above if origin.concerns(row))
        return origin.table, row[origin.id_column]

    @property
    def columns_above(self) -> tuple[str, ...]:
        """The columns that `row_above` reads."""
        names = (name for origin in self.above for name in (origin.id_column, *origin.having, *origin.lacking))
        return tuple(dict.fromkeys(names))

    def settings(self, recipe: Sections) -> Any:
        """This stage's section of the recipe; None for an installed stage that the recipe does not name."""
        return getattr(recipe, self.name)

    def enabled(self, recipe: Sections) -> bool:
        """Whether the recipe has this stage switched on; most have no switch."""
        settings = self.settings(recipe)
        return settings is not None and bool(getattr(settings, "enabled", True))

    def is_optional(self, step: Step) -> bool:
        """Whether a recipe may be without the step."""
        asked = {name for names in self.columns_with.values() for name in names}
        return bool(step.section) or (isinstance(step, Filter) and bool(asked & set(step.reads)))

    def under(self, recipe: Sections) -> "Stage":
        """The stage as this recipe has it: without the steps that are off, and without columns of what it lacks."""
        settings = self.settings(recipe)
        also = [name for name in self.also if getattr(recipe, name, None) is not None]
        unasked = {
            name
            for part, names in self.columns_with.items()
            if not (part in also if part in self.also else value_of(recipe, self.name, part))
            for name in names
        }
        steps = tuple(self._asking(step, recipe, unasked) for step in self.steps if step.on(settings))
        columns = tuple(column for column in self.item_columns if column.name not in unasked)
        parents = tuple(dict.fromkeys([*self.parents, *also]))
        unnamed = tuple(role for role in replace(self, unnamed_roles=()).possible_roles if lacks_role(recipe, role))
        now = (steps, columns, parents, unnamed)
        if now == (self.steps, self.item_columns, self.parents, self.unnamed_roles):
            return self
        return replace(self, steps=steps, item_columns=columns, parents=parents, unnamed_roles=unnamed)

    def _asking(self, step: Step, recipe: Sections, unasked: Collection[str]) -> Step:
        """The step with all roles that it asks by this recipe, reading no columns that are `unasked`."""
        if not isinstance(step, Measurement):
            return step
        later = tuple(name for name in step.later_inputs if name not in unasked)
        named = self.recorded_values(recipe, (*step.more_roles, *step.more_inputs), step)
        inputs = tuple(column for name in named for column in step.more_inputs.get(name, ()))
        more = tuple(role for name in named for role in step.more_roles.get(name, ()) if role not in step.roles)
        ways = set(step.ways.used(step.own(self.settings(recipe)))) if step.ways is not None else {None}
        told: dict[str | None, tuple[str, ...]] = {None: _played(step, recipe)}
        if step.ways is not None:
            told.update(step.ways.roles)
        if (later, more, inputs, ways, told[None]) == (step.later_inputs, (), (), {None}, step.roles):
            return step
        by_way = {way: (*roles, *more) for way, roles in told.items() if way in ways}
        return replace(
            step,
            inputs=(*step.inputs, *inputs),
            later_inputs=later,
            roles=tuple(dict.fromkeys(role for roles in by_way.values() for role in roles)),
            by_way={} if ways == {None} else by_way,
        )

    def values(self, recipe: Sections, names: Sequence[str], step: Step | None = None) -> dict[str, Any]:
        """The settings that go by these names, for the items or for a step."""
        return {name: value_of(recipe, self._section(step), name) for name in names}

    def recorded_values(self, recipe: Sections, names: Sequence[str], step: Step | None = None) -> dict[str, Any]:
        """Those of `values` that are recorded and hashed."""
        names = [name for name in names if is_recorded(recipe, self._section(step), name)]
        return self.values(recipe, names, step)

    def _section(self, step: Step | None) -> str:
        return f"{self.name}.{step.section}" if step is not None and step.section else self.name


def _played(step: Measurement, recipe: Sections) -> tuple[str, ...]:
    """Its roles, where of the image-text encoder pictures alone are asked with an image encoder that has a model."""
    stands_in = step.pictures_alone and not lacks_role(recipe, IMAGE_ENCODER)
    return tuple(IMAGE_ENCODER if stands_in and role == IMAGE_TEXT_ENCODER else role for role in step.roles)
