"""Models behind a real server, `transformers serve`, and what becomes of questions when it fails."""

import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.defs.role_resources import role_resource
from resources import chat_server
from resources.captioner import Captioner, CaptionerSettings
from resources.chat_server import ServedCaptioner, ServedPromptRewriter, served_identity
from resources.images.crops import cut
from resources.loading.failures import ModelUnavailable, is_of_the_machine
from resources.miniature.scenes import draw_scene
from resources.miniature.train_prompt_rewriter import PROMPT
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from tests.chat_server import CAPTIONER, REWRITER, Proxy

CAPTIONS = ["a red ball on the grass", "a blue boat and a green tree on the sand", "a pink ice cream on the snow"]


@pytest.fixture(scope="module")
def server(chat_server_address: str) -> str:
    return chat_server_address


@pytest.fixture
def proxy(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    with Proxy(server).serving() as before:
        yield before


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    scenes = [draw_scene(random.Random(seed)) for seed in range(6)]
    return [cut(scene.image, scene.boxes[0], padding=2) for scene in scenes]


def rewriter(base_url: str, **fields: Any) -> ServedPromptRewriter:
    values = {"model": REWRITER, "prompt": PROMPT, "max_new_tokens": 32, "temperature": 0, **fields}
    return ServedPromptRewriter(PromptRewriterSettings.model_validate({"base_url": base_url, **values}))


def test_a_rewrite_is_that_of_the_same_model_loaded_here(server: str) -> None:
    settings = PromptRewriterSettings(model="miniature:prompt_rewriter", prompt=PROMPT, temperature=0)
    assert rewriter(server).rewrite(CAPTIONS, [0] * 3) == PromptRewriter(settings).rewrite(CAPTIONS, [0] * 3)


def test_a_caption_is_that_of_the_same_model_loaded_here(server: str, crops: list[np.ndarray]) -> None:
    images = [crops[:1], crops[1:3], crops[3:4], crops[4:6]]
    questions = ["what is this ?", "what is different ?"] * 2
    served = ServedCaptioner(CaptionerSettings(model=CAPTIONER, base_url=server, max_new_tokens=32))
    here = Captioner(CaptionerSettings(model="miniature:captioner", max_new_tokens=32))
    answers = served.answer(images, questions)
    assert answers == here.answer(images, questions)
    assert len(set(answers)) == 4


def test_an_answer_is_drawn_by_its_own_seed(server: str) -> None:
    # One question at a time, for this server has one state of random numbers for all.
    drawn = rewriter(server, temperature=1.0, top_p=1.0, concurrency=1)
    answers = drawn.rewrite([CAPTIONS[0]] * 8, range(8))
    assert drawn.rewrite([CAPTIONS[0]] * 8, range(8)) == answers
    assert drawn.rewrite([CAPTIONS[0]] * 2, [5, 5 + 2**31]) == [answers[5]] * 2
    assert len(set(answers)) > 2


def test_length_and_stop_strings_are_the_server_s_to_heed(server: str) -> None:
    assert rewriter(server, max_new_tokens=2).rewrite(CAPTIONS[:1], [0]) == ["replace ball"]
    assert rewriter(server, stop=["with"]).rewrite(CAPTIONS[:1], [0])[0].startswith("replace ball")
    assert len(rewriter(server, stop=["with"]).rewrite(CAPTIONS[:1], [0])[0].split()) <= 3


def test_the_role_is_played_where_the_settings_say(server: str) -> None:
    here = role_resource(PromptRewriterSettings(model="miniature:prompt_rewriter", prompt=PROMPT))
    there = role_resource(PromptRewriterSettings(model=REWRITER, prompt=PROMPT, base_url=server))
    assert (type(here.open()), type(there.open())) == (PromptRewriter, ServedPromptRewriter)
    assert type(role_resource(CaptionerSettings(model=CAPTIONER, base_url=server)).open()) is ServedCaptioner


@pytest.mark.parametrize("failures", [[503, 429], ["cut"], [500, "cut", 502]])
def test_what_failed_is_asked_again(failures: list[int | str], proxy: Proxy) -> None:
    expected = rewriter(proxy.base_url).rewrite(CAPTIONS, [0] * 3)
    proxy.asked = 0
    proxy.plan.extend(failures)
    assert rewriter(proxy.base_url).rewrite(CAPTIONS, [0] * 3) == expected
    assert proxy.asked == len(CAPTIONS) + len(failures)


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (401, "set IMGDIFF_API_KEY to its key"),
        (404, "correct the field `model`, or the path in `base_url` (it often ends with /v1)"),
        (429, "lower `concurrency`, or raise `max_retries`"),
        (503, "see what ails it"),
        ("cut", "start it, or correct the field `base_url`"),
    ],
)
def test_a_server_that_goes_on_failing_is_no_fault_of_a_row(failure: int | str, advice: str, proxy: Proxy) -> None:
    proxy.plan.extend([failure] * 2)
    with pytest.raises(ModelUnavailable) as caught:
        rewriter(proxy.base_url, max_retries=1).rewrite(CAPTIONS[:1], [0])
    assert proxy.base_url in str(caught.value)
    assert str(caught.value).endswith(f"{advice}. What was measured is kept.")
    assert is_of_the_machine(caught.value)


