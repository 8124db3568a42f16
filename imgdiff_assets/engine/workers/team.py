"""The driver of a crew: hands out batches, and sees to it that a worker that ends costs its batch's time alone."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.engine.batches import Failure
from imgdiff_assets.engine.measurer import HERE, Batch, Results, Task, WorkerUse
from imgdiff_assets.engine.workers.crew import Crew, Ended
from imgdiff_assets.engine.workers.order import Answer, Order, Raised
from imgdiff_assets.engine.workers.pieces import FATAL, Piece, Pieces

AT_ONCE = 2
"""Batches that a worker has: one that it measures, and one whose images it reads."""

TELL = 30.0
"""Seconds after which it is told that none is."""

LISTED = 3

LOOK = 5.0
"""Seconds between looks at how long nobody was there."""

PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before another is started where as many as there should be ended in a row before one was ready; each time
twice as many."""


class NoWorkers(ImgDiffError, RuntimeError):
    """All workers have ended, or none has come; what was measured is kept."""


@dataclass(slots=True)
class _Member:
    """A worker as the driver sees it; `ready` is the number of the order that it has made itself ready for."""

    number: int
    who: str = "that has not come"
    ready: int = 0
    tickets: dict[int, Piece | None] = field(default_factory=dict)
    use: WorkerUse = field(default_factory=WorkerUse)

    @property
    def name(self) -> str:
        return f"worker {self.number} ({self.who})"

    @property
    def doing(self) -> list[Piece]:
        """What it measures, then what it will."""
        return [piece for piece in self.tickets.values() if piece is not None]


