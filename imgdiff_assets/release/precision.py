"""What reviewers found of a release's samples: the share that is right, with its interval."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.reading.gathered import Gathered
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import PRECISION
from imgdiff_assets.round_trips.reviewable import reviewable
from imgdiff_assets.statistics.certificate import certify


def precision_of(ledger: Ledger, gathered: Gathered, recipe: Recipe) -> dict[str, Any]:
    """The precision among what was made of the shards, before reviewers took anything out; empty without reviews.

    Samples that were rejected by review are no more in the release, so what is in it is at least as right.
    """
    by_sample = read_reviews(Home(ledger.root.parent)).by_sample
    if not by_sample:
        return {}
    first = {name: each.first for name, each in reviewable(ledger).items() if each.shard in gathered.samples}
    reviews = {name: said for name, said in by_sample.items() if name in first}
    scores = dict.fromkeys(sorted(first), float("nan"))
    found = certify("", True, scores, reviews, first_sides=first, critical=recipe.review.critical)
    if not found.overall.reviewed:
        return {}
    return {
        "reviewed": found.overall.reviewed,
        "accepted": found.overall.accepted,
        "estimate": found.overall.estimate,
        "low": found.overall.low,
        "high": found.overall.high,
        "confidence": found.confidence,
        "critical": found.critical.found,
        "reviewers": len({name for said in reviews.values() for name in said}),
    }


def human_precision(manifest: Mapping[str, Any]) -> str:
    """Markdown; empty where nobody reviewed."""
    found = manifest.get(PRECISION)
    if not found:
        return ""
    return (
        f"Of {found['reviewed']:,} samples that were drawn at random, {found['accepted']:,} were found right by "
        f"{counted(found['reviewers'], 'reviewer')}: {found['estimate']:.1%}, and between {found['low']:.1%} and "
        f"{found['high']:.1%} with {found['confidence']:.0%} confidence (Wilson's interval). Wrong in a way that "
        f"teaches a falsehood: {found['critical']:,}. What was rejected is not in the release."
    )
