"""One row fails alone, its batch is measured, in few calls; what is no fault of a row stops everything."""

import errno
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.stages.steps import Measurement, Work

ROWS: list[Row] = [{"number": number} for number in range(64)]


def _measuring(run: Callable[[Sequence[Row], Work], Sequence[Any]], size: int = 64, expands: bool = False) -> Batches:
    step = Measurement("double", (pa.field("double", pa.float64()),), ("number",), run, expands=expands)
    return Batches(step, cast(Work, None), size)


def _double(rows: Sequence[Row]) -> list[Row]:
    return [{"double": 2.0 * row["number"]} for row in rows]


def test_rows_at_fault_are_set_apart_from_their_batch() -> None:
    sizes = []

    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        sizes.append(len(rows))
        if any(row["number"] in (5, 40) for row in rows):
            raise KeyError("no such word")
        return _double(rows)

    results = _measuring(run).run(ROWS)
    assert {index for index, result in enumerate(results) if isinstance(result, Failure)} == {5, 40}
    assert results[5] == Failure("key", "'no such word'")
    assert results[6] == [{"double": 12.0}]
    assert len(sizes) == 1 + 2 * 2 + 4 * 5 - 2, "two rows are found by halving, six times each but for the first call"


def test_a_batch_that_fails_whole_costs_at_most_two_calls_a_row() -> None:
    calls = []

    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        calls.append(len(rows))
        raise ValueError("bad")

    assert _measuring(run).run(ROWS) == [Failure("value", "bad")] * 64
    assert len(calls) == 127


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("image\n file  is truncated"), Failure("value", "image file is truncated")),
        (RuntimeError(), Failure("runtime", "RuntimeError")),
        (MemoryError(), Failure("out_of_memory", "MemoryError")),
        (FloatingPointError("NaN"), Failure("floating_point", "NaN")),
        (Exception("x" * 900), Failure("exception", "x" * 500)),
    ],
)
def test_kind_and_message_of_a_failure_are_never_empty(error: Exception, failure: Failure) -> None:
    assert Failure.of(error) == failure


def test_a_row_may_fail_alone_without_an_exception_for_all() -> None:
    calls = []

    def run(rows: Sequence[Row], work: Work) -> list[Any]:
        calls.append(len(rows))
        return [ValueError("no answer") if row["number"] == 3 else {"double": 0.0} for row in rows]

    results = _measuring(run).run(ROWS[:5])
    assert results == [[{"double": 0.0}]] * 3 + [Failure("value", "no answer"), [{"double": 0.0}]]
    assert calls == [5]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), np.float32("nan"), np.float64("inf")])
@pytest.mark.parametrize("expands", [False, True])
def test_a_score_that_is_no_number_fails_its_row(value: Any, expands: bool) -> None:
    def run(rows: Sequence[Row], work: Work) -> list[Any]:
        scores = [{"double": value if row["number"] == 1 else 1.0} for row in rows]
        return [[{"double": 1.0}, score] for score in scores] if expands else scores

    results = _measuring(run, expands=expands).run(ROWS[:3])
    assert results[1] == Failure("not_finite", "double gave double that is not a finite number")
    assert not any(isinstance(result, Failure) for result in (results[0], results[2]))


def _with_memory_for(count: int, sizes: list[int]) -> Callable[[Sequence[Row], Work], list[Row]]:
    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        import torch

        sizes.append(len(rows))
        if len(rows) > count:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return _double(rows)

    return run


def test_what_fits_into_memory_is_found_out_once() -> None:
    sizes: list[int] = []
    measuring = _measuring(_with_memory_for(10, sizes))
    assert measuring.run(ROWS) == [[row] for row in _double(ROWS)]
    assert sizes == [64, 32, 16, *[8] * 8]
    assert measuring.batch_size == 8
    assert measuring.run(ROWS[:16]) == [[row] for row in _double(ROWS[:16])]
    assert sizes[-2:] == [8, 8]


def test_a_row_too_large_alone_makes_no_other_batch_smaller() -> None:
    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        if any(row["number"] == 7 for row in rows):
            raise MemoryError
        return _double(rows)

    measuring = _measuring(run)
    results = measuring.run(ROWS)
    assert [index for index, result in enumerate(results) if isinstance(result, Failure)] == [7]
    assert measuring.batch_size == 64


def test_memory_is_handed_back_before_a_smaller_batch_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Activations:
        """What a failed batch leaves behind."""

    left: list[weakref.ref[Activations]] = []
    released = []

    def release() -> None:
        released.append([activations() for activations in left])

    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        activations = Activations()
        left.append(weakref.ref(activations))
        return _with_memory_for(1, [])(rows, work)

    monkeypatch.setattr("resources.loading.devices.release_memory", release)
    assert not any(isinstance(result, Failure) for result in _measuring(run).run(ROWS[:2]))
    assert released == [[None]], "once, when nothing holds on to the failed batch"


def test_a_damaged_input_hands_back_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.loading.devices.release_memory", lambda: pytest.fail("memory was not short"))
    assert _measuring(lambda rows, work: [][1]).run(ROWS[:1]) == [Failure("index", "list index out of range")]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("CUDA error: device-side assert triggered"),
        ConnectionError("the server does not answer"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_is_no_rows_fault_stops_at_once(error: BaseException) -> None:
    calls = []

    def run(rows: Sequence[Row], work: Work) -> list[Row]:
        calls.append(len(rows))
        raise error

    with pytest.raises(type(error)):
        _measuring(run).run(ROWS)
    assert calls == [64]


def test_a_measurement_that_loses_rows_is_found_out() -> None:
    results = _measuring(lambda rows, work: _double(rows)[1:]).run(ROWS[:2])
    assert results == [Failure("runtime", "double gave 0 results for 1 rows")] * 2
