"""What is requested when: asked of real tables, and of a Dagster instance with real runs in it."""

import datetime
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import yaml

from imgdiff_assets.defs import placed_graph
from imgdiff_assets.defs.automation import as_soon_as_stale, bring_up_to_date, inbox, lost_runs, stale_shards
from imgdiff_assets.defs.home_resource import home_resource
from imgdiff_assets.defs.names import PLAIN
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.runs_in_progress import alive, fail_lost_runs, shards_in_progress, stoppable
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import read_captions
from imgdiff_assets.ledger.batch_notes import BatchNote, BatchNotes, now
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.automation_settings import AutomationSettings
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.statistics.diversity import filled_so_far

ALL = list(STAGE_NAMES)
FAILED_IN_PART = ("shard-000000", "shard-000000", ALL[1:])
MISSING = ("shard-000002", "shard-000002", ALL)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def recipe(drawn_models: type, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recipe]]:
    """The recipe file as each tick finds it, in a list of one; its models are known as the artist's."""
    current = [drawn_recipe]
    monkeypatch.setattr(placed_graph, "load_recipe", lambda name: current[0])
    monkeypatch.setattr(
        "imgdiff_assets.engine.staleness.LoadedModels", lambda settings, openers: drawn_models(current[0])
    )
    return current


def requested(requests: list[dg.RunRequest]) -> list[tuple[str, str, list[str]]]:
    """First and last shard and the assets of each request."""
    return [
        (*list(request.tags.values())[:2], [key.to_user_string() for key in request.asset_selection or ()])
        for request in requests
    ]


def schedule_of(home: Home, settings: AutomationSettings) -> dg.ScheduleDefinition:
    graph = PlacedGraph(home)
    return stale_shards(graph, bring_up_to_date(graph, ALL), settings)


def inbox_of(home: Home, settings: AutomationSettings) -> dg.SensorDefinition:
    graph = PlacedGraph(home)
    return inbox(graph, bring_up_to_date(graph, ALL), settings)


def tick(home: Home, instance: dg.DagsterInstance) -> list[tuple[str, str, list[str]]]:
    """One tick of the schedule."""
    with dg.build_schedule_context(instance=instance) as context:
        data = schedule_of(home, AutomationSettings()).evaluate_tick(context)
    return requested(list(data.run_requests or []))


@pytest.mark.usefixtures("recipe")
def test_the_schedule_asks_for_what_is_missing_or_failed_and_for_nothing_else(
    own_home: Home, instance: dg.DagsterInstance
) -> None:
    assert tick(own_home, instance) == [FAILED_IN_PART, MISSING]
    assert instance.get_dynamic_partitions("shard") == ["shard-000000", "shard-000001", "shard-000002"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("filtered_pairs.min_similarity=0.71", [FAILED_IN_PART, ("shard-000001", "shard-000001", ALL[2:]), MISSING]),
        (
            "captioner.max_new_tokens=7",
            [
                FAILED_IN_PART,
                ("shard-000001", "shard-000001", ["captions", "removal_captions", "fine_tune_set"]),
                MISSING,
            ],
        ),
        ("pair_generator.num_inference_steps=3", [("shard-000000", "shard-000001", ALL[1:]), MISSING]),
        ("prompt_rewriter.temperature=0.5", [("shard-000000", "shard-000002", ALL)]),
    ],
)
def test_a_changed_recipe_asks_for_the_stage_and_what_depends_on_it(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe], change: str, expected: object
) -> None:
    recipe[0] = override_recipe(recipe[0], [change])
    assert tick(own_home, instance) == expected


