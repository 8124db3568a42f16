"""How right pictures look: by the miniature's classifier, by a chat model's yes, by a score that it writes."""

import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resources.backends.choice import backend_of
from resources.captioner import Captioner, CaptionerSettings
from resources.loading.failures import WeightsMissing
from resources.loading.weights import locate
from resources.miniature.malformed import LEARNED, UNSEEN, draw_malformed
from resources.verifier import ServedVerifier, Verifier, VerifierSettings, least_score
from tests.answering_server import MODEL, answering

SETTINGS = VerifierSettings(model="miniature:verifier")


@pytest.fixture(scope="module")
def verifier() -> Any:
    return backend_of(SETTINGS).load(SETTINGS)


@pytest.mark.parametrize("kind", [*LEARNED, *UNSEEN])
def test_malformed_pictures_look_less_right_than_the_same_scenes(kind: str, verifier: Verifier) -> None:
    rng = random.Random(7)
    scenes = [draw_malformed(rng, {**LEARNED, **UNSEEN}[kind], held_out=True) for _ in range(12)]
    shown = [[picture] for scene, malformed in scenes for picture in (scene.image, malformed)]
    scores = np.array(verifier.judge(shown, [""] * 24)).reshape(12, 2)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores[:, 0] > scores[:, 1]).sum() >= 10


def test_a_classifier_reads_single_pictures_of_any_shape_and_says_nothing_of_several(verifier: Verifier) -> None:
    image = draw_malformed(random.Random(1), LEARNED["broken"])[0].image
    several, *one = verifier.judge([[image, image], [image], [image[:50, :60]], [image]], [""] * 4)
    assert several is None
    assert None not in one
    assert one[0] == pytest.approx(one[2])


def test_a_label_that_the_model_lacks_is_told_with_those_that_it_has() -> None:
    with pytest.raises(WeightsMissing, match="no label 'fine', but malformed, natural: name the one"):
        Verifier(SETTINGS.model_copy(update={"label": "fine"}))


def test_a_captioner_is_a_verifier_by_how_sure_it_is_of_a_yes(tmp_path: Path) -> None:
    folder = shutil.copytree(locate("miniature:captioner"), tmp_path / "captioner")
    image = draw_malformed(random.Random(1), LEARNED["broken"])[0].image
    shown, questions = [[image], [image, image[:40]]], ["is this right ?"] * 2
    scores = Verifier(VerifierSettings(model=str(folder))).judge(shown, questions)
    assert scores == Captioner(CaptionerSettings(model=str(folder))).yes(shown, questions)
    assert all(score is not None and 0 <= score <= 1 for score in scores)


def test_a_served_one_tells_its_probabilities_or_nothing() -> None:
    told = {"logprobs": {"content": [{"token": "Yes", "logprob": 0, "bytes": None, "top_logprobs": []}]}}
    likeliest = [
        {"token": word, "logprob": math.log(share), "bytes": None} for word, share in (("Yes", 0.3), ("no", 0.1))
    ]
    told["logprobs"]["content"][0]["top_logprobs"] = likeliest
    image = np.zeros((8, 8, 3), np.uint8)
    for answer, score in ((told, 0.75), ("Yes", None)):
        with answering(lambda request, answer=answer: answer) as (url, requests):  # type: ignore[misc]
            settings = VerifierSettings(model=MODEL, base_url=url)
            judge = backend_of(settings).load(settings)
            assert isinstance(judge, ServedVerifier)
            assert judge.judge([[image, image]], ["Right?"]) == [pytest.approx(score) if score else None]
        (request,) = requests
        assert [part["type"] for part in request["messages"][0]["content"]] == ["image_url", "image_url", "text"]


def test_a_reward_model_writes_its_score() -> None:
    with answering(lambda request: '{"reasoning": "a score of 3 at first", "score": [20, 15]}') as (url, _):
        settings = VerifierSettings(model=MODEL, base_url=url, answer="score", highest_score=25)
        assert ServedVerifier(settings).judge([[np.zeros((8, 8, 3), np.uint8)]], ["Rate it."]) == [0.6]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"score": [7, 9]}', 0.7),
        ("Score: 10", 1.0),
        ("score = 0", 0.0),
        ('{"score": [70]}', None),
        ("It looks fine.", None),
        ("", None),
    ],
)
def test_a_written_score_is_a_share_of_the_highest(answer: str, score: float | None) -> None:
    assert least_score(answer, 10) == score
