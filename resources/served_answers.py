"""What servers answer in place of what they were asked for, though they say that all is well (200)."""

from collections.abc import Sequence
from typing import Any

from resources.errors import ExpectedError

MOST_TOLD = 300


class NotAnswered(ExpectedError, ValueError):
    """An answer of a server without what was asked for; the message says what it told instead."""


def entries(answer: Any, name: str, what: str) -> Sequence[Any]:
    """The entries of an answer's list `name`, at least one. Raises NotAnswered where there is none of `what`.

    `answer` is what `openai` makes of a body: an object whose fields may all be missing, or the text of a page.
    """
    found = getattr(answer, name, None)
    if isinstance(found, Sequence) and found and found[0] is not None:
        return found
    body = answer if isinstance(answer, str) else getattr(answer, "model_extra", None) or answer
    error = body.get("error", body) if isinstance(body, dict) else body
    told = error.get("message", error) if isinstance(error, dict) else error
    raise NotAnswered(f"The server answered without {what}, and told: {' '.join(str(told).split())[:MOST_TOLD]}")
