"""How good the samples are, as far as reviewers have looked: precision with an interval, by score, and agreement."""

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdiff_assets.ledger.reviews import ACCEPT, RANDOM, REJECT, STRATIFIED, WITHDRAWN, Review, consensus

BANDS = 5
CONFIDENCE = 0.95

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of accepted samples among `population`, as estimated from those `reviewed`, and its interval.

    All three are None when none was reviewed.
    """

    population: int
    reviewed: int
    accepted: int
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Band:
    """Samples whose score is at least `low` and below `high` (of the last band: at most)."""

    low: float
    high: float
    precision: Precision


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What would be kept if the score had to pass `threshold`."""

    threshold: float
    precision: Precision


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two reviewers on the samples that both judged. `kappa` is Cohen's (1960), None where chance alone agrees."""

    first: str
    second: str
    both: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Critical:
    """The share of samples that were rejected for a critical reason, as estimated from those `reviewed`.

    All of the estimate and its interval are None when none was reviewed.
    """

    reviewed: int
    found: int
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """`reasons` counts the drawn samples that were rejected for each reason; empty text is for none.

    `chosen` reviewed samples were drawn by no queue, or by another score: nothing about the others follows from
    them, and they are left out. `unseen` samples are in bands without any review: of them nothing is known. `misled`
    are the ids of samples with a verdict that was given when a page showed their images the wrong way round; such
    verdicts are left out too.
    """

    score: str
    keeps_larger: bool
    confidence: float
    overall: Precision
    critical: Critical
    reasons: Mapping[str, int]
    bands: tuple[Band, ...]
    thresholds: tuple[AtThreshold, ...]
    agreements: tuple[Agreement, ...]
    chosen: int
    unseen: int
    misled: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def wilson(accepted: float, reviewed: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; counts may be fractions, of a weighted sample."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = accepted / reviewed
    middle = (share + z * z / (2 * reviewed)) / (1 + z * z / reviewed)
    half = z * np.sqrt(share * (1 - share) / reviewed + z * z / (4 * reviewed**2)) / (1 + z * z / reviewed)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def band_edges(scores: Scores, bands: int = BANDS) -> Scores:
    """Edges of bands with about equally many samples each; fewer bands where scores are alike. NaN has no place."""
    scores = scores[~np.isnan(scores)]
    edges: Scores = np.unique(np.quantile(scores, np.linspace(0, 1, bands + 1))) if len(scores) else np.zeros(0)
    return edges if len(edges) != 1 else np.array([edges[0], edges[0]])


def band_of(scores: Scores, edges: Scores) -> npt.NDArray[np.int64]:
    """The number of each score's band; samples without the score (NaN) make one more band, the last."""
    bands = max(len(edges) - 1, 0)
    places = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, max(bands - 1, 0))
    return np.where(np.isnan(scores), bands, places)


