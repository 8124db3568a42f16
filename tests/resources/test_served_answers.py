"""Servers that say that all is well (200), and answer something else than what they were asked."""

from typing import Any

import pytest

from resources.chat_server import ServedPromptRewriter
from resources.prompt_rewriter import PromptRewriterSettings
from resources.served_answers import NotAnswered
from tests.answering_server import MODEL, Reply, serving

OTHERS: dict[str, Reply] = {
    "told: the queue is full": (200, {"error": {"message": "the queue is full", "code": 7}}),
    "told: too many": (200, {"error": "too many"}),
    "told: <h1>Sign in</h1>": (200, "<h1>Sign in</h1>"),
    "without an answer": (200, {"choices": []}),
    "without an answer, and told": (200, {"choices": [None], "object": "chat.completion"}),
}


@pytest.mark.parametrize("told", OTHERS)
def test_what_was_told_instead_is_the_row_s_error(told: str) -> None:
    fields: dict[str, Any] = {"model": MODEL, "prompt": "{caption}", "max_retries": 0}
    with serving(lambda request: OTHERS[told]) as (base_url, _):
        settings = PromptRewriterSettings.model_validate({"base_url": base_url, **fields})
        with pytest.raises(NotAnswered, match=told):
            ServedPromptRewriter(settings).rewrite(["a red ball"], [0])


def test_an_answer_that_says_nothing_is_empty() -> None:
    """What it lacks is judged by the stage: `nothing_named`, say."""
    for message in ({"role": "assistant", "content": None}, {"role": "assistant"}, None):
        reply = 200, {"choices": [{"index": 0, "finish_reason": "length", "message": message}]}
        with serving(lambda request, reply=reply: reply) as (base_url, _):
            settings = PromptRewriterSettings(model=MODEL, prompt="{caption}", base_url=base_url, max_retries=0)
            assert ServedPromptRewriter(settings).rewrite(["a red ball"], [0]) == [""]
