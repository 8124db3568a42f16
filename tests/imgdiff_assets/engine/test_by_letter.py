"""Stages whose models are asked by a batch service: what is sent, told, and paid for, whatever is killed."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.engine.by_letter import AnswersPending
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.batch_notes import BatchNotes, DamagedNote
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources import batch_service
from resources.captioner import CaptionerSettings
from resources.chat_server import ServedCaptioner
from resources.completions import NEWER_LIMIT
from resources.loading.failures import ModelUnavailable
from tests.answering_server import MODEL, answering
from tests.batch_server import BatchServer, Outcome

SHARD = "shard-000000"
COLOURS = ("red", "blue", "green", "pink", "white")
OTHERWISE = {"run_id", "measured_at"}


def rewritten(request: Mapping[str, Any]) -> str:
    return f"a {_colour(request)} cup on the grass"


def _colour(request: Mapping[str, Any]) -> str:
    found = re.findall(r"a (\w+) ball on the grass", request["messages"][0]["content"])
    return str(found[-1])


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(rewritten).serving() as batches:
        yield batches


def new_home(folder: Path) -> Home:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "captions.txt").write_text("".join(f"a {colour} ball on the grass\n" for colour in COLOURS))
    home = Home(folder / "home")
    ingest([folder / "captions.txt"], home)
    return home


def asking(base_url: str, *more: str, batches: bool = True) -> Recipe:
    served = {"model": MODEL, "base_url": base_url, "batch_size": 2, "max_retries": 0, "batches": str(batches).lower()}
    told = [f"prompt_rewriter.{name}={value}" for name, value in served.items()]
    return load_recipe("miniature", ["prompt_pairs.answer_pattern='(?s)(?P<caption>.+)'", *told, *more])


def run(home: Home, recipe: Recipe, log: Callable[[str], None] = lambda text: None) -> Materialization:
    stage = stage_named("prompt_pairs").under(recipe)
    inputs = read_inputs(stage, home, SHARD)
    return materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), shared_models(recipe), "run", log)


def table(home: Home, name: str = "prompt_pairs", without: set[str] = OTHERWISE) -> pa.Table:
    found = Ledger(home.ledger).read(name, SHARD)
    return found.select([column for column in found.column_names if column not in without])


def sends(home: Home, recipe: Recipe, message: str = "5 rows wait for answers") -> None:
    with pytest.raises(AnswersPending, match=message):
        run(home, recipe)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


def paid_once(server: BatchServer) -> bool:
    return sorted(server.paid.values()) == [1] * len(COLOURS)


def test_one_run_sends_and_a_later_one_collects(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)
    sends(home, recipe, rf"prompt_pairs of {SHARD}, .*: 5 rows wait for answers of {server.base_url} since 20..-")
    sends(home, recipe)
    (batch,) = server.batches.values()
    assert len(server.requests(batch)) == len(COLOURS)
    assert not Ledger(home.ledger).exists("prompt_pairs", SHARD), "no row failed, and none has had a try"
    server.work()
    record = run(home, recipe)
    assert (record.measured, record.errors, record.tries, record.calls) == (5, 0, 0, record.calls)
    assert (len(server.batches), server.plain, paid_once(server)) == (1, 0, True)
    assert not Ledger(home.ledger).staging("prompt_pairs", SHARD).exists()
    assert not run(home, recipe).changed


def test_an_answer_is_the_same_however_it_was_asked(home: Home, server: BatchServer, tmp_path: Path) -> None:
    with answering(rewritten) as (base_url, requests):
        at_once = new_home(tmp_path / "other")
        run(at_once, asking(base_url, batches=False))
        sends(home, asking(server.base_url))
        server.work()
        run(home, asking(server.base_url))
        assert table(home).equals(table(at_once)), "and the fingerprints are the same"
        by_colour = [
            sorted(asked, key=lambda request: COLOURS.index(_colour(request)))
            for asked in ([each["body"] for each in server.requests(server.batches["batch-0"])], requests)
        ]
        assert by_colour[0] == by_colour[1], "each is told the same"
        assert not run(home, asking(base_url, batches=False)).changed
    assert asking(server.base_url).hash == asking(server.base_url, batches=False).hash


def test_what_expired_is_told_and_asked_again_and_nothing_else_is(home: Home, server: BatchServer) -> None:
    recipe, told = asking(server.base_url), list[str]()
    server.answer = lambda request: None if _colour(request) in ("blue", "pink") else rewritten(request)
    sends(home, recipe)
    server.work("expired")
    with pytest.raises(AnswersPending, match="2 rows wait"):
        run(home, recipe, told.append)
    assert "2 questions left unanswered" in told[0]
    assert "batch batch-0: it was not done in time (2)" in told[0]
    told.clear()
    with pytest.raises(AnswersPending, match="2 rows wait"):
        run(home, recipe, told.append)
    assert told == [], "what is under way again is not told again"
    server.answer = rewritten
    server.work()
    assert run(home, recipe).errors == 0
    assert (len(server.batches), paid_once(server)) == (2, True)


def test_a_batch_that_failed_is_told_and_sent_again(home: Home, server: BatchServer) -> None:
    recipe, told = asking(server.base_url), list[str]()
    sends(home, recipe)
    server.work("failed")
    with pytest.raises(AnswersPending):
        run(home, recipe, told.append)
    assert "too much is enqueued (5)" in told[0]
    server.work()
    run(home, recipe)
    assert (len(server.batches), paid_once(server)) == (2, True)


def test_a_question_that_is_refused_is_its_row_s_error_and_asked_again_by_the_next_run(
    home: Home, server: BatchServer
) -> None:
    recipe = asking(server.base_url, "max_error_share=1")
    server.answer = lambda request: 400 if _colour(request) == "green" else rewritten(request)
    sends(home, recipe)
    server.work()
    record = run(home, recipe)
    assert (record.measured, record.errors, record.tries) == (4, 1, 1)
    (failed,) = [row for row in Ledger(home.ledger).read("prompt_pairs", SHARD).to_pylist() if row["error"]]
    assert (failed["source_caption"], failed["rejected_by"]) == ("a green ball on the grass", "error:request_refused")
    assert "400: refused with 400" in failed["error"]
    server.answer = rewritten
    sends(home, recipe, "1 row")
    server.work()
    assert (run(home, recipe).errors, paid_once(server)) == (0, True)


def test_a_server_that_wants_the_newer_limit_gets_it(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)

    def answer(request: Mapping[str, Any]) -> Outcome:
        return rewritten(request) if NEWER_LIMIT in request else 400

    server.answer = answer
    server.refusal = f"use {NEWER_LIMIT}"
    for _ in range(2):
        sends(home, recipe)
        server.work()
    assert (run(home, recipe).errors, paid_once(server)) == (0, True)


def test_answers_that_are_still_to_be_written_are_waited_for(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)
    sends(home, recipe)
    server.work()
    written = server.batches["batch-0"].pop("output_file_id")
    sends(home, recipe)
    server.batches["batch-0"]["output_file_id"] = written
    run(home, recipe)
    assert (len(server.batches), paid_once(server)) == (1, True)


def test_a_batch_is_no_longer_than_a_file_may_be(
    home: Home, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_service, "MOST_REQUESTS", 2)
    sends(home, asking(server.base_url))
    assert [len(server.requests(batch)) for batch in server.batches.values()] == [2, 2, 1]
    server.work()
    run(home, asking(server.base_url))
    assert (len(server.batches), paid_once(server)) == (3, True)


def test_answers_are_collected_where_they_were_asked_for(home: Home, server: BatchServer) -> None:
    sends(home, asking(server.base_url))
    server.work()
    with BatchServer(rewritten).serving() as other:
        assert run(home, asking(other.base_url)).errors == 0
        assert (other.batches, paid_once(server)) == ({}, True)


def test_a_batch_that_is_not_there_any_more_is_not_paid_again_unasked(home: Home, server: BatchServer) -> None:
    sends(home, asking(server.base_url))
    lost = server.batches.pop("batch-0")
    with pytest.raises(ModelUnavailable, match="there is no such thing"):
        run(home, asking(server.base_url))
    server.batches["batch-0"] = lost
    (note,) = Ledger(home.ledger).staging("prompt_pairs", SHARD).glob("*.asked.json")
    note.write_text("{")
    with pytest.raises(DamagedNote, match=re.escape(str(note))):
        run(home, asking(server.base_url))
    assert len(server.batches) == 1


class Killed(BaseException):
    """Nothing of the run is done after it."""


@contextmanager
def killed_at(point: int) -> Iterator[list[str]]:
    """Kill at the n-th step: before or after a request to the server, or a file that becomes durable."""
    steps: list[str] = []
    send, replace = httpx.Client.send, os.replace

    def step(name: str) -> None:
        if len(steps) >= point:
            raise Killed
        steps.append(name)
        if len(steps) == point:
            raise Killed

    def sent(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        step(f"before {request.method} {request.url.path}")
        response = send(client, request, **more)
        step(f"after {request.method} {request.url.path}")
        return response

    def replaced(source: Any, target: Any, **more: Any) -> None:
        step(f"before {Path(target).name}")
        replace(source, target, **more)
        step(f"after {Path(target).name}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpx.Client, "send", sent)
        patched.setattr(os, "replace", replaced)
        yield steps


def attempt(home: Home, recipe: Recipe, point: int) -> list[str]:
    """One run that is killed at a point, unless it ends before."""
    with killed_at(point) as steps, suppress(Killed, AnswersPending):
        run(home, recipe)
    return steps


def finished(home: Home, recipe: Recipe, server: BatchServer) -> None:
    for _ in range(4):
        try:
            run(home, recipe)
        except AnswersPending:
            server.work()
        else:
            return
    raise AssertionError("it does not come to an end")


def test_a_kill_at_any_step_pays_nothing_twice(server: BatchServer, tmp_path: Path) -> None:
    recipe = asking(server.base_url)
    never = 10_000
    plain = new_home(tmp_path / "plain")
    first = attempt(plain, recipe, never)
    server.work()
    second = attempt(plain, recipe, never)
    assert {"before POST /v1/batches", "after POST /v1/batches", "after POST /v1/files"} <= set(first)
    assert sum("asked.json" in step for step in first) == 4, "noted before it is created, and after"
    expected = table(plain)
    for rounds, steps in ((0, first), (1, second)):
        for point in range(1, len(steps) + 1):
            server.paid.clear()
            home = new_home(tmp_path / f"{rounds}-{point}")
            if rounds:
                attempt(home, recipe, never)
                server.work()
            assert len(attempt(home, recipe, point)) == point
            finished(home, recipe, server)
            assert paid_once(server), (steps[point - 1], server.paid)
            assert table(home).equals(expected), steps[point - 1]


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(
        st.tuples(st.integers(1, 24), st.booleans(), st.sampled_from(["completed", "expired"])), max_size=6
    ),
    expiring=st.sets(st.sampled_from(COLOURS)),
)
def test_kills_one_after_the_other_pay_nothing_twice(
    kills: list[tuple[int, bool, str]], expiring: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with BatchServer(rewritten).serving() as server:
        home, recipe = new_home(tmp_path_factory.mktemp("killed")), asking(server.base_url)
        for point, works, state in kills:
            attempt(home, recipe, point)
            lost = expiring if state == "expired" else set()
            server.answer = lambda request, lost=lost: None if _colour(request) in lost else rewritten(request)
            if works:
                server.work(state)
        server.answer = rewritten
        finished(home, recipe, server)
        assert paid_once(server)


def answered(request: Mapping[str, Any]) -> str:
    """As the artist answers."""
    question = request["messages"][0]["content"][-1]["text"]
    source, slash, target = question.partition("/")
    name = question.removeprefix("what is ").removesuffix(" ?")
    return f"the left image shows {source} and the right image {target}" if slash else f"a {name}"


def test_a_question_about_an_answer_is_asked_in_a_second_round(
    own_home: Home, drawn_recipe: Recipe, drawn_models: type[LoadedModels], server: BatchServer
) -> None:
    server.answer = answered
    told = {"model": MODEL, "base_url": server.base_url, "batches": "true"}
    recipe = override_recipe(drawn_recipe, [f"captioner.{name}={value}" for name, value in told.items()])
    stage, ledger = stage_named("captions").under(recipe), Ledger(own_home.ledger)
    captioner = ServedCaptioner(CaptionerSettings.model_validate(recipe.roles["captioner"].model_dump()))
    models = drawn_models(recipe, captioner=captioner)  # type: ignore[call-arg]
    fingerprints = {name for name in ledger.column_names("captions", SHARD) if "fingerprint" in name}
    before = table(own_home, "captions", OTHERWISE | fingerprints)
    rounds = 0
    while True:
        inputs = read_inputs(stage, own_home, SHARD)
        try:
            record = materialize(stage, SHARD, inputs, recipe, ledger, models, "run-2")
            break
        except AnswersPending:
            assert table(own_home, "captions", OTHERWISE | fingerprints).equals(before), "the table stays meanwhile"
            rounds += 1
            server.work()
    assert rounds == 2
    assert record.errors == 0
    assert record.measured > 0
    assert table(own_home, "captions", OTHERWISE | fingerprints).equals(before)
    assert (set(server.paid.values()), server.plain) == ({1}, 0)


def test_a_run_of_the_graph_ends_saying_what_is_pending(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)
    report = run_graph(home, recipe, select=["prompt_pairs"])
    assert report.failures == []
    assert report.succeeded
    assert report.to_json()["pending"] == report.pending
    assert f"Pending: prompt_pairs of {SHARD}" in report.to_text()
    assert (
        BatchNotes(Ledger(home.ledger).staging("prompt_pairs", SHARD), "rewrite").all()[0].since[:16]
        in report.pending[0]
    )
    # Another shard goes on, and the one that waits is as it was.
    captions = home.root.parent / "more.txt"
    captions.write_text("a black ball on the grass\n")
    server.work()
    ingest([captions], home)
    report = run_graph(home, recipe, select=["prompt_pairs"])
    assert [record["shard"] for record in report.materializations] == [SHARD]
    assert [line.partition(",")[0] for line in report.pending] == ["prompt_pairs of shard-000001"]
    server.work()
    report = run_graph(home, recipe, select=["prompt_pairs"])
    assert (report.pending, report.failures, len(report.materializations)) == ([], [], 1)
    assert set(server.paid.values()) == {1}
