"""Precision and agreement from verdicts: against published figures, and against a population whose truth is known."""

import random
from dataclasses import replace

import numpy as np
import pytest

from imgdiff_assets.ledger.reviews import ACCEPT, CHOSEN, RANDOM, REJECT, STRATIFIED, WITHDRAWN, Review
from imgdiff_assets.statistics.certificate import agreements, band_edges, band_of, certify, cohens_kappa, wilson
from imgdiff_assets.statistics.certificate_text import to_text

SCORE = "captions.match"


def review(sample_id: str, verdict: str, queue: str = RANDOM, reviewer: str = "Ann") -> Review:
    return Review(sample_id, "shard-000000", reviewer, verdict, queue=queue, score=SCORE * (queue == STRATIFIED))


@pytest.mark.parametrize(
    ("accepted", "reviewed", "low", "high"),
    # Newcombe (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(accepted: int, reviewed: int, low: float, high: float) -> None:
    assert wilson(accepted, reviewed) == pytest.approx((low, high), abs=5e-5)


def test_kappa_of_a_textbook_table() -> None:
    # 50 applications, two readers: both yes 20, only the first 5, only the second 10, both no 15.
    table = [(ACCEPT, ACCEPT)] * 20 + [(ACCEPT, REJECT)] * 5 + [(REJECT, ACCEPT)] * 10 + [(REJECT, REJECT)] * 15
    assert cohens_kappa(table) == pytest.approx(0.4)
    assert cohens_kappa([(ACCEPT, ACCEPT)] * 3) is None
    assert cohens_kappa([(ACCEPT, REJECT), (REJECT, ACCEPT)]) == pytest.approx(-1)


def test_only_what_both_judged_counts_for_agreement() -> None:
    reviews = {
        "a": {"Ann": review("a", ACCEPT), "Bob": review("a", ACCEPT)},
        "b": {"Ann": review("b", REJECT), "Bob": review("b", ACCEPT)},
        "c": {"Ann": review("c", REJECT), "Bob": review("c", WITHDRAWN)},
        "d": {"Cem": review("d", REJECT)},
    }
    (pair,) = agreements(reviews)
    assert (pair.first, pair.second, pair.both, pair.agreed) == ("Ann", "Bob", 2, 1)


def test_critical_faults_are_counted_apart() -> None:
    """By the consensus: what one reviewer alone rejects of two is rejected, and for that one's reason."""
    scores = dict.fromkeys("abcdefgh", 0.5)
    faults = {"a": "wrong side", "b": "bad picture", "c": "", "d": "invented"}
    reviews = {
        name: {"Ann": replace(review(name, REJECT if name in faults else ACCEPT), reason=faults.get(name, ""))}
        for name in "abcdef"
    }
    reviews["a"]["Bob"] = review("a", ACCEPT, reviewer="Bob")
    reviews["e"]["Bob"] = replace(review("e", WITHDRAWN, reviewer="Bob"), reason="wrong side")
    reviews["g"] = {"Ann": replace(review("g", REJECT, CHOSEN), reason="invented")}
    found = certify(SCORE, True, scores, reviews, critical=("wrong side", "invented"))
    assert (found.overall.reviewed, found.overall.accepted) == (6, 2)
    assert (found.critical.reviewed, found.critical.found) == (6, 2)
    assert found.critical.estimate == pytest.approx(2 / 6)
    assert (found.critical.low, found.critical.high) == pytest.approx(wilson(2, 6))
    assert found.reasons == {"wrong side": 1, "bad picture": 1, "": 1, "invented": 1}
    assert "Critical faults: 2 of 6 reviewed, 33.3% (interval: 9.7% to 70.0%)." in to_text(found)
    assert certify(SCORE, True, scores, {}).critical.estimate is None


def test_bands_have_equally_many_samples() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    edges = band_edges(scores, 4)
    assert np.bincount(band_of(scores, edges)).tolist() == [250] * 4
    assert band_of(np.array([scores.max()]), edges).tolist() == [3]
    assert len(band_edges(np.ones(9))) == 2, "one band where all scores are alike"
    assert len(band_edges(np.zeros(0))) == 0


@pytest.mark.parametrize("keeps_larger", [True, False])
@pytest.mark.parametrize("scores", [{}, {"a": float("nan")}])
def test_where_no_sample_has_the_score_there_is_no_threshold(scores: dict[str, float], keeps_larger: bool) -> None:
    found = certify(SCORE, keeps_larger, scores, {"a": {"Ann": review("a", ACCEPT)}})
    assert (found.bands, found.thresholds) == ((), ())
    assert found.overall.reviewed == len(scores)
    assert to_text(found).endswith(f"No sample has the score {SCORE}.")


def test_a_stratified_queue_is_weighted_back_to_the_population() -> None:
    """Of 1000 samples the 200 with the lowest scores are wrong, and most of the reviews are of those."""
    scores = {f"{number:04d}": number / 1000 for number in range(1000)}
    bands = [list(scores)[start : start + 200] for start in range(0, 1000, 200)]
    # Twenty from the bad band, two from each of the others: unweighted, 29 % would be right.
    drawn = bands[0][:20] + [name for band in bands[1:] for name in band[:2]]
    reviews = {name: {"Ann": review(name, REJECT if name in bands[0] else ACCEPT, STRATIFIED)} for name in drawn}
    found = certify(SCORE, True, scores, reviews)
    assert found.overall.estimate == pytest.approx(0.8)
    assert found.overall.low < 0.8 < found.overall.high
    assert [band.precision.estimate for band in found.bands] == [0, 1, 1, 1, 1]
    assert [point.precision.population for point in found.thresholds] == [1000, 800, 600, 400, 200]
    assert found.thresholds[1].precision.estimate == 1
    below = certify(SCORE, False, scores, reviews)
    assert [point.precision.population for point in below.thresholds] == [200, 400, 600, 800, 1000]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """200 surveys of a population in which higher scores are better."""
    chance = random.Random(7)
    scores = {f"{number:05d}": chance.random() for number in range(3000)}
    right = {name: chance.random() < 0.4 + 0.5 * score for name, score in scores.items()}
    truth = sum(right.values()) / len(right)
    held = 0
    for _ in range(200):
        drawn = chance.sample(sorted(scores), 80)
        reviews = {name: {"Ann": review(name, ACCEPT if right[name] else REJECT)} for name in drawn}
        overall = certify(SCORE, True, scores, reviews).overall
        assert overall.low is not None
        assert overall.high is not None
        held += overall.low <= truth <= overall.high
    assert 0.90 <= held / 200 <= 0.99


def test_chosen_samples_and_other_queues_say_nothing_about_the_rest() -> None:
    scores = dict.fromkeys("abcd", 0.5)
    reviews = {
        "a": {"Ann": review("a", ACCEPT)},
        "b": {"Ann": review("b", REJECT, CHOSEN)},
        "c": {"Ann": replace(review("c", REJECT, STRATIFIED), score="captions.agreement")},
        "x": {"Ann": review("x", REJECT, CHOSEN)},
    }
    found = certify(SCORE, True, scores, reviews)
    assert (found.overall.reviewed, found.overall.accepted, found.chosen) == (1, 1, 2)


def test_verdicts_of_images_shown_the_wrong_way_round_are_left_out() -> None:
    scores = dict.fromkeys("abc", 0.5)
    reviews = {
        "a": {"Ann": review("a", REJECT), "Bob": replace(review("a", ACCEPT, reviewer="Bob"), first="target")},
        "b": {"Ann": review("b", REJECT), "Bob": review("b", REJECT, reviewer="Bob")},
        "c": {"Ann": review("c", ACCEPT)},
        "gone": {"Ann": review("gone", REJECT)},
    }
    found = certify(SCORE, True, scores, reviews, first_sides={"a": "target", "b": "target", "gone": "target"})
    assert (found.overall.reviewed, found.overall.accepted, found.misled) == (2, 2, ("a", "b"))
    assert found.agreements == (), "two who were misled alike agree on nothing"
    assert "verdicts on 2 samples whose images" in to_text(found)


def test_bands_without_a_review_are_told() -> None:
    scores = {f"{number:03d}": number / 100 for number in range(100)}
    found = certify(SCORE, True, scores, {"000": {"Ann": review("000", ACCEPT)}})
    assert found.unseen == 80
    assert "Of 80 samples, in bands without a review, nothing is known." in to_text(found)


def test_nothing_reviewed_and_nothing_made() -> None:
    for scores in ({}, {"a": 0.5}):
        found = certify(SCORE, True, scores, {})
        assert found.overall.estimate is None
        assert "has been reviewed" in to_text(found)
