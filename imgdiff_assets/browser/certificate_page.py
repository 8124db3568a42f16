"""The certificate: how good the samples are, by score and by threshold, as far as reviewers have looked."""

from collections.abc import Mapping
from operator import attrgetter

from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.samples import DEFAULT_SCORE, certificate, judged_scores
from imgdiff_assets.browser.site import Site
from imgdiff_assets.ledger.reviews import read_reviews


def certificate_page(site: Site, values: Mapping[str, str]) -> str:
    """`score` is what the bands and thresholds are of. Raises BadQuestion."""
    score = values.get("score", "") or DEFAULT_SCORE
    judged = judged_scores(site.recipe)
    if score not in judged:
        raise BadQuestion(f"score: {score!r} is none of {', '.join(judged)}")
    stage, filter_name, setting = judged[score]
    return site.render(
        "certificate.html",
        certificate=certificate(site.index, site.recipe, score),
        on_trust=sum(not said.by_token for of in read_reviews(site.home).by_sample.values() for said in of.values()),
        scores=list(judged),
        stage=stage,
        filter_name=filter_name,
        setting=setting,
        threshold=attrgetter(f"{stage}.{setting}")(site.recipe),
    )