class Team:
    """A `Measurer` whose `crew` is called together when it is first needed, and lives until it is closed.

    A worker that ends is replaced: at once, or after a `pause` that grows where one after the other ends before it is
    ready. The run stops where none is ready and `FATAL` times as many as there should be have ended so, or after
    `patience` seconds without one that is.
    """

    def __init__(self, crew: Callable[[], Crew], log: Say, patience: float = math.inf, pause: float = PAUSE) -> None:
        self._open_crew, self._log, self._patience, self._pause = crew, log, patience, pause
        self._opened: Crew | None = None
        self._members: dict[int, _Member] = {}
        self._gone: dict[str, WorkerUse] = {}
        self._started = self._tickets = self._orders = self._in_vain = 0
        self._not_before = 0.0
        self._reasons: dict[str, None] = {}

    def measure(self, task: Task, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Results]]:
        """As `Measurer`. What no model of a worker's is needed for, this process measures itself: servers, too."""
        if not any(map(task.work.models.is_in_process, task.step.roles)):
            yield from HERE.measure(task, batches)
            return
        self._orders += 1
        self._in_vain, self._not_before = 0, 0.0
        order, pieces = Order.of(self._orders, task), Pieces(iter(batches))
        for member in self._members.values():
            member.tickets.clear()  # of a measurement that was broken off
            self._ask(member, None, "prepare", order)
        waiting_since, told = time.monotonic(), False
        while self._hand_out(order, pieces):
            waits = self._fill_up(order)
            for number, ticket, reply in self._crew.replies(waits):
                yield from self._took(order, pieces, number, ticket, reply)
            if self._any_ready(order):
                waiting_since = time.monotonic()
            elif (self._is_in_vain and not self._members) or time.monotonic() - waiting_since > self._patience:
                raise NoWorkers(self._nobody())
            elif not told and time.monotonic() - waiting_since > TELL:
                self._log("no worker is ready yet: they have no place or no card, or load their models")
                told = True

    def _fill_up(self, order: Order) -> float:
        """Start workers that are missing, once it is time; returns the seconds that nothing is to be done."""
        while len(self._members) < self._crew.size and (self._any_ready(order) or not self._is_in_vain):
            if (left := self._not_before - time.monotonic()) > 0:
                return min(left, LOOK)
            self._ask(self._start(), None, "prepare", order)
        return LOOK

    def _any_ready(self, order: Order) -> bool:
        return any(member.ready == order.number for member in self._members.values())

    @property
    def _is_in_vain(self) -> bool:
        return self._in_vain >= FATAL * self._crew.size

    def _hand_out(self, order: Order, pieces: Pieces) -> bool:
        """Give each worker that is ready one piece, then each a second; returns whether there is anything left."""
        ready = [member for member in self._members.values() if member.ready == order.number]
        for have in range(AT_ONCE):
            for member in [member for member in ready if len(member.doing) == have]:
                if any(piece.ended for piece in member.doing):
                    continue
                if (piece := pieces.take(not have, len(self._members) - 1)) is not None:
                    self._ask(member, piece, "measure", order, piece.batch.rows, piece.batch.made)
        return pieces.left or any(member.doing for member in self._members.values())

    def _ask(self, member: _Member, piece: Piece | None, method: str, *arguments: object) -> None:
        self._tickets += 1
        member.tickets[self._tickets] = piece
        self._crew.ask(member.number, self._tickets, method, *arguments)

    def _took(
        self, order: Order, pieces: Pieces, number: int, ticket: int, reply: Answer | Raised | Ended
    ) -> Iterator[tuple[Batch, Results]]:
        """What a worker said; results are handed on."""
        member = self._members[number]
        if isinstance(reply, Ended):
            yield from self._lost(member, pieces, reply.reason)
        elif ticket in member.tickets:  # else of a measurement that was broken off
            piece = member.tickets.pop(ticket)
            if isinstance(reply, Raised):
                raise reply.error()
            member.who = reply.who
            member.use.add(len(reply.results), reply.seconds, reply.devices, reply.peak_memory)
            if piece is None:
                member.ready, self._in_vain = order.number, 0
            else:
                yield piece.batch, reply.results

    def _start(self) -> _Member:
        self._started += 1
        member = self._members[self._started] = _Member(self._started)
        self._crew.start(member.number)
        return member

    def _lost(self, member: _Member, pieces: Pieces, reason: str) -> Iterator[tuple[Batch, Results]]:
        """A worker has ended: its pieces go to others."""
        del self._members[member.number]
        member.use.ended = reason
        self._gone[member.name] = member.use
        self._reasons[reason] = None
        lost = pieces.give_back(member.doing)
        if lost is not None:
            text = f"the {counted(lost.ended, 'worker')} that measured it ended, the last by {reason}"
            yield lost.batch, [Failure("worker_ended", text)]
        self._log(f"{member.name} has ended ({reason}); what it had is measured by others")
        # Who was ready shows that others can be.
        self._in_vain = 0 if member.ready else self._in_vain + 1
        if (beyond := self._in_vain - self._crew.size) >= 0:
            self._not_before = time.monotonic() + min(self._pause * 2.0**beyond, LONGEST_PAUSE)

    def _nobody(self) -> str:
        wanted = counted(self._crew.size, "worker")
        why = f"ended ({'; '.join(listed([*self._reasons], LISTED))})" if self._reasons else "did not come"
        return (
            f"Of {wanted} none is left: they {why}. What was measured is kept. See to the machines, or run without "
            "workers (`--set workers.backend=none`); the next run goes on from here."
        )

    def give_way(self) -> None:
        """Workers let go of models on accelerators, and are ready for nothing."""
        for member in self._members.values():
            member.ready = 0
            self._ask(member, None, "rest")

    def uses(self) -> Mapping[str, WorkerUse]:
        told = {**self._gone, **{member.name: member.use for member in self._members.values() if member.use.rows}}
        self._gone = {}
        for member in self._members.values():
            member.use = WorkerUse()
        return told

    def close(self) -> None:
        """End all workers. Whatever was handed to them is forgotten."""
        self._members.clear()
        if self._opened is not None:
            self._opened.close()

    @property
    def _crew(self) -> Crew:
        if self._opened is None:
            self._opened = self._open_crew()
        return self._opened
