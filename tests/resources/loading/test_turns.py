"""Who may have models on an accelerator: processes in turn, and a kill ends a turn too."""

import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from resources.loading import turns
from resources.loading.file_lock import held
from tests.apart import CONTEXT

ACCELERATOR = "xla:0"


@pytest.fixture(autouse=True)
def nothing_taken() -> Iterator[None]:
    yield
    turns.give_back()


def _have(folder: Path, parent: Connection) -> None:
    with turns.taking_turns(folder, "run abc", parent.send):
        turns.wait_for(ACCELERATOR)
    parent.send("mine")
    parent.recv()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[Any, Connection]]:
    """Another process that has the accelerator until it is sent something or killed."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_have, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == "mine"
    yield process, ours
    process.kill()
    process.join()
    ours.close()
    theirs.close()


def test_an_accelerator_is_waited_for_and_a_cpu_is_not(tmp_path: Path, other: tuple[Any, Connection]) -> None:
    process, connection = other
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        threading.Timer(0.1, connection.send, ("end",)).start()

    with turns.taking_turns(tmp_path, "run def", hear):
        for device in ("cpu", "cpu:0", "xla:1"):
            turns.wait_for(device)
        assert said == []
        turns.wait_for(ACCELERATOR)
        turns.wait_for(ACCELERATOR)
    process.join()
    assert process.exitcode == 0
    assert said == ["xla:0 is held by run abc; waiting for it to finish"]


def test_a_killed_process_has_nothing(tmp_path: Path, other: tuple[Any, Connection]) -> None:
    other[0].kill()
    other[0].join()
    with turns.taking_turns(tmp_path, "run def", lambda text: pytest.fail(text)):
        turns.wait_for(ACCELERATOR)
    assert turns.any_taken()


def test_of_several_the_first_that_is_free_is_taken_and_then_kept(
    tmp_path: Path, other: tuple[Any, Connection]
) -> None:
    with turns.taking_turns(tmp_path, "run def", lambda text: pytest.fail(text)):
        assert turns.wait_for_one([ACCELERATOR, "xla:1", "xla:2"]) == "xla:1"
        other[0].kill()
        other[0].join()
        assert turns.wait_for_one([ACCELERATOR, "xla:1", "xla:2"]) == "xla:1"


def test_where_none_is_free_whichever_comes_first_is_taken(tmp_path: Path, other: tuple[Any, Connection]) -> None:
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        other[1].send("end")

    with held(tmp_path / "xla:1", "xla:1", "run ghi"), turns.taking_turns(tmp_path, "run def", hear):
        assert turns.wait_for_one(["xla:1", ACCELERATOR]) == ACCELERATOR
    assert said == ["xla:1 is held by run ghi; xla:0 is held by run abc; waiting for it to finish"]


@pytest.mark.parametrize("note", [None, "", "run abc"])
def test_who_has_something_is_told_as_far_as_it_is_known(tmp_path: Path, note: str | None) -> None:
    lock, said = FileLock(tmp_path / "thing.lock"), []
    lock.acquire()
    if note is not None:
        (tmp_path / "thing.holder").write_text(note)

    def hear(text: str) -> None:
        said.append(text)
        lock.release()

    with held(tmp_path / "thing", "the thing", "this test", hear):
        assert said == [f"the thing is held by {note or 'another run'}; waiting for it to finish"]
    assert not (tmp_path / "thing.holder").exists()


def test_where_no_turns_are_taken_nobody_waits(other: tuple[Any, Connection]) -> None:
    turns.wait_for(ACCELERATOR)
    assert not turns.any_taken()
