"""Runs that are killed while a batch service is asked: whatever is killed when, nothing is paid for twice."""

import datetime
import os
import random
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import openai
import pytest

from imgdiff_assets.engine import by_letter
from imgdiff_assets.engine.by_letter import AnswersPending
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe
from tests.apart import CONTEXT
from tests.asked_by_letter import COLOURS, asking, colour_of, new_home, paid_once, rewritten, run, table
from tests.batch_server import BatchServer

NEVER = 10_000
NO_TIME = datetime.timedelta(0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    """Where a test goes on, all that was sent has arrived."""
    monkeypatch.setattr(by_letter, "ON_ITS_WAY", NO_TIME)
    with BatchServer(rewritten).serving() as batches:
        yield batches


def _attempt(root: Path, base_url: str, point: int, steps: Any = None) -> None:
    """One run that ends itself at its n-th step: before or after a request, or a file that becomes durable."""
    by_letter.ON_ITS_WAY = NO_TIME
    send, replace = openai.DefaultHttpxClient.send, os.replace
    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        if steps is not None:
            steps.put(name)
        if done == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def sent(client: openai.DefaultHttpxClient, request: Any, **more: Any) -> Any:
        step(f"before {request.method} {request.url.path}")
        response = send(client, request, **more)
        step(f"after {request.method} {request.url.path}")
        return response

    def replaced(source: Any, target: Any, **more: Any) -> None:
        step(f"before {Path(target).name}")
        replace(source, target, **more)
        step(f"after {Path(target).name}")

    openai.DefaultHttpxClient.send, os.replace = sent, replaced  # type: ignore[method-assign]
    with suppress(AnswersPending):
        run(Home(root), asking(base_url))


def attempt(home: Home, server: BatchServer, point: int = NEVER, request: int = NEVER) -> int:
    """A run in a process of its own, killed at its n-th step or when its n-th request arrives; how it ended."""
    process = CONTEXT.Process(target=_attempt, args=(home.root, server.base_url, point))
    arrived = 0

    def count(what: str) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == request and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            wait([process.sentinel])

    server.arrived = count
    process.start()
    process.join()
    server.wait()
    server.arrived = lambda what: None
    assert process.exitcode in (0, -signal.SIGKILL)
    return int(process.exitcode)


def steps_of(home: Home, server: BatchServer) -> list[str]:
    steps = CONTEXT.SimpleQueue()
    process = CONTEXT.Process(target=_attempt, args=(home.root, server.base_url, NEVER, steps))
    process.start()
    process.join()
    found = []
    while not steps.empty():
        found.append(steps.get())
    return found


def finished(home: Home, recipe: Recipe, server: BatchServer) -> None:
    for _ in range(4):
        try:
            run(home, recipe)
        except AnswersPending:
            server.work()
        else:
            return
    raise AssertionError("it does not come to an end")


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", ["metadata", "input_file_id"])
def test_a_batch_is_found_whose_creation_was_not_heard_of(server: BatchServer, tmp_path: Path, forgotten: str) -> None:
    home = new_home(tmp_path)
    server.forgets = frozenset({forgotten})
    asked = ["GET /v1/models", "POST /v1/files", "POST /v1/batches"]
    assert attempt(home, server, request=len(asked)) == -signal.SIGKILL
    assert len(server.batches) == 1, "it was created when nobody waited for it any more"
    finished(home, asking(server.base_url), server)
    assert (len(server.batches), paid_once(server)) == (1, True)


@pytest.mark.long
def test_a_kill_at_any_step_pays_nothing_twice(server: BatchServer, tmp_path: Path) -> None:
    recipe = asking(server.base_url)
    plain = new_home(tmp_path / "plain")
    first = steps_of(plain, server)
    server.work()
    second = steps_of(plain, server)
    assert {"before POST /v1/batches", "after POST /v1/batches", "after POST /v1/files"} <= set(first)
    assert sum("asked.json" in step for step in first) == 4, "noted before it is created, and after"
    expected = table(plain)
    for rounds, steps in ((0, first), (1, second)):
        for point in range(1, len(steps) + 1):
            server.paid.clear()
            home = new_home(tmp_path / f"{rounds}-{point}")
            if rounds:
                attempt(home, server)
                server.work()
            assert attempt(home, server, point) == -signal.SIGKILL
            finished(home, recipe, server)
            assert paid_once(server), (steps[point - 1], server.paid)
            assert table(home).equals(expected), steps[point - 1]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_kills_one_after_the_other_pay_nothing_twice(server: BatchServer, tmp_path: Path, seed: int) -> None:
    """At random steps, and when random requests arrive, while batches are answered, expire in part, or fail."""
    rng = random.Random(seed)
    home = new_home(tmp_path)
    for _ in range(rng.randint(2, 6)):
        attempt(home, server, **{rng.choice(["point", "request"]): rng.randint(1, 24)})
        lost = set(rng.sample(COLOURS, rng.randint(0, 3)))

        def answer(request: Mapping[str, Any], lost: set[str] = lost) -> str | None:
            return None if colour_of(request) in lost else rewritten(request)

        server.answer = answer
        if rng.random() < 0.6:
            server.work("expired" if lost else rng.choice(["completed", "failed", "cancelled"]))
    server.answer = rewritten
    finished(home, asking(server.base_url), server)
    assert paid_once(server), server.paid
