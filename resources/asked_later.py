"""Questions that a server answers later, by a batch service, and the answers that have come of them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from resources.errors import ExpectedError
from resources.loading.settings import ChatModelSettings


class AnswerPending(ExpectedError):
    """A question that is to be answered later: what asks it has neither a result nor failed."""


class RequestRefused(ExpectedError):
    """A question that the server took, and did not answer: as if it were refused at once."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A question that is in no batch yet, by whose settings it is asked, and its length as JSON."""

    settings: ChatModelSettings
    request: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class Letters:
    """Questions and answers by id: a hash of all that the server is told, wherever it is.

    `answers` are the bodies of completions, or why there will be none; `waiting` are in a batch that is under way;
    `unsent` are in none yet.
    """

    answers: dict[str, Mapping[str, Any] | RequestRefused] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    unsent: dict[str, Unsent] = field(default_factory=dict)

    def answer(self, settings: ChatModelSettings, request: Mapping[str, Any]) -> Any:
        """Return the completion of a request. Raises AnswerPending where there is none yet, and RequestRefused."""
        from openai.types.chat import ChatCompletion

        said = json.dumps(request, sort_keys=True).encode()
        known_by = hashlib.sha256(said).hexdigest()
        if known_by in self.answers:
            answer = self.answers[known_by]
            if isinstance(answer, RequestRefused):
                raise answer
            return ChatCompletion.construct(**answer)
        if known_by not in self.waiting:
            self.unsent[known_by] = Unsent(settings, request, len(said))
        raise AnswerPending(f"the server {settings.base_url} answers later")


_letters: ContextVar[Letters | None] = ContextVar("letters", default=None)


@contextmanager
def asked_later(letters: Letters) -> Iterator[None]:
    """Until the block ends, models of roles with `batches` are asked by letter."""
    token = _letters.set(letters)
    try:
        yield
    finally:
        _letters.reset(token)


def letters_of(settings: ChatModelSettings) -> Letters | None:
    """Return what the role's questions are put into; None where it is asked at once, as it is outside of a block."""
    return _letters.get() if settings.batches else None
