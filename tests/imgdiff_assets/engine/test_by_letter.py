"""Stages whose models are asked by a batch service: what is sent, told, and paid for, whatever is killed."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from obstore.store import MemoryStore

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.common.addresses import address
from imgdiff_assets.defs.asset_stage import PENDING
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.engine.by_letter import AnswersPending
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.batch_notes import DamagedNote, noted
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.entry import LeaseLost
from imgdiff_assets.ledger.store.objects import ObjectStore
from imgdiff_assets.ledger.store.store import OPENED
from imgdiff_assets.lineage.replay import shared_models
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.status import status
from resources import batch_service
from resources.batch_service import BatchGone
from resources.captioner import CaptionerSettings
from resources.chat_server import ServedCaptioner
from resources.completions import NEWER_LIMIT
from tests.answering_server import MODEL, answering
from tests.asked_by_letter import (
    COLOURS,
    OTHERWISE,
    SHARD,
    asking,
    colour_of,
    new_home,
    paid_once,
    rewritten,
    run,
    table,
)
from tests.batch_server import BatchServer, Outcome


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(rewritten).serving() as batches:
        yield batches


def sends(home: Home, recipe: Recipe, message: str = "5 rows wait for answers") -> None:
    with pytest.raises(AnswersPending, match=message):
        run(home, recipe)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path)


def test_one_run_sends_and_a_later_one_collects(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)
    told = (
        rf"prompt_pairs of {SHARD}, .*: 5 rows wait for answers \(5 questions since 20.*batch-0 of {server.base_url}\)"
    )
    sends(home, recipe, told)
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
            sorted(asked, key=lambda request: COLOURS.index(colour_of(request)))
            for asked in (
                [each["body"] for each in server.requests(server.batches["batch-0"])],
                [{name: value for name, value in each.items() if name != "path"} for each in requests],
            )
        ]
        assert by_colour[0] == by_colour[1], "each is told the same"
        assert not run(home, asking(base_url, batches=False)).changed
    assert asking(server.base_url).hash == asking(server.base_url, batches=False).hash


@pytest.mark.parametrize("state", ["expired", "cancelled"])
def test_what_expired_is_told_and_asked_again_and_nothing_else_is(home: Home, server: BatchServer, state: str) -> None:
    recipe, told = asking(server.base_url), list[str]()
    server.answer = lambda request: None if colour_of(request) in ("blue", "pink") else rewritten(request)
    sends(home, recipe)
    server.work(state)
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
    server.answer = lambda request: 400 if colour_of(request) == "green" else rewritten(request)
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
    (note,) = Ledger(home.ledger).staging("prompt_pairs", SHARD).glob("*.asked.json")
    told = rf"there is no such thing.* To have its questions asked, and paid for, again, delete {re.escape(str(note))}"
    with pytest.raises(BatchGone, match=told):
        run(home, asking(server.base_url))
    server.batches["batch-0"] = lost
    note.write_text("{")
    with pytest.raises(DamagedNote, match=re.escape(str(note))):
        run(home, asking(server.base_url))
    assert len(server.batches) == 1


def test_a_server_without_a_batch_service_is_told_and_nothing_is_noted(home: Home, server: BatchServer) -> None:
    server.serves = False
    with pytest.raises(BatchGone, match=rf"{server.base_url} has no batch service.*leave out `batches`"):
        run(home, asking(server.base_url))
    assert not Ledger(home.ledger).staging("prompt_pairs", SHARD).exists()


def test_a_batch_that_is_created_after_its_sender_s_end_is_waited_for(
    home: Home, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, create = asking(server.base_url), batch_service.create
    late: list[tuple[Any, ...]] = []

    def killed(*arguments: Any) -> str:
        late.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_service, "create", killed)
    with pytest.raises(KeyboardInterrupt):
        run(home, recipe)
    monkeypatch.undo()
    sends(home, recipe, r"since 20.*, a batch of")
    assert server.batches == {}
    create(*late[0])
    sends(home, recipe, "batch-0")
    server.work()
    run(home, recipe)
    assert (len(server.batches), paid_once(server)) == (1, True)


def test_who_has_lost_the_lock_creates_no_batch(
    home: Home, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(ledger: Ledger, asset: str, shard: str) -> None:
        raise LeaseLost(f"{asset} of {shard}")

    monkeypatch.setattr(Ledger, "confirm", lost)
    with pytest.raises(LeaseLost):
        run(home, asking(server.base_url))
    assert (len(server.files), server.batches) == (1, {})


def test_a_home_in_a_bucket_remembers_as_well(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPENED, "s3://letters", ObjectStore(MemoryStore(), sleep=lambda seconds: None))
    monkeypatch.setenv("IMGDIFF_LOCAL", str(tmp_path / "local"))
    (tmp_path / "captions.txt").write_text("".join(f"a {colour} ball on the grass\n" for colour in COLOURS))
    home, recipe = Home(address("s3://letters/home")), asking(server.base_url)
    ingest([tmp_path / "captions.txt"], home)
    sends(home, recipe)
    assert [(asset, shard) for asset, shard, _ in noted(home.ledger)] == [("prompt_pairs", SHARD)]
    server.work()
    assert (run(home, recipe).measured, len(server.batches), paid_once(server)) == (5, 1, True)
    assert list(noted(home.ledger)) == []


def test_what_is_to_be_paid_for_stays_noted_when_batches_are_dropped(home: Home, server: BatchServer) -> None:
    sends(home, asking(server.base_url))
    ledger = Ledger(home.ledger)
    ledger.drop_staged("prompt_pairs", SHARD, and_notes=False)
    assert len(list(noted(home.ledger))) == 1
    ledger.drop_staged("prompt_pairs", SHARD, and_notes=True)
    assert list(noted(home.ledger)) == []


def test_workers_have_no_part_in_what_is_asked_by_letter(home: Home, server: BatchServer) -> None:
    class Nobody:
        def measure(self, task: Any, batches: Any) -> Any:
            raise AssertionError("asked to measure")

        def give_way(self) -> None: ...

        def uses(self) -> dict[str, Any]:
            return {}

    stage, recipe = stage_named("prompt_pairs"), asking(server.base_url)
    stage, inputs = stage.under(recipe), read_inputs(stage, home, SHARD)

    def measure() -> Materialization:
        ledger, models = Ledger(home.ledger), shared_models(recipe)
        return materialize(stage, SHARD, inputs, recipe, ledger, models, "run", measurer=Nobody())

    with pytest.raises(AnswersPending):
        measure()
    server.work()
    assert (measure().measured, paid_once(server)) == (5, True)


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
    assert sum(record.calls.values()) > 0
    assert table(own_home, "captions", OTHERWISE | fingerprints).equals(before)
    assert (set(server.paid.values()), server.plain) == ({1}, 0)


def test_a_run_of_the_graph_ends_saying_what_is_pending(home: Home, server: BatchServer) -> None:
    recipe = asking(server.base_url)
    report = run_graph(home, recipe, select=["prompt_pairs", "image_pairs"])
    assert (report.failures, report.failed_checks, report.succeeded) == ([], [], True)
    assert (len(report.run_ids), report.materializations) == (1, []), "what is below waits, too"
    with dagster_instance(home) as instance:
        (there,) = instance.get_runs()
        assert there.status == dg.DagsterRunStatus.SUCCESS
        observed = instance.fetch_observations(dg.AssetKey("prompt_pairs"), limit=2).records
        assert [(each.partition_key, each.asset_observation.metadata[PENDING].value) for each in observed] == [
            (SHARD, report.pending[0])
        ]
        assert not instance.get_materialized_partitions(dg.AssetKey("prompt_pairs"))
    assert report.to_json()["pending"] == report.pending
    assert f"Pending: prompt_pairs of {SHARD}" in report.to_text()
    ((*_, note),) = noted(home.ledger)
    assert note.since[:16] in report.pending[0]
    assert f"waits    prompt_pairs of {SHARD}: {note.to_text()}" in status(home, recipe).to_text()
    # Another shard goes on, and the one that waits is as it was.
    captions = home.root.parent / "more.txt"
    captions.write_text("an orange ball on the grass\n")
    server.work()
    ingest([captions], home)
    report = run_graph(home, recipe, select=["prompt_pairs"])
    assert [record["shard"] for record in report.materializations] == [SHARD]
    assert [line.partition(",")[0] for line in report.pending] == ["prompt_pairs of shard-000001"]
    server.work()
    report = run_graph(home, recipe, select=["prompt_pairs"])
    assert (report.pending, report.failures, len(report.materializations)) == ([], [], 1)
    assert set(server.paid.values()) == {1}
