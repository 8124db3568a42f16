"""Where a row stands among those that a question finds: its number, and the rows before and after it."""

from dataclasses import dataclass
from typing import Any

from imgdiff_assets.browser.candidates import conditions, order_of
from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.joins import source_of
from imgdiff_assets.browser.question import Question
from imgdiff_assets.stages.graph import stage_named


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The ids of the rows before and after, None at an end; `number` counts from 1, None for a row outside."""

    question: Question
    number: int | None
    total: int
    previous: str | None
    next: str | None


def neighbours(index: Index, question: Question, identity: str) -> Neighbours | None:
    """Of a row that may itself be no longer among them, as after a verdict; None if it is no row of the stage."""
    stage = stage_named(question.stage)
    first, second = order_of(question)
    where, values = conditions(question)
    source = source_of(stage, where + first)
    here = index.rows(
        f"SELECT {first} AS first, {second} AS second FROM {source_of(stage, first)} "
        f"WHERE t.{stage.id_column} = ? ORDER BY t.shard LIMIT 1",
        [identity],
    )
    if not here:
        return None
    place = [here[0]["first"], here[0]["second"]]

    def nearest(upwards: bool) -> str | None:
        sign, order = (">", "ASC") if upwards else ("<", "DESC")
        found: list[dict[str, Any]] = index.rows(
            f"SELECT t.{stage.id_column} AS id FROM {source} WHERE {where} AND ({first}, {second}) {sign} (?, ?) "
            f"ORDER BY {first} {order}, {second} {order} LIMIT 1",
            [*values, *place],
        )
        return found[0]["id"] if found else None

    before, after = nearest(question.descending), nearest(not question.descending)
    sign = ">=" if question.descending else "<="
    counted = index.rows(
        f"SELECT count(*) AS total, count(*) FILTER (({first}, {second}) {sign} (?, ?)) AS number, "
        f"count(*) FILTER (t.{stage.id_column} = ?) AS here FROM {source} WHERE {where}",
        [*place, identity, *values],
    )[0]
    return Neighbours(question, counted["number"] if counted["here"] else None, counted["total"], before, after)
