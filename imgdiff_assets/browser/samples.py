"""The samples that people review: what the graph made, whatever reviewers say of it; and the queues they come in."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.joins import ancestors, scores_of, source_of
from imgdiff_assets.ledger.reviews import DOUBT, STRATIFIED, read_reviews
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages import graph
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.certificate import BANDS, CONFIDENCE, Certificate, band_edges, band_of, certify

SAMPLES = stage_named(graph.SAMPLES)
MADE = "(t.rejected_by IS NULL OR t.rejected_by = 'review')"
DEFAULT_SCORE = "captions.match"


def sample_scores(index: Index, score: str) -> Mapping[str, float]:
    """Every sample's score (NaN if it has none), by sample id in the order of the ids, which are hashes: at random."""
    return index.computed("scores of samples", score, lambda: _scores(index, score))


def _scores(index: Index, score: str) -> dict[str, float]:
    column = scores_of(SAMPLES)[score]
    table = index.table(
        f"SELECT t.sample_id, coalesce({column}::DOUBLE, 'NaN'::DOUBLE) AS score FROM {source_of(SAMPLES, column)} "
        f"WHERE {MADE} ORDER BY t.sample_id"
    )
    return dict(zip(table["sample_id"].to_pylist(), table["score"].to_pylist(), strict=True))


def first_sides(index: Index, sample_ids: Iterable[str]) -> dict[str, str]:
    """Which side of some samples is shown first, by sample id."""
    turned = index.computed("turned samples", "", lambda: _turned(index))
    return {name: "target" if name in turned else "source" for name in sample_ids}


def _turned(index: Index) -> frozenset[str]:
    table = index.table("SELECT sample_id FROM fine_tune_set WHERE first = 'target'")
    return frozenset(table["sample_id"].to_pylist())


def judged_scores(recipe: Recipe) -> Mapping[str, tuple[str, str, str]]:
    """The scores of a sample that a filter compares with a threshold: to stage, filter and setting."""
    scores = scores_of(SAMPLES)
    return {
        f"{stage.name}.{step.score}": (stage.name, step.name, str(step.setting))
        for stage in [*ancestors(SAMPLES), SAMPLES]
        for step in stage.under(recipe).filters
        if step.score and step.threshold and f"{stage.name}.{step.score}" in scores
    }


def certificate(
    index: Index, recipe: Recipe, score: str, bands: int = BANDS, confidence: float = CONFIDENCE
) -> Certificate:
    """What the reviews say of the samples as they are now. Raises KeyError for a score that no filter judges."""
    name, filter_name, _ = judged_scores(recipe)[score]
    stage = stage_named(name)
    step = next(step for step in stage.filters if step.name == filter_name)
    larger = step.keeps_larger(stage.settings(recipe))
    reviews = read_reviews(index.home).by_sample
    scores, sides = sample_scores(index, score), first_sides(index, reviews)
    return certify(score, larger, scores, reviews, bands, confidence, sides, recipe.review.critical)


def in_order(scores: Mapping[str, float], queue: str, threshold: float = 0.0) -> list[str]:
    """All samples as a queue has them; every reviewer gets the same order.

    `random`: as the ids fall. `stratified`: one from each band of the score in turn. `doubt`: the nearest to the
    threshold first.
    """
    ids = list(scores)
    order: Any = range(len(ids))
    if queue == STRATIFIED and ids:
        values = np.array(list(scores.values()))
        places = band_of(values, band_edges(values))
        turns = np.empty(len(ids), dtype=np.int64)
        for place in np.unique(places):
            turns[places == place] = np.arange(np.count_nonzero(places == place))
        order = np.lexsort([places, turns]).tolist()
    if queue == DOUBT:
        order = np.argsort(np.abs(np.array(list(scores.values())) - threshold), kind="stable").tolist()
    return [ids[number] for number in order]


def coming(queued: Sequence[str], *passed_over: Collection[str], after: str = "") -> Iterator[str]:
    """The samples of a queue that are in none of some sets, each once.

    First those behind `after`, which was skipped, if there is one; what was skipped comes again at the end.
    """
    begin = queued.index(after) + 1 if after and after in queued else 0
    for number in chain(range(begin, len(queued)), range(begin)):
        if not any(queued[number] in names for names in passed_over):
            yield queued[number]
