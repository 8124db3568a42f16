"""While a batch of rows is worked on, no server is asked the same question twice.

A batch of which one question is not answered is asked again by halves, to find the row at fault. What came of every
question, answer or error, is remembered meanwhile, so that each is paid for once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Outcomes = dict[str, str | Exception]

_outcomes: ContextVar[Outcomes | None] = ContextVar("outcomes", default=None)


@contextmanager
def asked_once() -> Iterator[None]:
    """Remember what came of questions until the block ends."""
    token = _outcomes.set({})
    try:
        yield
    finally:
        _outcomes.reset(token)


def outcomes() -> Outcomes:
    """Return what is remembered, by question, to be read and added to; outside of a block nothing is."""
    remembered = _outcomes.get()
    return {} if remembered is None else remembered
