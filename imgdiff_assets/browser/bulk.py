"""What is said of many rows at once: a verdict, or a tag."""

from dataclasses import replace

from imgdiff_assets.browser.candidates import conditions
from imgdiff_assets.browser.correcting import NotKept
from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.joins import first_with, source_of
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.prepared import prepared
from imgdiff_assets.browser.question import BadQuestion, Question, read_question
from imgdiff_assets.browser.samples import MADE
from imgdiff_assets.browser.site import Site
from imgdiff_assets.common.errors import sentence
from imgdiff_assets.ledger.journal import JournalError, now
from imgdiff_assets.ledger.reviews import (
    CHOSEN,
    REJECT,
    WITHDRAWN,
    Review,
    ReviewError,
    add_reviews,
    read_reviews,
)
from imgdiff_assets.ledger.tags import TAGS, Tagged, tags_by_row
from imgdiff_assets.stages.graph import SAMPLES, stage_named

MOST_ROWS = 10_000


def take_bulk(site: Site, who: Visitor, form: Form) -> str:
    """Record a verdict on, or a tag of, the rows `id`, or `every` row that the question finds; returns the page.

    Raises BadQuestion, NotYou, NotKept.
    """
    question, _ = prepared(site, read_question(form.under("q.")))
    rows = _rows(site, question, None if form.one("every") else form.all("id"))
    if not rows:
        raise BadQuestion("no row is selected")
    name = who.speaks_as(form.one("reviewer"))
    back = question.address(after=question.after, before=question.before)
    tag = form.one("tag")
    if not (tag or form.one("verdict") or form.one("reason")):
        raise BadQuestion("a verdict or a tag is missing")
    try:
        if tag:
            on = form.one("untag") == ""
            has = tags_by_row(site.home)
            told = [
                Tagged(row["id"], tag, name, on, row["pair_id"] or "", now())
                for row in rows
                if (tag in has.get(row["id"], ())) != on
            ]
            TAGS.add(site.home, told)
        else:
            add_reviews(site.home, _verdicts(site, question, rows, name, not who.on_trust, form))
    except (ReviewError, JournalError) as error:
        raise BadQuestion(str(error)) from None
    except OSError as error:
        raise NotKept(f"Nothing was kept, for the home cannot be written. {sentence(error)}") from error
    return back


def _verdicts(
    site: Site, question: Question, rows: list[dict[str, str]], name: str, by_token: bool, form: Form
) -> list[Review]:
    if question.stage != SAMPLES:
        raise BadQuestion(f"verdicts are given on samples, not on rows of {question.stage}")
    reason = form.one("reason")
    if reason not in ("", *site.recipe.review.reasons):
        raise BadQuestion(f"reason: {reason!r} is none of {', '.join(site.recipe.review.reasons)}")
    verdict = form.one("verdict") or (REJECT if reason else "")
    said = read_reviews(site.home).by_sample
    found = []
    for row in rows:
        before = said.get(row["id"], {}).get(name)
        if verdict == WITHDRAWN and (before is None or before.verdict == WITHDRAWN):
            continue
        review = Review(
            sample_id=row["id"],
            shard=row["shard"],
            reviewer=name,
            verdict=verdict,
            # What was noted of this very row stays noted.
            note=form.one("note") or (before.note if before is not None else ""),
            queue=CHOSEN,
            first=row["first"],
            reason=reason,
            pair_id=row["pair_id"],
            by_token=by_token,
        )
        found.append(replace(review, reason=before.reason) if verdict == WITHDRAWN and before is not None else review)
    return found


def _rows(site: Site, question: Question, ids: list[str] | None) -> list[dict[str, str]]:
    """Id, pair, shard and first side of the rows: those of these ids, or all that the question finds."""
    stage = stage_named(question.stage)
    where, values = ("true", []) if ids is not None else conditions(question)
    if ids is not None:
        where, values = f"t.{stage.id_column} IN (SELECT unnest(?))", [ids]
    if question.stage == SAMPLES:
        where += f" AND {MADE}"
    first = "t.first" if question.stage == SAMPLES else "NULL"
    found = site.index.rows(
        f"SELECT t.{stage.id_column} AS id, {first_with(stage, 'pair_id')} AS pair_id, t.shard, {first} AS first "
        f"FROM {source_of(stage, where + first_with(stage, 'pair_id'))} WHERE {where} LIMIT {MOST_ROWS + 1}",
        values,
    )
    if len(found) > MOST_ROWS:
        raise BadQuestion(f"more than {MOST_ROWS:,} rows at once; ask for fewer")
    return found
