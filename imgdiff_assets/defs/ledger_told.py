"""What the ledger says, told to Dagster where no run does: which tables are stale, and which are fresh after all.

A run that fails leaves the assets below it red, also where their tables never were anything but fresh; nothing will be
run for these. Dagster takes materialisations and check results that belong to no run.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import dagster as dg

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.defs.asset_metadata import materialization_metadata, table_of
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.runs_in_progress import shards_in_progress
from imgdiff_assets.engine.materialize import present
from imgdiff_assets.engine.plan import TablePlan
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES

STALE = "stale"
FRESH = "Every table is what the recipe makes now: the ledger compares captions, settings, models and code."
SHOWN_SHARDS = 20
MOST_TOLD = 100
"""Materialisations without a run that one tick reports: each costs Dagster's database a twentieth of a second."""

NOT_WELL = dg.RunsFilter(statuses=[status for status in dg.DagsterRunStatus if status != dg.DagsterRunStatus.SUCCESS])
"""The runs that can have left something red."""

Tables = Mapping[str, Sequence[TablePlan]]
"""What is to be done with the tables of each stage, a shard after another."""


def tables_of(home: Home, recipe: Recipe, shards: Sequence[str], upto: str = STAGE_NAMES[-1]) -> Tables:
    """The tables of these shards, of all stages up to one. Raises FileNotFoundError when weights are missing."""
    stages = STAGE_NAMES[: STAGE_NAMES.index(upto) + 1]
    staleness = Staleness(home, recipe, stages)
    tables: dict[str, list[TablePlan]] = {}
    for shard in shards:
        for table in staleness.plans(shard):
            tables.setdefault(table.how.stage.name, []).append(table)
    return tables


def stale_check(tables: Sequence[TablePlan]) -> dict[str, Any]:
    """What the check `stale` has to say of the tables of a stage, a line for each shard that is."""
    rows = [{"shard": table.shard, "because": "; ".join(table.reasons)} for table in tables if not table.fresh]
    metadata: dict[str, Any] = {"shards": len(tables), "stale_shards": len(rows)}
    if rows:
        metadata["stale"] = table_of(rows[:SHOWN_SHARDS])
    lines = [f"{row['shard']}: {row['because']}" for row in rows[:SHOWN_SHARDS]]
    return {
        "check_name": STALE,
        "passed": not rows,
        "severity": dg.AssetCheckSeverity.WARN,
        "metadata": metadata,
        "description": "\n".join(lines) or f"{counted(len(tables), 'shard')} up to date",
    }


def tell_of_red(graph: PlacedGraph, recipe: Recipe, instance: dg.DagsterInstance, shards: Sequence[str]) -> None:
    """Report the tables of these shards that are red in Dagster, by a run that failed, and fresh by this recipe."""
    if not instance.get_run_ids(NOT_WELL, limit=1):
        return
    red = _shown(graph, instance, shards, (dg.AssetPartitionStatus.FAILED,))
    concerned = sorted(set().union(*red.values()))
    for event in _fresh(graph, tables_of(graph.home, recipe, concerned), red):
        instance.report_runless_asset_event(event)


def _shown(
    graph: PlacedGraph,
    instance: dg.DagsterInstance,
    shards: Sequence[str],
    statuses: Collection[dg.AssetPartitionStatus | None],
) -> dict[str, set[str]]:
    """By stage, the shards that Dagster shows with one of these statuses; None is that of what it has not seen."""
    names, found = graph.names, {}
    for stage in STAGE_NAMES:
        shown = instance.get_status_by_partition(names.key(stage), shards, names.shards) or {}
        found[stage] = {shard for shard in shards if shown.get(shard) in statuses}
    return found


def _fresh(graph: PlacedGraph, tables: Tables, wanted: Mapping[str, set[str]]) -> Iterator[dg.AssetMaterialization]:
    """Materialisations, without a run, of those of the wanted tables that are fresh."""
    ledger = Ledger(graph.home.ledger)
    for name, plans in tables.items():
        for plan in plans:
            if plan.fresh and plan.shard in wanted[name]:
                metadata = materialization_metadata(
                    present(plan), plan.how.stage, ledger, graph.browser_url, graph.home.report
                )
                yield dg.AssetMaterialization(graph.names.key(name), partition=plan.shard, metadata=metadata)


def in_step(graph: PlacedGraph) -> dg.SensorDefinition:
    """The sensor that tells Dagster. Its cursor: what was said last of each stage's stale shards."""

    @dg.sensor(
        name=graph.names.of("in_step"),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells Dagster what the ledger says: results of the check `stale` when they change, and tables "
        "that are fresh though a failed run left their asset red, or though this instance has not seen them.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        keys = register_shards(context.instance, graph.home, graph.names)
        held = shards_in_progress(context.instance, keys, graph.names)
        free = [key for key in keys if key not in held]
        tables = tables_of(graph.home, graph.recipe(), free)
        otherwise = _shown(graph, context.instance, free, (dg.AssetPartitionStatus.FAILED, None))
        events: list[Any] = list(islice(_fresh(graph, tables, otherwise), MOST_TOLD))
        before, now = json.loads(context.cursor or "{}"), {}
        for name, plans in tables.items():
            result = stale_check(plans)
            now[name] = content_hash(result["description"])
            if before.get(name) != now[name]:
                events.append(dg.AssetCheckEvaluation(asset_key=graph.names.key(name), **result))
        if not events:
            return dg.SkipReason("Dagster shows what the ledger says.")
        return dg.SensorResult(asset_events=events, cursor=json.dumps(now))

    return sensor
