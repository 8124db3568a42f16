"""Review: one sample at a time, from a queue; a verdict is written, and the next sample follows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from imgdiff_assets.browser.correcting import NotKept, correctable
from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.samples import (
    DEFAULT_SCORE,
    MADE,
    coming,
    first_sides,
    in_order,
    judged_scores,
    sample_scores,
)
from imgdiff_assets.browser.seen import seen_samples
from imgdiff_assets.browser.site import Site, image_address
from imgdiff_assets.browser.story import regions_of
from imgdiff_assets.common.errors import sentence
from imgdiff_assets.ledger.reviews import (
    CHOSEN,
    DOUBT,
    QUEUES,
    RANDOM,
    REJECT,
    STRATIFIED,
    VERDICTS,
    WITHDRAWN,
    Review,
    ReviewError,
    Reviews,
    add_review,
    read_reviews,
)
from imgdiff_assets.method.assignment import assigned
from imgdiff_assets.reading.corrected import corrected

FIELDS = ("reviewer", "queue", "score", "own", "sample", "last", "after", "undone", "undid")


def review_page(site: Site, values: Mapping[str, str], who: Visitor) -> str:
    """`reviewer`, `queue`, `score` of a stratified queue; `sample` is one that was chosen, `last` the one before.

    `own` asks for those samples alone that the reviewer is given where each is given their own.

    `after` is the one that was skipped last, `undone` the one whose verdict was taken back, `undid` that verdict.
    Raises BadQuestion.
    """
    judged = judged_scores(site.recipe)
    asked = _read(judged, values)
    if not who.on_trust and (asked["reviewer"] or asked["sample"]):
        asked["reviewer"] = who.name
    reviews = read_reviews(site.home)
    scores = sample_scores(site.index, asked["score"])
    sides = first_sides(site.index, reviews.by_sample)
    mine = {
        sample_id
        for sample_id, of_sample in reviews.by_sample.items()
        if (review := of_sample.get(asked["reviewer"])) is not None
        and review.verdict != WITHDRAWN
        and not review.misled(sides.get(sample_id, "source"))
    }
    back = asked["undone"] if asked["undone"] in scores.keys() - mine else ""
    others = others_of(site, who, asked["reviewer"], asked["score"]) if asked["own"] else frozenset()
    first = asked["sample"] or back
    behind = coming(_queued(site, judged, asked), mine, others, {first}, after=asked["after"])
    sample_id, ahead, *_ = [*([first] if first else []), *islice(behind, 2), "", ""]
    story, pictures = None, []
    corrections: tuple[str, ...] = ()
    if asked["reviewer"] and sample_id:
        seen = seen_samples(site, [sample_id, ahead])
        if sample_id not in seen:
            raise BadQuestion("there is no such sample to review")
        story = seen.pop(sample_id)
        story = replace(story, drawn_regions=regions_of(site.index, story.row["pair_id"], story.region_id or ""))
        if story.is_of_region:
            found = corrected(site.index.ledger, story.row["shard"])
            corrections = tuple(map(str, found.get(story.region_id or "", ())))
        pictures = [image_address(image, each.pair) for each in seen.values() if each.pair for image in each.images]
    said = reviews.by_sample.get(sample_id, {}).get(asked["reviewer"])
    last = reviews.by_sample.get(asked["last"], {}).get(asked["reviewer"])
    return site.render(
        "review.html",
        asked=asked,
        story=story,
        corrections=corrections,
        ahead=pictures,
        said=None if said is None or said.verdict == WITHDRAWN else said,
        misled=said is not None and said.misled(sides.get(said.sample_id, "source")),
        undone=reviews.by_sample.get(asked["undone"], {}).get(asked["reviewer"]),
        skip=_address(asked, after=sample_id, last="", sample="", undone="", undid=""),
        reasons=site.recipe.review.reasons,
        last=None if last is None or last.verdict == WITHDRAWN else last,
        total=len(scores) - len(others),
        who=who,
        correct=correctable(site, story.region_id) if story is not None and story.is_of_region else None,
        back=_address(asked),
        mine=len((mine & scores.keys()) - others),
        reviewers=reviews.reviewers,
        unreadable=reviews.unreadable,
        scores=list(judged),
        progress={} if asked["reviewer"] else _progress(reviews, scores),
    )


def _queued(site: Site, judged: Mapping[str, tuple[str, str, str]], asked: Mapping[str, str]) -> Sequence[str]:
    """All samples in the order of the queue that is asked for."""
    queue, score = asked["queue"], asked["score"]
    stage, _, setting = judged[score]
    threshold = attrgetter(f"{stage}.{setting}")(site.recipe)
    return site.index.computed(
        "queue",
        f"{queue} {score} {threshold!r}",
        lambda: in_order(sample_scores(site.index, score), queue, threshold),
    )


def others_of(site: Site, who: Visitor, name: str, score: str) -> frozenset[str]:
    """The samples that are for other reviewers where each is given their own; without tokens, nobody knows them."""
    team = sorted({*who.known.tokens, name}) if name in who.known.tokens else []
    overlap = site.recipe.review.overlap

    def compute() -> frozenset[str]:
        ids = list(sample_scores(site.index, score))
        given = assigned(ids, team, name, overlap)
        return frozenset(identity for identity, is_own in zip(ids, given, strict=True) if not is_own)

    return site.index.computed("samples of others", repr((team, name, overlap)), compute)


def _progress(reviews: Reviews, samples: Collection[str]) -> dict[str, Counter[str]]:
    """How many of the samples each reviewer has judged, by verdict."""
    progress: dict[str, Counter[str]] = {name: Counter() for name in reviews.reviewers}
    for sample_id, of_sample in reviews.by_sample.items():
        for name, review in of_sample.items():
            progress[name][review.verdict] += sample_id in samples
    return progress


def take_review(site: Site, who: Visitor, form: Form) -> str:
    """Record what the form says; returns the address of what to review next.

    Raises BadQuestion, NotYou, NotKept.
    """
    asked = _read(judged_scores(site.recipe), {name: form.one(name) for name in FIELDS})
    asked["reviewer"] = who.speaks_as(asked["reviewer"])
    sample_id, first = form.one("sample_id"), form.one("first")
    sample = _sample(site, sample_id)
    # A page that an earlier release made, and that is still open, does not say which image was first.
    if first not in ("", sample["first"]):
        raise BadQuestion(f"first: the {first} image is not shown first")
    reason, note = form.one("reason"), form.one("note")
    if reason not in ("", *site.recipe.review.reasons):
        raise BadQuestion(f"reason: {reason!r} is none of {', '.join(site.recipe.review.reasons)}")
    verdict = form.one("verdict") or (REJECT if reason else "")
    said = read_reviews(site.home).by_sample.get(sample_id, {}).get(asked["reviewer"])
    if verdict == WITHDRAWN:
        if said is None or said.verdict == WITHDRAWN:
            return _address(asked, last="", sample="", undone=sample_id, undid="")
        reason, note = said.reason, said.note
    try:
        add_review(
            site.home,
            Review(
                sample_id=sample_id,
                shard=sample["shard"],
                reviewer=asked["reviewer"],
                verdict=verdict,
                note=note,
                queue=CHOSEN if asked["sample"] else asked["queue"],
                score="" if asked["sample"] or asked["queue"] not in (STRATIFIED, DOUBT) else asked["score"],
                first=first,
                reason=reason,
                pair_id=sample["pair_id"],
                by_token=not who.on_trust,
            ),
        )
    except ReviewError as error:
        raise BadQuestion(str(error)) from None
    except OSError as error:
        raise NotKept(f"The verdict was not kept, for the home cannot be written. {sentence(error)}") from error
    if verdict == WITHDRAWN:
        # Back to the sample; it keeps its place in the queue.
        return _address(asked, last="", sample="", undone=sample_id, undid=said.verdict if said else "")
    return _address(asked, last=sample_id, sample="", undone="", undid="")


def _read(judged: Collection[str], values: Mapping[str, str]) -> dict[str, str]:
    asked = {name: values.get(name, "").strip() for name in FIELDS}
    asked["queue"] = asked["queue"] or RANDOM
    asked["score"] = asked["score"] or DEFAULT_SCORE
    asked["reviewer"] = " ".join(asked["reviewer"].split())
    if asked["queue"] not in QUEUES:
        raise BadQuestion(f"queue: {asked['queue']!r} is none of {', '.join(QUEUES)}")
    if asked["undid"] not in ("", *VERDICTS):
        raise BadQuestion(f"undid: {asked['undid']!r} is none of {', '.join(VERDICTS)}")
    if asked["score"] not in judged:
        raise BadQuestion(f"score: {asked['score']!r} is none of {', '.join(judged)}")
    return asked


def _address(asked: Mapping[str, Any], **changes: str) -> str:
    return "/review?" + urlencode({name: value for name, value in {**asked, **changes}.items() if value})


def _sample(site: Site, sample_id: str) -> Mapping[str, str]:
    """Shard and first side of a sample that can be reviewed; never taken from the form. Raises BadQuestion."""
    sql = f"SELECT t.shard, t.first, t.pair_id FROM fine_tune_set AS t WHERE t.sample_id = ? AND {MADE}"
    found = site.index.rows(sql, [sample_id])
    if not found:
        raise BadQuestion("there is no such sample to review")
    return found[0]
