"""Which rows are measured next, and by whom: what a worker ended with goes to one that has nothing else."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from imgdiff_assets.engine.measurer import Batch

FATAL = 3
"""A batch that so many workers ended with is halved; a half, whenever one more does."""


@dataclass(eq=False, slots=True)
class Piece:
    """A batch or a part of one; `ended` is how many workers did while they measured it."""

    batch: Batch
    ended: int = 0


@dataclass(slots=True)
class Pieces:
    """The pieces of a measurement that nobody has: those that came back, then the batches that are not begun."""

    batches: Iterator[Batch]
    back: deque[Piece] = field(default_factory=deque)
    coming: deque[Batch] = field(default_factory=deque)
    at_end: bool = False

    @property
    def left(self) -> bool:
        """Whether nobody has some of them; not sure of it until one has been asked for in vain."""
        return bool(self.back or self.coming) or not self.at_end

    def take(self, idle: bool, others: int = 0) -> Piece | None:
        """The next piece for a worker that is `idle`, or measures another; None where there is none for it.

        One that measures another leaves the last batches to the `others`: whoever is done first has one at once.
        """
        for piece in self.back if idle else [piece for piece in self.back if not piece.ended]:
            self.back.remove(piece)
            return piece
        kept = 0 if idle else others
        while len(self.coming) <= kept and not self.at_end:
            batch = next(self.batches, None)
            self.at_end = batch is None
            self.coming.extend([] if batch is None else [batch])
        return Piece(self.coming.popleft()) if len(self.coming) > kept else None

    def give_back(self, doing: list[Piece]) -> Piece | None:
        """What a worker had that ended: the first it was measuring, the others it was not.

        Returns a piece that is lost: a single row that nobody survives.
        """
        for piece in reversed(doing[1:]):
            self.back.appendleft(piece)
        if not doing:
            return None
        first = doing[0]
        first.ended += 1
        if first.ended < FATAL:
            self.back.append(first)
        elif len(first.batch.rows) == 1:
            return first
        else:
            self.back.extend(Piece(half, FATAL - 1) for half in first.batch.halves())
        return None