def certify(
    score: str,
    keeps_larger: bool,
    scores: Mapping[str, float],
    reviews: Mapping[str, Mapping[str, Review]],
    bands: int = BANDS,
    confidence: float = CONFIDENCE,
    first_sides: Mapping[str, str] | None = None,
    critical: Collection[str] = (),
) -> Certificate:
    """The certificate of the samples in `scores` (by id; NaN for none), from the reviews by sample and reviewer.

    `first_sides` says which side of a sample is shown first, where it is not the source; `critical` are the reasons
    that are counted apart.

    Samples are drawn at random, or evenly from bands of the score. Each reviewed sample therefore stands for as many
    as its band has per review, and the interval is Wilson's with Kish's effective number of reviews (1965).
    """
    given, reviews = reviews, _led_right(reviews, first_sides or {})
    ids, values = list(scores), np.array(list(scores.values()), dtype=np.float64)
    edges = band_edges(values, bands)
    places = band_of(values, edges)
    verdicts = [_verdict(reviews.get(identity, {}), score) for identity in ids]
    reviewed = np.array([verdict is not None for verdict in verdicts], dtype=bool)
    accepted = np.array([verdict == ACCEPT for verdict in verdicts], dtype=bool)
    sizes = np.bincount(places, minlength=len(edges) + 1)
    drawn = np.bincount(places[reviewed], minlength=len(sizes))
    weights = (sizes / np.maximum(drawn, 1))[places] if len(ids) else values
    why = [
        {review.reason for review in reviews[identity].values() if review.verdict == REJECT}
        if verdict == REJECT
        else set()
        for identity, verdict in zip(ids, verdicts, strict=True)
    ]
    grave = np.array([not reasons.isdisjoint(critical) for reasons in why], dtype=bool)

    def estimated(
        among: npt.NDArray[np.bool_], having: npt.NDArray[np.bool_]
    ) -> tuple[int, int, float | None, float | None, float | None]:
        """Reviewed, those of them `having` it, and the share of all with its interval."""
        seen = among & reviewed
        count = int(np.count_nonzero(seen))
        if not count:
            return 0, 0, None, None, None
        total = float(weights[seen].sum())
        share = float(weights[seen & having].sum()) / total
        effective = total**2 / float((weights[seen] ** 2).sum())
        return count, int(np.count_nonzero(seen & having)), share, *wilson(share * effective, effective, confidence)

    def precision(among: npt.NDArray[np.bool_]) -> Precision:
        return Precision(int(np.count_nonzero(among)), *estimated(among, accepted))

    # No threshold on the score touches a sample without it; NaN passes no comparison.
    passing = [(edge, values >= edge) for edge in edges[:-1]]
    if not keeps_larger:
        passing = [(edge, values < edge) for edge in edges[1:-1]] + [(edge, values <= edge) for edge in edges[-1:]]
    return Certificate(
        score=score,
        keeps_larger=keeps_larger,
        confidence=confidence,
        overall=precision(np.ones(len(ids), dtype=bool)),
        critical=Critical(*estimated(np.ones(len(ids), dtype=bool), grave)),
        reasons=dict(Counter(reason for reasons in why for reason in reasons).most_common()),
        bands=tuple(
            Band(float(low), float(high), precision(places == number))
            for number, (low, high) in enumerate(itertools.pairwise(edges))
        ),
        thresholds=tuple(AtThreshold(float(edge), precision(passes)) for edge, passes in passing),
        agreements=tuple(agreements(reviews)),
        chosen=sum(
            _verdict(of_sample, score) is None and consensus(of_sample.values()) is not None
            for identity, of_sample in reviews.items()
            if identity in scores
        ),
        unseen=int(sizes[drawn == 0].sum()),
        misled=tuple(sorted(name for name in given if name in scores and len(given[name]) > len(reviews[name]))),
    )


def _led_right(
    reviews: Mapping[str, Mapping[str, Review]], first_sides: Mapping[str, str]
) -> dict[str, dict[str, Review]]:
    """The reviews without those of samples that were shown the wrong way round."""
    return {
        name: {who: review for who, review in of_sample.items() if not review.misled(first_sides.get(name, "source"))}
        for name, of_sample in reviews.items()
    }


def _verdict(reviews: Mapping[str, Review], score: str) -> str | None:
    """The consensus on a sample that was drawn at random, of all samples or within bands of this score."""
    drawn = any((review.queue, review.score) in ((RANDOM, ""), (STRATIFIED, score)) for review in reviews.values())
    return consensus(reviews.values()) if drawn else None


def agreements(reviews: Mapping[str, Mapping[str, Review]]) -> list[Agreement]:
    """Every two reviewers who have judged the same samples."""
    names = sorted({name for of_sample in reviews.values() for name in of_sample})
    found = []
    for first, second in itertools.combinations(names, 2):
        pairs = [
            (of_sample[first].verdict, of_sample[second].verdict)
            for of_sample in reviews.values()
            if first in of_sample and second in of_sample
        ]
        pairs = [pair for pair in pairs if WITHDRAWN not in pair]
        if pairs:
            agreed = sum(one == other for one, other in pairs)
            found.append(Agreement(first, second, len(pairs), agreed, cohens_kappa(pairs)))
    return found


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement beyond chance of two reviewers' verdicts (accept or reject); None when chance alone gives it all."""
    observed = sum(one == other for one, other in pairs) / len(pairs)
    chance = sum(
        (sum(one == verdict for one, _ in pairs) / len(pairs))
        * (sum(other == verdict for _, other in pairs) / len(pairs))
        for verdict in (ACCEPT, REJECT)
    )
    return None if chance == 1 else (observed - chance) / (1 - chance)
