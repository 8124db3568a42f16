"""How likely a yes is: however it is written, and unknown where nobody tells."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from resources.chat_server import ServedPromptRewriter
from resources.prompt_rewriter import PromptRewriterSettings
from resources.yes_or_no import share_of_yes
from tests.answering_server import MODEL, answering


@pytest.mark.parametrize(
    ("chances", "share"),
    [
        ([("yes", 0.3), ("no", 0.1), ("maybe", 0.6)], 0.75),
        ([("Yes", 0.2), (" yes", 0.1), ("\u2581No", 0.1)], 0.75),
        ([("no", 0.9)], 0.0),
        ([("YES", 1.0)], 1.0),
        ([("Well", 0.9), ("nobody", 0.1)], None),
        ([], None),
    ],
)
def test_the_share_is_of_yes_and_no_alone(chances: list[tuple[str, float]], share: float | None) -> None:
    assert share_of_yes(chances) == (None if share is None else pytest.approx(share))


def test_a_server_is_asked_for_its_likeliest_first_tokens() -> None:
    def answer(request: Mapping[str, Any]) -> str | Mapping[str, Any]:
        question = request["messages"][0]["content"]
        if question == "silent":
            return "Yes."
        first = {"yes": 0.8, "No": 0.2} if question == "true" else {"No": 0.5, "Hm": 0.5}
        told = [{"token": token, "logprob": math.log(chance), "bytes": None} for token, chance in first.items()]
        return {"logprobs": {"content": [{**told[0], "top_logprobs": told}]}}

    with answering(answer) as (base_url, requests):
        settings = PromptRewriterSettings(model=MODEL, base_url=base_url, prompt="{caption}", max_retries=0)
        shares = ServedPromptRewriter(settings).yes(["true", "false", "silent"])
    assert shares == [pytest.approx(0.8), 0.0, None]
    assert all((one["max_tokens"], one["logprobs"], one["temperature"]) == (1, True, 0) for one in requests)
