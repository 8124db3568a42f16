"""What runs by itself: captions from the inbox, stale shards on a schedule, and runs whose process is gone.

All of it asks the ledger what is stale, not Dagster's events: so it survives restarts, redeployments in the middle of
a run and an instance that was made anew. The recipe is read anew at each tick, and by each run.
"""

import datetime
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import dagster as dg

from imgdiff_assets.defs.checks import CHECKSUMS, NIGHTS
from imgdiff_assets.defs.inbox import inbox_shards, take_files
from imgdiff_assets.defs.names import Names
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.run_requests import group
from imgdiff_assets.defs.runs_in_progress import fail_lost_runs, shards_in_progress
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.batch_notes import noted
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.budget import affordable, spent
from imgdiff_assets.recipe.automation_settings import AutomationSettings
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGE_NAMES

NIGHTLY = "0 3 * * *"
VERIFYING = "0 1 * * *"
"""Before the stale shards are run: what is found damaged is made again in the same night."""

JOB = "bring_up_to_date"

BETWEEN_LOOKS = datetime.timedelta(hours=1)
"""Where runs follow each other as long as a table is stale: how long a batch service is left alone."""


def stale_runs(
    graph: PlacedGraph, instance: dg.DagsterInstance, requester: str, shards: Collection[str] | None = None
) -> list[dg.RunRequest]:
    """The runs that bring the stale ones of `shards` (default: all) up to date, with run keys that begin so.

    With a budget, no more shards are than are likely to be made with what is left of it. A shard that a queued or
    running run holds is left to it. When that run was started with an older recipe, the shard is stale still when it
    has ended, and is requested then.
    """
    recipe = graph.recipe()
    keys = register_shards(instance, graph.home, graph.names)
    most = most_shards(graph, recipe, keys)
    staleness = Staleness(graph.home, recipe, STAGE_NAMES)
    free = set(keys if shards is None else shards) - shards_in_progress(instance, keys, graph.names)
    with staleness.looking():
        stages = {key: staleness.stages(key) for key in keys if key in free}
    fresh = {key for key, names in stages.items() if not names}
    if most is not None:
        stages = {key: stages[key] for key in [key for key, names in stages.items() if names][:most]}
    return [
        dg.RunRequest(
            run_key=f"{requester}:{request.first}",
            asset_selection=list(map(graph.names.key, request.stages)),
            tags={**request.tags, "imgdiff/recipe": recipe.name, "imgdiff/recipe_hash": recipe.hash},
        )
        for request in group(keys, stages, fresh, recipe.automation.max_shards_per_run)
    ]


def most_shards(graph: PlacedGraph, recipe: Recipe, keys: Sequence[str]) -> int | None:
    """How many shards the rest of the recipe's budget is likely to make; None without a budget."""
    ledger = Ledger(graph.home.ledger)
    left = spent(recipe.automation, ledger, keys)
    return None if left is None else affordable(left, ledger, keys)


def _nothing_asked(graph: PlacedGraph, reason: str) -> str:
    """Why no run is asked for: the reason, unless it is that the budget is spent."""
    left = spent(graph.recipe().automation, Ledger(graph.home.ledger), shard_keys(graph.home))
    return reason if left is None or left.left else left.sentence


def bring_up_to_date(graph: PlacedGraph, stages: Sequence[str]) -> Any:
    """The job of all stages, which schedule and inbox run parts of."""
    return dg.define_asset_job(
        graph.names.of(JOB),
        graph.names.assets(stages),
        description="Makes the tables of shards what the recipe says now, stage after stage; what is so already is "
        "left alone. The launchpad takes other values for one run.",
        # One process for all stages of a run: a process per step would load every model again.
        executor_def=dg.in_process_executor,
    )


