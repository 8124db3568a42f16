"""The rows of one stage, kept and rejected alike: filtered, sorted, a page at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa

from imgdiff_assets.browser.index import Index
from imgdiff_assets.graph import STAGE_NAMES, STAGES, stage_named
from imgdiff_assets.regions import BOX_COLUMNS
from imgdiff_assets.stage import UPSTREAM, Stage

TEXT_COLUMNS = (
    "source_caption",
    "target_caption",
    "source_object",
    "target_object",
    "source_region_caption",
    "target_region_caption",
    "difference_caption",
    "source_hash",
    "target_hash",
    "erased_hash",
    "width",
    "height",
)
VERDICTS = ("kept", "rejected", "all")
SPLITS = ("train", "validation")
REVIEWS = ("accept", "reject", "none")
LEDGER_ORDER = ""
PAGE_SIZE = 48
LONGEST_TEXT = 200


class BadQuestion(ValueError):
    """Something in the address that cannot be asked; the message says what can."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows of a stage, in which order. Empty text means no condition; the order is the ledger's, or a score's.

    `after` and `before` name the row that the page follows or precedes: its place in the order, and its id.
    """

    stage: str = STAGE_NAMES[-1]
    verdict: str = "kept"
    reason: str = ""
    shard: str = ""
    object: str = ""
    split: str = ""
    review: str = ""
    score: str = ""
    low: float | None = None
    high: float | None = None
    sort: str = LEDGER_ORDER
    descending: bool = False
    after: str = ""
    before: str = ""

    def address(self, **changes: Any) -> str:
        """The gallery's address of this question with some values changed; on the first page unless told."""
        question = replace(self, **{"after": "", "before": "", **changes})
        values = {name: getattr(question, name) for name in Question.__dataclass_fields__}
        values["descending"] = "1" if question.descending else ""
        defaults = {"verdict": "kept"}
        return "/gallery?" + urlencode(
            {name: value for name, value in values.items() if value not in (None, "", defaults.get(name))}
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, how many there are in all, and the questions of the pages around; None where there is none."""

    rows: list[dict[str, Any]]
    total: int
    previous: str | None
    next: str | None


def read_question(values: Mapping[str, str]) -> Question:
    """The question that an address asks. Raises BadQuestion."""
    unknown = sorted(set(values) - set(Question.__dataclass_fields__))
    if unknown:
        raise BadQuestion(f"{unknown[0]} is not something to filter by")
    text = {name: value.strip() for name, value in values.items() if value.strip()}
    if any(len(value) > LONGEST_TEXT for value in text.values()):
        raise BadQuestion(f"a value has at most {LONGEST_TEXT} characters")
    stage = _one_of("stage", text.get("stage", STAGE_NAMES[-1]), STAGE_NAMES)
    scores = list(scores_of(stage_named(stage)))
    return Question(
        stage=stage,
        verdict=_one_of("verdict", text.get("verdict", "kept"), VERDICTS),
        reason=text.get("reason", ""),
        shard=text.get("shard", ""),
        object=text.get("object", ""),
        split=_one_of("split", text.get("split", ""), ("", *SPLITS)),
        review=_one_of("review", text.get("review", ""), ("", *REVIEWS)),
        score=_one_of("score", text.get("score", ""), ("", *scores)),
        low=_number("low", text.get("low")),
        high=_number("high", text.get("high")),
        sort=_one_of("sort", text.get("sort", LEDGER_ORDER), (LEDGER_ORDER, *scores)),
        descending=bool(text.get("descending")),
        after=text.get("after", ""),
        before=text.get("before", ""),
    )


def _one_of(name: str, value: str, known: tuple[str, ...] | list[str]) -> str:
    if value not in known:
        raise BadQuestion(f"{name}: {value!r} is none of {', '.join(filter(None, known))}")
    return value


def _number(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadQuestion(f"{name}: {text!r} is not a number") from None


def scores_of(stage: Stage) -> dict[str, str]:
    """The scores of a stage's rows and of those they come from, as `stage.column`, to SQL; the stage's own first."""
    return {
        f"{table.name}.{field.name}": f"{_alias(stage, table)}.{field.name}"
        for table in [stage, *reversed(ancestors(stage))]
        for field in table.schema
        if (pa.types.is_floating(field.type) and field.name not in BOX_COLUMNS)
        or field.name in {step.score for step in table.filters}
    }


def ancestors(stage: Stage) -> list[Stage]:
    """The stages before whose rows a row of this one names."""
    earlier = STAGES[: STAGES.index(stage)]
    return [table for table in earlier if table.id_column in stage.schema.names]


def _alias(stage: Stage, table: Stage) -> str:
    return "t" if table is stage else table.name


def source_of(stage: Stage, asked: str) -> str:
    """FROM: the stage's rows (`t`), each with what is `asked` of the rows it comes from, and of the reviews."""
    joins = [
        f"LEFT JOIN {table.name} ON t.shard = {table.name}.shard "
        f"AND t.{table.id_column} = {table.name}.{table.id_column}"
        for table in ancestors(stage)
        if f"{table.name}." in asked
    ]
    if "reviewed." in asked:
        joins.append("LEFT JOIN reviewed ON t.sample_id = reviewed.sample_id")
    return f"{stage.name} AS t {' '.join(joins)}"


def conditions(question: Question) -> tuple[str, list[Any]]:
    """WHERE, and its parameters."""
    stage = stage_named(question.stage)
    parts: list[str] = ["true"]
    values: list[Any] = []

    def add(sql: str, *parameters: Any) -> None:
        parts.append(sql)
        values.extend(parameters)

    if question.reason:
        add("t.rejected_by = ?", question.reason)
    elif question.verdict == "kept":
        add("t.rejected_by IS NULL")
    elif question.verdict == "rejected":
        add("t.rejected_by IS NOT NULL AND t.rejected_by <> ?", UPSTREAM)
    if question.shard:
        add("t.shard = ?", question.shard)
    if question.object:
        names = [_first_with(stage, name) for name in ("source_object", "target_object")]
        like = " OR ".join(f"contains(lower({name}), lower(?))" for name in names)
        add(f"({like})", question.object, question.object)
    if question.split:
        add(f"{_first_with(stage, 'split')} = ?", question.split)
    if question.review and stage.id_column == "sample_id":
        add("coalesce(reviewed.review, 'none') = ?", question.review)
    if question.score:
        column = scores_of(stage)[question.score]
        for comparison, limit in ((">=", question.low), ("<", question.high)):
            if limit is not None:
                add(f"{column}::DOUBLE {comparison} ?", limit)
    return " AND ".join(parts), values


def _first_with(stage: Stage, name: str) -> str:
    """Where a column is taken from: the stage itself, or the nearest stage before that has it; else null."""
    for table in [stage, *reversed(ancestors(stage))]:
        if name in table.schema.names:
            return f"{_alias(stage, table)}.{name}"
    return "NULL"


def columns_of(stage: Stage) -> str:
    """SELECT: id, verdict, box, texts, every score by its name."""
    review = "reviewed.review" if stage.id_column == "sample_id" else "NULL"
    names = [f"t.{stage.id_column} AS id", "t.shard", "t.kept", "t.rejected_by", "t.error", f"{review} AS review"]
    names += [f"{_first_with(stage, name)} AS {name}" for name in ("pair_id", "region_id", "split", *TEXT_COLUMNS)]
    # Of a sample, the image that it was erased from is named otherwise.
    found_in = "t.erased_from" if "erased_from" in stage.schema.names else _first_with(stage, "found_in")
    names.append(f"{found_in} AS found_in")
    boxes = [name if name in stage.schema.names else None for name in BOX_COLUMNS]
    names += [f"t.{name}" if name else "NULL" for name in boxes] if all(boxes) else []
    names += [f'{column}::DOUBLE AS "{name}"' for name, column in scores_of(stage).items()]
    return ", ".join(names)


def read_page(index: Index, question: Question, size: int = PAGE_SIZE) -> Page:
    """One page of the answer. Raises BadQuestion for a place that is none."""
    stage = stage_named(question.stage)
    where, values = conditions(question)
    total = index.rows(f"SELECT count(*) AS n FROM {source_of(stage, where)} WHERE {where}", values)[0]["n"]
    first, second = _order(question)
    backwards = bool(question.before)
    upwards = question.descending == backwards
    place = question.before or question.after
    if place:
        where += f" AND ({first}, {second}) {'>' if upwards else '<'} (?, ?)"
        values += _place(question, place)
    order = f"ORDER BY place_first {'ASC' if upwards else 'DESC'}, place_second {'ASC' if upwards else 'DESC'}"
    # The places first, without the texts: then only a page of rows is joined.
    places = index.rows(
        f"SELECT t.shard, t.row, {first} AS place_first, {second} AS place_second "
        f"FROM {source_of(stage, where + first)} WHERE {where} {order} LIMIT {size + 1}",
        values,
    )
    rows = read_rows(index, stage, places)
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    has_next, has_previous = (True, more) if backwards else (more, bool(question.after))
    return Page(
        rows,
        total,
        question.address(before=rows[0]["place"]) if rows and has_previous else None,
        question.address(after=rows[-1]["place"]) if rows and has_next else None,
    )


def read_rows(index: Index, stage: Stage, places: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows at some places (`shard`, `row`) with all that cards and lists show, in that order."""
    columns = columns_of(stage)
    found = index.rows(
        f"SELECT {columns}, t.row FROM {source_of(stage, columns)} "
        "WHERE t.shard IN (SELECT unnest(?)) AND t.row IN (SELECT unnest(?))",
        [list({place["shard"] for place in places}), list({place["row"] for place in places})],
    )
    by_place = {(row["shard"], row["row"]): row for row in found}
    return [
        {**by_place[place["shard"], place["row"]], "place": f"{place.get('place_first')}~{place.get('place_second')}"}
        for place in places
        # A run may have replaced the table in between.
        if (place["shard"], place["row"]) in by_place
    ]


def _order(question: Question) -> tuple[str, str]:
    """The two keys that every row is placed by; rows without the score come last."""
    stage = stage_named(question.stage)
    if question.sort == LEDGER_ORDER:
        return "t.shard", "t.row"
    last = "'-Infinity'" if question.descending else "'Infinity'"
    return f"coalesce({scores_of(stage)[question.sort]}::DOUBLE, {last}::DOUBLE)", f"t.{stage.id_column}"


def _place(question: Question, text: str) -> tuple[Any, Any]:
    first, _, second = text.partition("~")
    try:
        return (first, int(second)) if question.sort == LEDGER_ORDER else (float(first), second)
    except ValueError:
        raise BadQuestion(f"{text!r} is not a place in this order; begin at the first page") from None
