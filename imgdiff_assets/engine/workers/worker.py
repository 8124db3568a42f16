"""What a worker does, in its own process: it reads the images of one batch while it measures another."""

import os
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from threading import Lock

from pydantic import ValidationError

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.measurer import Results
from imgdiff_assets.engine.workers.order import Answer, Order, Raised
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.ledger.images import ErasedImages, StoredImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import stage_named
from resources.loading import devices, turns
from resources.loading.failures import is_accelerator_lost
from resources.loading.settings import ModelSettings

READ_AHEAD = 200_000_000
"""Bytes of decoded images that wait for their batch; what is beyond is read when it is asked for."""


class OtherModel(ImgDiffError, RuntimeError):
    """A worker's model or code is not the driver's: what it measured would be remembered as the driver's own."""


class Worker:
    """Measures batches, called by two threads at once: while one of them measures, the other makes ready.

    With `takes_turns`, it waits for accelerators that other processes of its machine have.
    """

    def __init__(self, takes_turns: bool) -> None:
        self.name = f"process {os.getpid()} on {platform.node()}"
        self._takes_turns = takes_turns
        self._open = ExitStack()
        self._reading, self._measuring = Lock(), Lock()
        self._at: _Assignment | None = None

    def prepare(self, order: Order) -> Answer | Raised:
        """Compare the models of an order with the driver's, and load them."""
        try:
            started = time.monotonic()
            with self._reading:
                assignment = self._assigned(order)
            with self._measuring:
                assignment.load()
            return assignment.answer([], started)
        except Exception as error:
            return self._raised(error)

    def measure(self, order: Order, rows: Sequence[Row], made: Mapping[str, CellReference]) -> Answer | Raised:
        """Measure a batch."""
        try:
            with ExitStack() as turn:
                with self._reading:
                    assignment = self._assigned(order)
                    ahead = assignment.read(rows, made)
                    # Before another reads: so batches are measured in the order in which they came.
                    turn.enter_context(self._measuring)
                started = time.monotonic()
                assignment.work.ahead = ahead
                try:
                    return assignment.answer(assignment.in_parts(assignment.batches.run(rows)), started)
                finally:
                    assignment.work.ahead = {}  # who waits for work holds no images
        except Exception as error:
            return self._raised(error)

    def rest(self) -> Answer:
        """Let go of all models, for others wait for their room."""
        with self._measuring:
            devices.give_way()
        return Answer(self.name)

    def _raised(self, error: Exception) -> Raised:
        if is_accelerator_lost(error):  # by this process: whoever takes its place may have it again
            traceback.print_exception(error)
            os._exit(1)
        return Raised.of(error, self.name)

    def _assigned(self, order: Order) -> "_Assignment":
        if self._at is None or self._at.order.number != order.number:
            with self._measuring:
                if self._at is None:
                    self._begin(order)
                else:
                    self._at.close()
                self._at = _Assignment(order, self.name)
        return self._at

    def _begin(self, order: Order) -> None:
        """Whoever has an accelerator of this machine is asked for it where runs over the ledger ask, too."""
        if self._takes_turns:
            locks = Ledger(order.sources.ledger).locks
            self._open.enter_context(turns.taking_turns(locks, f"worker ({self.name})", lambda text: None))


class _Assignment:
    """An order as this process carries it out: two sets of open images, for two threads ask for them."""

    def __init__(self, order: Order, who: str) -> None:
        self.order, self._who = order, who
        self._models = LoadedModels.shared({role: self._usable(role) for role in order.models})
        self._step = next(step for step in stage_named(order.stage).measurements if step.name == order.step)
        if self._step.version != order.version:
            raise OtherModel(
                f"{who} has another version of {order.stage}.{order.step} ({self._step.version}) than the run "
                f"({order.version}): install the same release of imgdiff-assets there."
            )
        self._reader = order.sources.open(self._models)
        self.work = order.sources.open(self._models)
        self.work.settings = order.settings
        self._made: dict[str, CellReference] = {}
        if order.stage == ErasedImages.asset:
            self.work.erased_images = StoredImages(ErasedImages.columns, self._made.__getitem__)
        self.batches = Batches(self._step, self.work, order.batch_size)
        devices.begin_peaks()

    def _usable(self, role: str) -> ModelSettings:
        """The settings of a role, checked against what is installed here."""
        settings = self.order.models[role]
        try:
            return type(settings).model_validate(settings.model_dump())
        except ValidationError as error:
            told = "; ".join(mistake["msg"] for mistake in error.errors())
            raise OtherModel(f"{self._who} cannot run the {role}: {told}.") from None

    def load(self) -> None:
        """Raises OtherModel before any model is loaded."""
        for role, known in self.order.identities.items():
            own = self._models.identity(role)
            if own != known:
                theirs, ours = (str(each.get("weights"))[:16] for each in (known, own))
                raise OtherModel(
                    f"The {role} of {self._who} is not the run's: its weights are {ours}, the run's {theirs}. Bring "
                    "the same model there (`imgdiff models pull`), and run again."
                )
        for role in self.order.models:
            self.work.model(role)

    def read(self, rows: Sequence[Row], made: Mapping[str, CellReference]) -> dict[str, tuple[Pixels, Pixels]]:
        """The image pairs of a batch, decoded; one that cannot be is left to its row, to fail by itself."""
        self._made.update(made)
        found: dict[str, tuple[Pixels, Pixels]] = {}
        left = READ_AHEAD
        if self._reader.pair_images is None:
            return found
        for identity in dict.fromkeys(row["pair_id"] for row in rows if "pair_id" in row):
            if left <= 0:
                break
            try:
                found[identity] = self._reader.images(identity)
            except Exception:  # whatever it is, it is raised again where the row asks for it
                continue
            left -= sum(image.nbytes for image in found[identity])
        return found

    def in_parts(self, results: Results) -> Results:
        """The same with the places of images, which this process puts into a part: they do not travel to the driver.

        The driver holds the table's lock meanwhile.
        """
        names = [column.name for column in self._step.columns if is_image(column)]
        made = [row for result in results if not isinstance(result, Failure) for row in result]
        if not names or not made:
            return results
        order = self.order
        kept = iter(Ledger(order.sources.ledger).parts(order.stage, order.sources.shard).keep(made, names))
        return [result if isinstance(result, Failure) else [next(kept) for _ in result] for result in results]

    def answer(self, results: Results, started: float) -> Answer:
        roles = self.order.models
        peaks = {role: self._models.peak_memory(role) for role in roles}
        return Answer(
            self._who,
            results,
            time.monotonic() - started,
            {role: self._models.device(role) for role in roles},
            {role: peak for role, peak in peaks.items() if peak is not None},
        )

    def close(self) -> None:
        self._reader.close()
        self.work.close()