def stale_shards(graph: PlacedGraph, job: Any, settings: AutomationSettings) -> dg.ScheduleDefinition:
    """The schedule of the recipe."""

    @dg.schedule(
        name=graph.names.of("stale_shards"),
        cron_schedule=settings.cron or NIGHTLY,
        execution_timezone=settings.timezone,
        job=job,
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.cron else dg.DefaultScheduleStatus.STOPPED,
        description="Runs the shards whose tables are missing, failed in part, or made from other captions, settings, "
        "models or code; of their tables only those. Nothing stale, nothing run.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        requests = stale_runs(graph, context.instance, "stale_shards")
        return requests or dg.SkipReason(_nothing_asked(graph, "Every shard is up to date, or in the hands of a run."))

    return schedule


def verify_ledger(names: Names, stages: Sequence[str], settings: AutomationSettings) -> dg.ScheduleDefinition:
    """The schedule that looks at what is on disk, some of it each night."""
    selection = dg.AssetSelection.checks(*(dg.AssetCheckKey(names.key(name), CHECKSUMS) for name in stages))
    return dg.ScheduleDefinition(
        name=names.of("verify_ledger"),
        cron_schedule=VERIFYING,
        execution_timezone=settings.timezone,
        job=dg.define_asset_job(
            names.of("verify_ledger_job"),
            selection,
            description=f"Compares tables with their checksums: a part of the shards each night, all in {NIGHTS}.",
            executor_def=dg.in_process_executor,
        ),
        default_status=dg.DefaultScheduleStatus.RUNNING if settings.cron else dg.DefaultScheduleStatus.STOPPED,
        description=f"Compares the tables with their checksums, each once in {NIGHTS} nights. A damaged one is moved "
        "aside, so that its shard is stale.",
    )


def inbox(graph: PlacedGraph, job: Any, settings: AutomationSettings) -> dg.SensorDefinition:
    """The sensor of `<home>/inbox/`. Its cursor: files that were not finished, and the last shard requested."""

    home = graph.home

    @dg.sensor(
        name=graph.names.of("inbox"),
        job=job,
        minimum_interval_seconds=settings.inbox_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Caption files in `<home>/inbox/` become shards, which are run; the file is moved to `done/`, or "
        "to `failed/` with a note that says why. Write under another name (`captions.txt.part`), then rename.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = json.loads(context.cursor or "{}")
        seen = {name: (size, modified) for name, (size, modified) in cursor.get("waiting", {}).items()}
        report = take_files(home, seen, settings.inbox_seconds, settings.shard_size, settings.fill_gaps)
        for line in report.lines:
            context.log.info(line)
        # Asked of the ledger, not of the report: shards that a killed tick made are requested too.
        arrived = inbox_shards(home, after=cursor.get("requested", ""))
        requests = stale_runs(graph, context.instance, "inbox", arrived) if arrived else []
        said = [*report.lines, *report.ignored]
        reason = "\n".join(said) or _nothing_asked(
            graph, "Files are still being written." if report.waiting else "Nothing new."
        )
        requested = arrived[-1] if arrived else cursor.get("requested", "")
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else reason,
            cursor=json.dumps({"waiting": report.waiting, "requested": requested}),
        )

    return sensor


def lost_runs(graph: PlacedGraph) -> dg.SensorDefinition:
    """The sensor of runs whose process is gone."""

    @dg.sensor(
        name=graph.names.of("lost_runs"),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports a run as failed when its process is gone (killed with its machine, for example), so that "
        "it frees the GPU and is started again.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        lost = fail_lost_runs(graph.home, context.instance)
        return dg.SkipReason(f"Reported as failed: {', '.join(lost)}" if lost else "No run is lost.")

    return sensor


class TableIsStale(dg.AutomationCondition):  # type: ignore[type-arg]
    """True for the shards whose table of this stage is stale, as the ledger tells: what the schedule goes by.

    Dagster's own conditions go by events: a run that was under way while the code changed would hide the change.
    A batch service that had not answered is asked again after an hour.
    """

    def __init__(self, graph: PlacedGraph, stage: str) -> None:
        self._graph, self._stage = graph, stage

    @property
    def name(self) -> str:
        return "table_is_stale"

    @property
    def description(self) -> str:
        return "The table is missing, failed in part, or made from other captions, settings, models or code"

    def evaluate(self, context: Any) -> Any:
        """Called for each asset of a tick; the ledger is asked once a tick."""
        keys = tuple(sorted(context.candidate_subset.expensively_compute_partition_keys()))
        stale = _stale_stages(self._graph, keys, context.evaluation_id)
        subset = context.asset_graph_view.get_subset_from_partition_keys(
            context.key, self._graph.names.shards, {key for key in keys if self._stage in stale[key]}
        )
        return dg.AutomationResult(context=context, true_subset=subset)


@lru_cache(maxsize=4)
def _stale_stages(graph: PlacedGraph, keys: tuple[str, ...], evaluation: int) -> Mapping[str, Sequence[str]]:
    recipe = graph.recipe()
    if most_shards(graph, recipe, shard_keys(graph.home)) == 0:
        return dict.fromkeys(keys, ())
    staleness = Staleness(graph.home, recipe, STAGE_NAMES)
    waiting = {key for _, key, note in noted(Ledger(graph.home.ledger).root) if note.was_looked_at(BETWEEN_LOOKS)}
    with staleness.looking():
        return {key: () if key in waiting else staleness.stages(key) for key in keys}


def automation_condition(graph: PlacedGraph, stage: str) -> Any:
    """Stale, in nobody's hands, and not failed when last tried: that waits for the schedule or for a person."""
    mine = (
        TableIsStale(graph, stage) & ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.execution_failed()
    )
    return mine & ~dg.AutomationCondition.any_deps_in_progress()


def as_soon_as_stale(names: Names, stages: Sequence[str]) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the assets' conditions. It is off, for it does what the schedule does."""
    with warnings.catch_warnings():
        # A condition that asks the ledger is evaluated where this code is; the option is in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            name=names.of("as_soon_as_stale"),
            target=names.assets(stages),
            use_user_code_server=True,
            minimum_interval_seconds=60,
            default_status=dg.DefaultSensorStatus.STOPPED,
            description="Runs shards as soon as they are stale, instead of on the schedule. Its evaluations show for "
            "each asset which shards are stale.",
        )
