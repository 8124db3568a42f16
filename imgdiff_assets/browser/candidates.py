"""The rows of one stage, kept and rejected alike: filtered, sorted, a page at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.joins import columns_of, first_with, kind_in, scores_of, source_of, words_of
from imgdiff_assets.browser.question import COLUMNS, LEDGER_ORDER, BadQuestion, Question
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.reading.shown import shown, shown_images
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import UPSTREAM, Stage

PAGE_SIZE = 48
LAST_ROW = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, how many there are in all, and the questions of the pages around; None where there is none."""

    rows: list[dict[str, Any]]
    total: int
    previous: str | None
    next: str | None


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
    if question.wanted == "kept":
        add("t.rejected_by IS NULL")
    elif question.wanted == "rejected" and not question.reason:
        add("t.rejected_by IS NOT NULL AND t.rejected_by <> ?", UPSTREAM)
    if question.shard:
        add("t.shard = ?", question.shard)
    for name in ("task", "kind", "split"):
        if value := getattr(question, name):
            column = kind_in(stage) if name == "kind" else first_with(stage, COLUMNS[name])
            add(f"{column} = ?", value)
    for word in question.text.split():
        add(f"contains({words_of(stage)}, lower(?))", word)
    if question.object:
        names = [first_with(stage, name) for name in ("source_object", "target_object")]
        like = " OR ".join(f"contains(lower({name}), lower(?))" for name in names)
        add(f"({like})", question.object, question.object)
    if question.review and stage.id_column == "sample_id":
        add("coalesce(reviewed.review, 'none') = ?", question.review)
    if question.tag:
        add(f"t.{stage.id_column} IN (SELECT row_id FROM tagged WHERE tag = ?)", question.tag)
    if question.like:
        add(f"{place_of_likeness(question)} IS NOT NULL")
    if question.area:
        pair = first_with(stage, "pair_id")
        add(f"{pair} IN (SELECT pair_id FROM alike WHERE like_id = ?)", content_id("area", question.area))
    if question.score:
        column = scores_of(stage)[question.score]
        for comparison, limit in ((">=", question.low), ("<", question.high)):
            if limit is not None:
                add(f"{column}::DOUBLE {comparison} ?", limit)
    return " AND ".join(parts), values


def read_page(index: Index, question: Question, size: int = PAGE_SIZE) -> Page:
    """One page of the answer. Raises BadQuestion for a place that is none."""
    stage = stage_named(question.stage)
    where, values = conditions(question)
    total = index.rows(f"SELECT count(*) AS n FROM {source_of(stage, where)} WHERE {where}", values)[0]["n"]
    first, second = order_of(question)
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


def read_rows(
    index: Index, stage: Stage, places: Sequence[Mapping[str, Any]], scored: bool = True
) -> list[dict[str, Any]]:
    """The rows at some places (`shard`, `row`) with all that cards and lists show, in that order; scores if `scored`.

    `images` are a row's two in the order shown, `box` is what is marked in both; `shown` is None but for samples.
    `pictured` says whether there are images: their table may be gone where those made of it are not.
    """
    columns = columns_of(stage, scored)
    found = index.rows(
        f"SELECT {columns}, t.row FROM {source_of(stage, columns, '$1')} "
        "WHERE t.shard IN (SELECT unnest($1)) AND t.row IN (SELECT unnest($2))",
        [list({place["shard"] for place in places}), list({place["row"] for place in places})],
    )
    by_place = {
        (row["shard"], row["row"]): {**row, **_shown(stage, row), "pictured": _pictured(row), "own_tags": []}
        for row in found
    }
    by_id = {row["id"]: row for row in by_place.values()}
    for tagged in index.rows(
        "SELECT row_id, tag FROM tagged WHERE row_id IN (SELECT unnest(?)) ORDER BY tag", [list(by_id)]
    ):
        by_id[tagged["row_id"]]["own_tags"].append(tagged["tag"])
    return [
        {**by_place[place["shard"], place["row"]], "place": f"{place.get('place_first')}~{place.get('place_second')}"}
        for place in places
        # A run may have replaced the table in between.
        if (place["shard"], place["row"]) in by_place
    ]


def _pictured(row: Mapping[str, Any]) -> bool:
    return all(row[name] for name in ("source_hash", "target_hash", "width"))


def _shown(stage: Stage, row: Mapping[str, Any]) -> dict[str, Any]:
    if stage.id_column == "sample_id":
        sample = shown(row)
        return {"shown": sample, "images": sample.images, "box": sample.box}
    images = shown_images(row["pair_id"], row["region_id"], row["found_in"] if row["erased_hash"] else None)
    return {"shown": None, "images": images, "box": None if row.get("x1") is None else [row[x] for x in BOX_COLUMNS]}


def order_of(question: Question) -> tuple[str, str]:
    """The two keys that every row is placed by; rows without the score come last."""
    stage = stage_named(question.stage)
    if question.sort == LEDGER_ORDER and question.like:
        return f"{place_of_likeness(question)}::DOUBLE", f"t.{stage.id_column}"
    if question.sort == LEDGER_ORDER:
        return "t.shard", "t.row"
    last = "'-Infinity'" if question.descending else "'Infinity'"
    return f"coalesce({scores_of(stage)[question.sort]}::DOUBLE, {last}::DOUBLE)", f"t.{stage.id_column}"


def place_of_likeness(question: Question) -> str:
    """SQL: how many pairs look more like the one that is meant (an id, so it may stand in SQL); null of others."""
    pair = first_with(stage_named(question.stage), "pair_id")
    return f"(SELECT min(alike.place) FROM alike WHERE alike.like_id = '{question.like}' AND alike.pair_id = {pair})"


def _place(question: Question, text: str) -> tuple[Any, Any]:
    first, _, second = text.partition("~")
    try:
        if question.sort != LEDGER_ORDER or question.like:
            return float(first), second
        row = int(second)
        if not 0 <= row <= LAST_ROW:
            raise ValueError(second)
        return first, row
    except ValueError:
        raise BadQuestion(f"{text!r} is not a place in this order; begin at the first page") from None
