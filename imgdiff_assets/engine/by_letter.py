"""Measuring by a batch service: a run sends the questions of a measurement, and a later one finds the answers.

All rows are gone through as ever. A question whose answer has come gets it; any other is put into a letter, and its
row waits. So a measurement that asks a second question by the first one's answer takes two rounds. Whatever kills a
run, between any two steps, the next one finds by the notes what was sent:

    upload the questions ─► note them ─► create the batch ─► note its id ─► collect, measure, stage, commit ─► no notes
"""

import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.engine.batches import Failure
from imgdiff_assets.engine.measurer import Task
from imgdiff_assets.ledger.batch_notes import BatchNote, BatchNotes
from resources import batch_service
from resources.asked_later import AnswerPending, Letters, asked_later
from resources.loading.settings import ChatModelSettings

PENDING = Failure.of(AnswerPending()).kind

ON_ITS_WAY = datetime.timedelta(minutes=2)
"""For so long after the note of it, a batch that the service does not list may yet be created: a request outlives
who sent it."""


LISTED = 3


class AnswersPending(ImgDiffError):
    """A table that waits for a batch service: nothing failed, what was measured is kept, a later run goes on."""


def asked_by_letter(task: Task) -> ChatModelSettings | None:
    """The settings of a role that the measurement asks by a batch service, if there is one."""
    settings = [task.work.models.settings(role) for role in task.step.roles]
    return next((each for each in settings if isinstance(each, ChatModelSettings) and each.batches), None)


class ByLetter:
    """The letters of one measurement of a table, whose lock is held; `confirm` raises LeaseLost when it is not."""

    def __init__(
        self, settings: ChatModelSettings, notes: BatchNotes, what: str, log: Say, confirm: Callable[[], None]
    ) -> None:
        self._settings, self._notes, self._what, self._log, self._confirm = settings, notes, what, log, confirm
        self._letters = Letters()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Collect what has come; until the block ends, models answer by that, and what they are asked is noted."""
        lost: dict[str, str] = {}
        for note in self._notes.all():
            lost |= self._collect(note)
        self._tell({known_by: why for known_by, why in lost.items() if not self._is_seen_to(known_by)})
        with asked_later(self._letters):
            yield

    def _collect(self, note: BatchNote) -> dict[str, str]:
        """Take what has come of one batch; returns by question why it was lost there."""
        settings = self._settings.model_copy(update={"base_url": note.base_url, "model": note.model})
        if note.batch is None:
            found = batch_service.find(settings, note.file, note.tag)
            if found is None and note.is_younger(ON_ITS_WAY):
                self._letters.waiting.update(note.asked)
                return {}
            if found is None:  # a kill came before it was created
                self._notes.delete(note)
                return {}
            note = note.created(found)
            self._notes.write(note)
        try:
            collected = batch_service.collect(settings, str(note.batch), frozenset(note.asked))
        except batch_service.BatchGone as gone:
            told = f"{gone} To have its questions asked, and paid for, again, delete {self._notes.path(note)}."
            raise batch_service.BatchGone(told) from gone
        self._letters.answers.update(collected.answers)
        if not collected.over:
            self._letters.waiting.update(note.asked)
            self._notes.write(note.under_way())
        return {known_by: f"batch {note.batch}: {why}" for known_by, why in collected.lost.items()}

    def _is_seen_to(self, known_by: str) -> bool:
        """Whether another batch, a later one, has answered a question or is about to."""
        return known_by in self._letters.answers or known_by in self._letters.waiting

    def _tell(self, lost: dict[str, str]) -> None:
        if lost:
            why = "; ".join(f"{text} ({count})" for text, count in Counter(lost.values()).most_common(3))
            told = counted(len(lost), "question")
            self._log(f"{self._what}: {told} left unanswered; what is still wanted is asked again: {why}")

    def send(self, all_of_them: bool) -> None:
        """Send what is unsent; unless `all_of_them`, only once it fills a file."""
        unsent = self._letters.unsent
        while unsent and (batch := self._file(all_of_them)):
            settings = unsent[batch[0]].settings
            file = batch_service.upload(settings, {known_by: unsent[known_by].request for known_by in batch})
            note = BatchNote.of(str(settings.base_url), settings.model, batch, file)
            self._notes.write(note)
            self._confirm()  # another run may have taken over while it was uploaded
            self._notes.write(note.created(batch_service.create(settings, file, note.tag)))
            self._letters.waiting.update(batch)
            for known_by in batch:
                del unsent[known_by]

    def _file(self, all_of_them: bool) -> list[str]:
        """The ids of what goes into one file: of one server and model. None where it is not full."""
        unsent = self._letters.unsent
        first = next(iter(unsent.values())).settings
        ids: list[str] = []
        size = 0
        for known_by, one in unsent.items():
            if (one.settings.base_url, one.settings.model) != (first.base_url, first.model):
                continue
            size += one.size
            if ids and (size > batch_service.MOST_BYTES or len(ids) == batch_service.MOST_REQUESTS):
                return ids
            ids.append(known_by)
        return ids if all_of_them else []

    def pending(self, rows: int) -> AnswersPending:
        """What to raise where rows wait for answers."""
        notes = [note for note in self._notes.all() if self._letters.waiting.intersection(note.asked)]
        told = "; ".join(listed([note.to_text() for note in notes], LISTED))
        return AnswersPending(
            f"{self._what}: {counted(rows, 'row')} wait for answers ({told}); a later `imgdiff run` collects them."
        )
