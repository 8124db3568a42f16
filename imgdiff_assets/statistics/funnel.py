"""The funnel: how many rows each stage was given, how many it kept, and which filter dropped the others."""

import shutil
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow.compute as pc
from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.memory import Answer, Memory, worked_out_once
from imgdiff_assets.ledger.places import PARTS
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.reading.scan import keys_above, scan
from imgdiff_assets.recipe.editions import RELEASE
from imgdiff_assets.stages.graph import SAMPLES, STAGES
from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM, Stage


@dataclass(frozen=True, slots=True)
class StageFunnel:
    """One table, counted.

    `rows_in` counts distinct kept parents, `rows` the candidates made of them, `upstream` rows of parents that are
    rejected now. `rejected` is by filter, in the order of the filters; `errors` by kind.
    """

    stage: str
    shards: int
    rows_in: int
    rows: int
    kept: int
    upstream: int
    rejected: dict[str, int]
    errors: dict[str, int]

    @property
    def keep_rate(self) -> float | None:
        """Share of the candidates that was kept; None when there are none."""
        return self.kept / self.rows if self.rows else None


COUNTS: TypeAdapter[Answer[tuple[StageFunnel, ...]]] = TypeAdapter(Answer[tuple[StageFunnel, ...]])


@dataclass(frozen=True, slots=True)
class Funnel:
    """All stages over the same shards."""

    shards: tuple[str, ...]
    stages: tuple[StageFunnel, ...]

    @property
    def captions(self) -> int:
        return self.stages[0].rows_in

    @property
    def samples(self) -> int:
        return next(stage.kept for stage in self.stages if stage.stage == SAMPLES)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        stages = [{**asdict(stage), "keep_rate": stage.keep_rate} for stage in self.stages]
        return {"shards": list(self.shards), "captions": self.captions, "samples": self.samples, "stages": stages}

    def to_text(self, width: int | None = None) -> str:
        """A table of at most `width` columns (default: the terminal's)."""
        return _text(self, width or shutil.get_terminal_size((110, 24)).columns)


def funnel(
    ledger: Ledger,
    shards: Sequence[str] | None = None,
    stages: Sequence[Stage] | None = None,
    anew: bool = False,
) -> Funnel:
    """Count the tables of `shards` (default: all that have any). Raises DamagedTable.

    `stages` are those of a recipe. By default they are all but those that are off unless named, and of these such that
    there are tables of. What this machine counted last is not counted again while no table is another; `anew`, it is,
    and so what a disk spoilt is found.
    """
    home = Home(ledger.root.parent)
    with store_of(home.root).looking(home.root, PARTS):
        versions = {stage.name: ledger.versions(stage.name) for stage in STAGES}
        keys = sorted(shards if shards is not None else set().union(*versions.values()))
        there = [
            (stage, {key: versions[stage.name][key] for key in keys if key in versions[stage.name]})
            for stage in (stages if stages is not None else _stages_in(versions))
        ]

        def count() -> tuple[StageFunnel, ...]:
            return tuple(_count(ledger, stage, list(tables)) for stage, tables in there)

        if anew:
            return Funnel(tuple(keys), count())
        counts = worked_out_once(
            Memory(home, "funnel", COUNTS),
            content_hash(RELEASE, [_counted_by(stage, tables) for stage, tables in there]),
            count,
            lambda: (entry for stage, _ in there for entry in ledger.tables(stage.name).values()),
        )
    return Funnel(tuple(keys), counts)


def _stages_in(tables: Mapping[str, Collection[str]]) -> Sequence[Stage]:
    """Of filters that packages add, those are told that rejected something."""
    return [
        replace(stage, steps=tuple(step for step in stage.steps if not stage.is_optional(step)))
        for stage in STAGES
        if not stage.off_unless_named or tables[stage.name]
    ]


def _counted_by(stage: Stage, tables: Mapping[str, str]) -> list[Any]:
    """What the count of a stage rests on: its tables' versions by shard, and what is read of them."""
    filters = [step.name for step in stage.filters]
    return [stage.name, stage.code_version, list(stage.columns_above), filters, tables]


def _count(ledger: Ledger, stage: Stage, shards: Sequence[str]) -> StageFunnel:
    table = scan(ledger, stage.name, [*stage.columns_above, "rejected_by"], shards=shards)
    verdicts = {count["values"]: count["counts"] for count in pc.value_counts(table["rejected_by"]).to_pylist()}
    candidates = table.filter(pc.fill_null(pc.not_equal(table["rejected_by"], UPSTREAM), True))
    rows_in = pc.count_distinct(keys_above(stage, candidates)).as_py()
    return stage_funnel(stage, len(shards), rows_in, verdicts)


def stage_funnel(stage: Stage, shards: int, rows_in: int, verdicts: Mapping[str | None, int]) -> StageFunnel:
    """The count of one table, from its rows per `rejected_by`."""
    verdicts = dict(verdicts)
    kept, upstream = verdicts.pop(None, 0), verdicts.pop(UPSTREAM, 0)
    errors = {
        name.removeprefix(ERROR_PREFIX): verdicts.pop(name)
        for name in sorted(filter(None, verdicts))
        if _is_error(name)
    }
    order = [step.name for step in stage.filters]
    # A table that is older than the code may name filters that are no more.
    order += sorted(set(filter(None, verdicts)) - set(order))
    return StageFunnel(
        stage=stage.name,
        shards=shards,
        rows_in=rows_in,
        rows=kept + sum(verdicts.values()) + sum(errors.values()),
        kept=kept,
        upstream=upstream,
        rejected={name: verdicts.get(name, 0) for name in order},
        errors=errors,
    )


def _is_error(name: str) -> bool:
    return name.startswith(ERROR_PREFIX)


def _text(result: Funnel, width: int) -> str:
    head = f"{'stage':<15}{'in':>9}{'rows':>9}{'kept':>9}{'kept %':>9}   "
    lines = [head + "rejected by", "─" * min(width, 110)]
    for stage in result.stages:
        rate = "" if stage.keep_rate is None else f"{100 * stage.keep_rate:.1f}"
        start = f"{stage.stage:<15}{stage.rows_in:>9,}{stage.rows:>9,}{stage.kept:>9,}{rate:>9}   "
        reasons = textwrap.wrap(
            " · ".join(_reasons(stage)),
            max(width - len(head), 30),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append((start + (reasons[0] if reasons else "")).rstrip())
        lines += [" " * len(head) + reason for reason in reasons[1:]]
    lines += ["", _summary(result)]
    unmade: dict[int, list[str]] = {}
    for stage in result.stages:
        if stage.shards < len(result.shards):
            unmade.setdefault(stage.shards, []).append(stage.stage)
    total = counted(len(result.shards), "shard")
    lines += [f"{', '.join(names)}: {made} of {total} made; run the rest." for made, names in unmade.items()]
    return "\n".join(lines)


def _reasons(stage: StageFunnel) -> list[str]:
    """Each with its count; a space that must not break is a no-break space."""
    reasons = [f"{name}\xa0{count:,}" for name, count in stage.rejected.items() if count]
    reasons += [f"error\xa0{kind}\xa0{count:,}" for kind, count in stage.errors.items()]
    if stage.upstream:
        reasons.append(f"(set\xa0aside,\xa0parent\xa0rejected:\xa0{stage.upstream:,})")
    return reasons


def _summary(result: Funnel) -> str:
    where = counted(result.stages[0].shards, "shard")
    text = f"{counted(result.captions, 'caption')} in {where} gave {counted(result.samples, 'sample')}"
    return text + (f", {result.samples / result.captions:.2f} a caption." if result.captions else ".")
