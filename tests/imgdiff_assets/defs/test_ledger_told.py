"""Dagster shows what the ledger says: of tables that are fresh after all, of stale ones, and of what is no shard."""

from collections.abc import Iterator

import dagster as dg
import pytest

from imgdiff_assets.defs import placed_graph
from imgdiff_assets.defs.ledger_told import in_step, tell_of_red
from imgdiff_assets.defs.names import PLAIN
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

FRESH = "shard-000001"
"""The one whose tables are all fresh, as the home is drawn; of the first rows failed, the last was never made."""

RED = dg.AssetPartitionStatus.FAILED


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def recipe(drawn_models: type, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Recipe]]:
    """The recipe file as each tick finds it, in a list of one; its models are known as the artist's."""
    current = [drawn_recipe]
    monkeypatch.setattr(placed_graph, "load_recipe", lambda name: current[0])
    monkeypatch.setattr(
        "imgdiff_assets.engine.staleness.LoadedModels", lambda settings, openers: drawn_models(current[0])
    )
    return current


def fail(instance: dg.DagsterInstance, home: Home, recipe: Recipe, *stages: str) -> None:
    """A run that is to make these tables of the fresh shard, and fails before it does anything."""
    job = build_definitions(home, recipe).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(
        job.get_subset(asset_selection={dg.AssetKey(name) for name in stages}),
        asset_selection=frozenset(dg.AssetKey(name) for name in stages),
        tags={"dagster/partition": FRESH},
    )
    for name in stages:
        planned = dg.DagsterEvent.build_asset_materialization_planned_event(
            job.name,
            name,
            dg._core.events.AssetMaterializationPlannedData(dg.AssetKey(name), partition=FRESH),
        )
        instance.report_dagster_event(planned, run.run_id)
    instance.report_run_failed(run)


def status(instance: dg.DagsterInstance, stage: str, shard: str = FRESH) -> dg.AssetPartitionStatus | None:
    return (instance.get_status_by_partition(dg.AssetKey(stage), [shard], PLAIN.shards) or {}).get(shard)


def test_what_a_failed_run_left_red_is_fresh_after_all(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    keys = register_shards(instance, own_home)
    fail(instance, own_home, recipe[0], "captions", "fine_tune_set")
    assert [status(instance, name) for name in ("captions", "fine_tune_set")] == [RED, RED]
    tell_of_red(PlacedGraph(own_home), recipe[0], instance, keys)
    assert [status(instance, name) for name in ("captions", "fine_tune_set")] == [
        dg.AssetPartitionStatus.MATERIALIZED
    ] * 2
    assert status(instance, "filtered_pairs") is None, "what is not red is left to the sensor"
    event = instance.get_latest_materialization_event(dg.AssetKey("captions"))
    assert event is not None
    assert {"kept", "keep_rate", "kept_examples"} <= event.asset_materialization.metadata.keys()


def test_where_all_runs_were_well_dagster_is_not_asked_for_every_shard(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = register_shards(instance, own_home)
    asked: list[dg.AssetKey] = []
    monkeypatch.setattr(instance, "get_status_by_partition", lambda key, *_: asked.append(key))
    tell_of_red(PlacedGraph(own_home), recipe[0], instance, keys)
    assert asked == []
    fail(instance, own_home, recipe[0], "captions")
    tell_of_red(PlacedGraph(own_home), recipe[0], instance, keys)
    assert dg.AssetKey("captions") in asked


@pytest.mark.slow
def test_what_is_red_and_stale_stays_red(own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]) -> None:
    keys = register_shards(instance, own_home)
    fail(instance, own_home, recipe[0], "captions")
    stale = override_recipe(recipe[0], ["filtered_pairs.min_similarity=0.71"])
    tell_of_red(PlacedGraph(own_home), stale, instance, keys)
    assert status(instance, "captions") == RED


@pytest.mark.slow
def test_the_sensor_tells_what_is_fresh_and_what_is_stale_once(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    sensor = in_step(PlacedGraph(own_home))

    def tick(cursor: str | None) -> tuple[list[str], dict[str, dg.AssetCheckEvaluation], str | None]:
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            result = sensor.evaluate_tick(context)
        for event in result.asset_events:
            instance.report_runless_asset_event(event)
        made = [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]
        checks = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        fresh = [event.asset_key.to_user_string() for event in made if event.partition == FRESH]
        return fresh, {check.asset_key.to_user_string(): check for check in checks}, result.cursor

    fresh, checks, cursor = tick(None)
    assert fresh == list(STAGE_NAMES), "this instance has seen none of them"
    assert checks.keys() == set(STAGE_NAMES)
    assert checks["prompt_pairs"].description == "shard-000002: not made yet"
    assert not checks["captions"].passed
    assert tick(cursor)[:2] == ([], {})
    recipe[0] = override_recipe(recipe[0], ["filtered_pairs.min_similarity=0.71"])
    fresh, checks, _ = tick(cursor)
    assert fresh == []
    assert f"{FRESH}: filtered_pairs.min_similarity: " in checks["filtered_pairs"].description
    assert "prompt_pairs" not in checks


def test_a_partition_that_is_no_shard_is_refused_with_what_to_do_and_goes_away(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    register_shards(instance, own_home)
    instance.add_dynamic_partitions("shard", ["tomorrow"])
    job = build_definitions(own_home, recipe[0]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance,
        partition_key="tomorrow",
        asset_selection=[dg.AssetKey("prompt_pairs")],
        raise_on_error=False,
    )
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith("tomorrow: no such shard; there are shard-000000 to shard-000002.")
    assert "imgdiff ingest" in said
    assert "tomorrow" not in register_shards(instance, own_home)
    assert instance.get_dynamic_partitions("shard") == ["shard-000000", "shard-000001", "shard-000002"]


@pytest.mark.slow
def test_what_if_is_a_job_that_shows_a_report(
    own_home: Home, instance: dg.DagsterInstance, recipe: list[Recipe]
) -> None:
    job = build_definitions(own_home, recipe[0]).resolve_job_def("what_if")
    threshold = {"resources": {"recipe": {"config": {"filtered_pairs": {"min_similarity": 0.9}}}}}
    result = job.execute_in_process(instance=instance, run_config=threshold)
    (output,) = (event for event in result.all_node_events if event.is_successful_output)
    metadata = output.step_output_data.metadata
    assert "filtered_pairs.min_similarity: " in metadata["report"].md_str
    assert [record.data["stage"] for record in metadata["stages"].records] == list(STAGE_NAMES)
    impossible = {"resources": {"recipe": {"config": {"filtered_pairs": {"min_similarity": 2.0}}}}}
    with pytest.raises(dg.DagsterResourceFunctionError) as caught:
        job.execute_in_process(instance=instance, run_config=impossible)
    assert "the launchpad: filtered_pairs.min_similarity" in str(caught.value.__cause__)
