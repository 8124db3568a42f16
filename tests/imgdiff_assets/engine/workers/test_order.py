"""What a worker meets reaches the driver as what it is, whatever its class asks for."""

import errno
import pickle
from pathlib import Path

import pytest

from imgdiff_assets.common.errors import is_expected, sentence
from imgdiff_assets.engine.workers.order import Raised
from imgdiff_assets.ledger.checked_file import Damage, DamagedTable
from resources.loading.failures import WeightsMissing, is_of_the_machine


class Odd(Exception):
    """Holds what no other process can be given."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} odd things")
        self.held = lambda: count


@pytest.mark.parametrize(
    "error",
    [
        DamagedTable(Path("a/rows.parquet"), "torn", [Damage(0, 2, "kept")]),
        WeightsMissing("no weights: fetch them"),
        OSError(errno.ENOSPC, "No space left on device", "/tmp/x"),
        FileNotFoundError(2, "No such file", "a"),
        KeyError("word"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_as_they_were_raised(error: Exception) -> None:
    came = pickle.loads(pickle.dumps(Raised.of(error, "worker 1"))).error()
    assert (type(came), str(came), sentence(came)) == (type(error), str(error), sentence(error))
    assert (is_expected(came), is_of_the_machine(came)) == (is_expected(error), is_of_the_machine(error))
    assert vars(came) == vars(error)
    assert "In worker 1:" in came.__notes__[0]


def test_one_that_cannot_be_sent_comes_as_what_it_says() -> None:
    came = pickle.loads(pickle.dumps(Raised.of(Odd(3), "worker 1"))).error()
    assert repr(came) == "RuntimeError('Odd: 3 odd things')"
