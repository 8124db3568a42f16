"""Review: one sample at a time, from a queue; a verdict is written, and the next sample follows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.samples import DEFAULT_SCORE, MADE, judged_scores, next_sample, sample_scores
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.story import story_of
from imgdiff_assets.ledger.reviews import (
    CHOSEN,
    QUEUES,
    RANDOM,
    STRATIFIED,
    WITHDRAWN,
    Review,
    ReviewError,
    add_review,
    read_reviews,
)

FIELDS = ("reviewer", "queue", "score", "sample", "last")


def review_page(site: Site, values: Mapping[str, str]) -> str:
    """`reviewer`, `queue`, `score` of a stratified queue; `sample` is one that was chosen, `last` the one before.

    Raises BadQuestion.
    """
    asked = _read(values)
    reviews = read_reviews(site.home)
    scores = sample_scores(site.index, asked["score"])
    mine = {
        sample_id
        for sample_id, of_sample in reviews.by_sample.items()
        if asked["reviewer"] in of_sample and of_sample[asked["reviewer"]].verdict != WITHDRAWN
    }
    sample_id = asked["sample"] or next_sample(scores, mine, asked["queue"])
    story = None
    if asked["reviewer"] and sample_id:
        _shard(site, sample_id)
        story = story_of(site, sample_id)
    said = reviews.by_sample.get(sample_id or "", {}).get(asked["reviewer"])
    last = reviews.by_sample.get(asked["last"], {}).get(asked["reviewer"])
    return site.render(
        "review.html",
        asked=asked,
        story=story,
        said=None if said is None or said.verdict == WITHDRAWN else said,
        last=None if last is None or last.verdict == WITHDRAWN else last,
        total=len(scores),
        mine=len(mine & scores.keys()),
        reviewers=reviews.reviewers,
        unreadable=reviews.unreadable,
        scores=list(judged_scores()),
        queues=(RANDOM, STRATIFIED),
    )


def take_review(site: Site, body: bytes) -> str:
    """Record what the form says; returns the address of what to review next. Raises BadQuestion."""
    try:
        values = dict(parse_qsl(body.decode("utf-8"), strict_parsing=True, max_num_fields=12))
    except ValueError:
        raise BadQuestion("this is not a form of the review page") from None
    asked = _read({name: values.get(name, "") for name in FIELDS})
    sample_id = values.get("sample_id", "")
    try:
        add_review(
            site.home,
            Review(
                sample_id=sample_id,
                shard=_shard(site, sample_id),
                reviewer=asked["reviewer"],
                verdict=values.get("verdict", ""),
                note=values.get("note", ""),
                queue=CHOSEN if asked["sample"] else asked["queue"],
                score="" if asked["sample"] or asked["queue"] != STRATIFIED else asked["score"],
            ),
        )
    except ReviewError as error:
        raise BadQuestion(str(error)) from None
    if values.get("verdict") == WITHDRAWN:
        # Back to the sample; it keeps its place in the queue.
        return _address(asked, last="", sample="")
    return _address(asked, last=sample_id, sample="")


def _read(values: Mapping[str, str]) -> dict[str, str]:
    asked = {name: values.get(name, "").strip() for name in FIELDS}
    asked["queue"] = asked["queue"] or RANDOM
    asked["score"] = asked["score"] or DEFAULT_SCORE
    asked["reviewer"] = " ".join(asked["reviewer"].split())
    if asked["queue"] not in QUEUES:
        raise BadQuestion(f"queue: {asked['queue']!r} is none of {', '.join(QUEUES)}")
    if asked["score"] not in judged_scores():
        raise BadQuestion(f"score: {asked['score']!r} is none of {', '.join(judged_scores())}")
    return asked


def _address(asked: Mapping[str, Any], **changes: str) -> str:
    return "/review?" + urlencode({name: value for name, value in {**asked, **changes}.items() if value})


def _shard(site: Site, sample_id: str) -> str:
    """The shard of a sample that can be reviewed; never taken from the form. Raises BadQuestion."""
    found = site.index.rows(f"SELECT t.shard FROM fine_tune_set AS t WHERE t.sample_id = ? AND {MADE}", [sample_id])
    if not found:
        raise BadQuestion("there is no such sample to review")
    shard: str = found[0]["shard"]
    return shard
