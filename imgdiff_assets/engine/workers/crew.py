"""How workers are started and asked, whatever they are: processes of this machine, or Ray's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imgdiff_assets.engine.workers.order import Answer, Raised


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that will answer nothing more, and why."""

    reason: str


Reply = Answer | Raised | Ended


class Crew(Protocol):
    """Workers by their numbers, which count from 1."""

    size: int
    """How many there should be."""

    def start(self, number: int) -> None:
        """Begin a worker; it need not be there yet when this returns."""

    def ask(self, number: int, ticket: int, method: str, *arguments: Any) -> None:
        """Have a worker run a method of `Worker`. Of one that has ended, `replies` tells so."""

    def replies(self, seconds: float) -> Sequence[tuple[int, int, Reply]]:
        """Wait, so many seconds at most, for workers to say something: their numbers, and the tickets that were asked.

        One that ended is told once, with ticket 0.
        """

    def close(self) -> None:
        """End all workers, whatever they do, and all that was started for them."""