@pytest.mark.parametrize(
    ("failure", "name"), [(400, "BadRequestError"), (500, "InternalServerError"), ("hang", "APITimeoutError")]
)
def test_a_question_that_is_not_answered_is_its_row_s_error(failure: int | str, name: str, proxy: Proxy) -> None:
    proxy.plan.append(failure)
    with pytest.raises(Exception, match=r"planned|timed out") as caught:
        rewriter(proxy.base_url, max_retries=0, timeout_seconds=0.2).rewrite(CAPTIONS[:1], [0])
    assert type(caught.value).__name__ == name
    assert not is_of_the_machine(caught.value)


def test_questions_are_asked_at_once_but_no_more_than_allowed(proxy: Proxy) -> None:
    rewriter(proxy.base_url, concurrency=3).rewrite(CAPTIONS * 4, [0] * 12)
    assert 2 <= proxy.most <= 3


def test_no_questions_are_not_asked(proxy: Proxy) -> None:
    assert rewriter(proxy.base_url).rewrite([], []) == []
    assert proxy.asked == 0


class TestIdentity:
    def test_it_is_the_model_and_not_the_server(self, server: str, proxy: Proxy) -> None:
        here, there = (CaptionerSettings(model=CAPTIONER, base_url=url) for url in (server, proxy.base_url))
        assert served_identity(here) == served_identity(there) == {"id": CAPTIONER, "owned_by": "miniature"}
        assert here.identity() == there.identity()
        slow = {"concurrency": 1, "timeout_seconds": 9.0, "max_retries": 0}
        assert here.model_copy(update=slow).identity() == here.identity()
        assert here.model_copy(update={"stop": ["."]}).identity() != here.identity()

    def test_a_model_that_is_not_served_is_told_with_those_that_are(self, server: str) -> None:
        settings = CaptionerSettings(model="miniature/captionr", base_url=server)
        with pytest.raises(ModelUnavailable, match=r"does not serve 'miniature/captionr', but .*miniature/captioner"):
            served_identity(settings)

    def test_a_server_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
        settings = CaptionerSettings(model=CAPTIONER, base_url="http://127.0.0.1:9/v1")
        with pytest.raises(ModelUnavailable, match=r"127\.0\.0\.1:9/v1 cannot be reached .*: start it"):
            served_identity(settings)

    def test_it_is_remembered_for_a_while(self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = CaptionerSettings(model=CAPTIONER, base_url=proxy.base_url)
        first = served_identity(settings)
        proxy.behind = "http://127.0.0.1:9/v1"
        assert served_identity(settings) == first
        later = chat_server.time.monotonic() + 2 * chat_server.REMEMBERED_SECONDS
        monkeypatch.setattr(chat_server.time, "monotonic", lambda: later)
        with pytest.raises(ModelUnavailable):
            served_identity(settings)


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelUnavailable, match=r"pip install 'imgdiff-assets\[server\]'"):
        served_identity(CaptionerSettings(model=CAPTIONER, base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelUnavailable, match=r"pip install 'imgdiff-assets\[server\]'"):
        rewriter("http://127.0.0.1:9/v1").rewrite(CAPTIONS, [0] * 3)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CaptionerSettings(model="m", base_url="http://localhost/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "for another service")
    with chat_server.connect(settings) as client:
        assert client.api_key == "none"
    monkeypatch.setenv("IMGDIFF_API_KEY", "a key")
    monkeypatch.setenv("IMGDIFF_API_KEY_URLS", "http://localhost/v1")
    with chat_server.connect(settings) as client:
        assert client.api_key == "a key"


def test_a_server_that_takes_no_schema_is_asked_without_one(proxy: Proxy) -> None:
    """`transformers serve` refuses every request with one."""
    settings = rewriter(proxy.base_url).settings
    questions = [settings.question(caption) for caption in CAPTIONS]
    answers = rewriter(proxy.base_url).ask(questions, None, {"type": "object"})
    assert answers == rewriter(proxy.base_url).rewrite(CAPTIONS, [0] * 3)
    assert proxy.asked == 1 + 3 + 3, "it was tried once"
    assert rewriter(proxy.base_url).ask([], None, {"type": "string"}) == []
    assert proxy.asked == 7