def test_a_shard_in_the_hands_of_a_run_waits_and_is_asked_for_after_it_if_it_is_stale_still(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    """The redeployment in mid-run: a run of the old recipe holds its shards until it ends."""
    tick(own_home, instance)

    @dg.job
    def job() -> None: ...

    tags = {"dagster/asset_partition_range_start": "shard-000000", "dagster/asset_partition_range_end": "shard-000001"}
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    one = instance.create_run_for_job(job, tags={"dagster/partition": "shard-000002"})
    assert shards_in_progress(instance, ["shard-000000", "shard-000001", "shard-000002", "shard-000003"]) == {
        "shard-000000",
        "shard-000001",
        "shard-000002",
    }
    recipe[0] = override_recipe(recipe[0], ["filtered_pairs.min_similarity=0.71"])
    assert tick(own_home, instance) == []
    instance.report_run_failed(run)
    instance.report_run_failed(one)
    assert tick(own_home, instance) == [FAILED_IN_PART, ("shard-000001", "shard-000001", ALL[2:]), MISSING]


def test_conditions_show_what_the_schedule_asks_for(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    tick(own_home, instance)
    definitions = build_definitions(own_home, recipe[0])
    result = dg.evaluate_automation_conditions(
        definitions, instance, asset_selection=dg.AssetSelection.assets(*STAGE_NAMES)
    )
    assert result.get_requested_partitions(dg.AssetKey("prompt_pairs")) == {"shard-000002"}
    for name in STAGE_NAMES[1:]:
        assert result.get_requested_partitions(dg.AssetKey(name)) == {"shard-000000", "shard-000002"}


@pytest.mark.parametrize(("minutes", "asked"), [(59, {"shard-000000"}), (61, {"shard-000000", "shard-000002"})])
def test_conditions_leave_a_batch_service_alone_for_an_hour(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe], minutes: int, asked: set[str]
) -> None:
    tick(own_home, instance)
    looked = (now() - datetime.timedelta(minutes=minutes)).isoformat()
    note = replace(BatchNote.of("http://there/v1", "talker", ["asked"], "file-1").created("batch-1"), looked=looked)
    BatchNotes(Ledger(own_home.ledger).staging("prompt_pairs", "shard-000002"), "rewrite").write(note)
    result = dg.evaluate_automation_conditions(
        build_definitions(own_home, recipe[0]), instance, asset_selection=dg.AssetSelection.assets(*STAGE_NAMES)
    )
    assert result.get_requested_partitions(dg.AssetKey("image_pairs")) == asked


@pytest.mark.usefixtures("recipe")
def test_the_inbox_asks_for_its_shards_once_even_when_a_tick_was_lost(
    own_home: Home, instance: dg.DagsterInstance
) -> None:
    sensor = inbox_of(own_home, AutomationSettings(shard_size=1))

    def look(cursor: str | None) -> dg.SensorEvaluationContext | object:
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            return sensor.evaluate_tick(context)

    path = own_home.inbox / "captions.txt"
    path.write_text("a red star on the sand\na blue star on the sand\n")
    os.utime(path, (time.time() - 60, time.time() - 60))
    lost = look(None)
    assert requested(lost.run_requests) == [("shard-000003", "shard-000004", ALL)]
    assert lost.run_requests[0].run_key == "inbox:shard-000003"
    again = look(None)
    assert requested(again.run_requests) == requested(lost.run_requests), "the answer of the tick before was lost"
    after = look(again.cursor)
    assert (after.run_requests, after.skip_message) == ([], "Nothing new.")


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("fill_gaps", [True, False])
def test_the_inbox_notes_the_replacements_made_so_far_if_it_is_told_to(
    own_home: Home, instance: dg.DagsterInstance, fill_gaps: bool
) -> None:
    path = own_home.inbox / "captions.txt"
    path.write_text("a red ball on the sand\n")
    os.utime(path, (time.time() - 60, time.time() - 60))
    expected = filled_so_far(own_home)("a red ball on the sand")
    with dg.build_sensor_context(instance=instance) as context:
        inbox_of(own_home, AutomationSettings(fill_gaps=fill_gaps)).evaluate_tick(context)
    (caption,) = read_captions(own_home, "shard-000003").to_pylist()
    assert json.loads(expected)["ball"]
    assert caption.get("filled") == (expected if fill_gaps else None)


def test_a_run_whose_process_is_gone_is_failed_and_a_living_one_is_not(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgdiff_assets.defs.runs_in_progress.YOUNG_SECONDS", 0)
    home = Home(tmp_path)

    @dg.job
    def empty() -> None: ...

    lost, living, elsewhere = (instance.create_run_for_job(empty) for _ in range(3))
    for run in (lost, living, elsewhere):
        instance.report_dagster_event(
            dg.DagsterEvent("PIPELINE_START", empty.name, message="started"), run_id=run.run_id
        )
    (home.dagster / "live").mkdir(parents=True)
    (home.dagster / "live" / lost.run_id).touch()
    with alive(home, living.run_id):
        with dg.build_sensor_context(instance=instance) as context:
            assert lost.run_id in (lost_runs(PlacedGraph(home)).evaluate_tick(context).skip_message or "")
        assert fail_lost_runs(home, instance) == []
    statuses = [instance.get_run_by_id(run.run_id).status for run in (lost, living, elsewhere)]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTED]
    assert list((home.dagster / "live").iterdir()) == []


def test_a_run_holds_its_lock_from_first_to_last_step(tmp_path: Path) -> None:
    @dg.op(required_resource_keys={"home"})
    def look(context: dg.OpExecutionContext) -> None:
        assert (context.resources.home.home.dagster / "live" / context.run_id).exists()

    @dg.job(resource_defs={"home": home_resource(Home(tmp_path), "")})
    def looking() -> None:
        look()

    assert looking.execute_in_process().success
    assert list((tmp_path / "dagster" / "live").iterdir()) == []


def test_a_schedule_is_on_when_the_recipe_has_one_and_the_conditions_are_off(tmp_path: Path) -> None:
    assert schedule_of(Home(tmp_path), AutomationSettings()).default_status == dg.DefaultScheduleStatus.STOPPED
    nightly = schedule_of(Home(tmp_path), AutomationSettings(cron="30 2 * * 1-5", timezone="Europe/Berlin"))
    assert nightly.default_status == dg.DefaultScheduleStatus.RUNNING
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 2 * * 1-5", "Europe/Berlin")
    assert as_soon_as_stale(PLAIN, ALL).default_status == dg.DefaultSensorStatus.STOPPED


@pytest.mark.parametrize(
    ("values", "message"),
    [({"cron": "daily"}, "write five fields"), ({"timezone": "Mars/Base"}, "is not a time zone")],
)
def test_an_impossible_automation_is_refused(tmp_path: Path, values: dict[str, str], message: str) -> None:
    recipe = load_recipe("miniature").model_dump(mode="json")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "automation": values}))
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(tmp_path / "recipe.yaml"))


def test_rows_do_not_depend_on_when_they_are_asked_for() -> None:
    recipe = load_recipe("miniature")
    assert override_recipe(recipe, ["automation.cron='0 1 * * *'"]).hash == recipe.hash


@pytest.mark.usefixtures("interruptible")
def test_a_cancelled_run_that_missed_the_interrupt_is_interrupted_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgdiff_assets.defs.runs_in_progress.ASK_AGAIN_SECONDS", 0.05)

    @dg.job
    def empty() -> None: ...

    run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)

    def work() -> None:
        with stoppable(instance, run.run_id):
            time.sleep(0.3)
            instance.report_run_canceling(run)
            time.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        work()
