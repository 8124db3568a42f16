"""Running the graph in this process: the definitions and the Dagster instance of the web UI."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import REPORT
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.common.progress import Progress, hearing, listening
from imgdiff_assets.definitions import build_definitions
from imgdiff_assets.defs.asset_stage import AGAIN_TAG, PENDING, RETRY_TAG
from imgdiff_assets.defs.automation import JOB
from imgdiff_assets.defs.catalog_index import catch_up
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.ledger_told import STALE, tell_of_red
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.run_requests import group
from imgdiff_assets.defs.runs_in_progress import fail_lost_runs
from imgdiff_assets.engine.changed_values import changed_text
from imgdiff_assets.engine.plan import TablePlan
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import ShardError, check_key
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES, chosen_stages
from resources.loading import devices

LISTED_SHARDS = 3
KEPT_BY = "What --set tells a run holds for that run alone; `imgdiff recipe copy` begins a recipe that keeps it."


@dataclass(slots=True)
class RunReport:
    """What a run of the graph did: Dagster's run ids, the records of what was materialised, one sentence per failure.

    `fresh` are the shards that were up to date already, for which nothing was run; `made_at` is when the last of their
    tables was made, `left_failed` how many of their rows could not be measured. `failed_checks` has a sentence for
    each check that failed; one that blocks what is below is among the failures too. `pending` has one for each table
    that waits for the answers of a batch service, which a later run collects.
    """

    fresh: list[str] = field(default_factory=list)
    made_at: str | None = None
    left_failed: int = 0
    run_ids: list[str] = field(default_factory=list)
    materializations: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"succeeded": self.succeeded, **asdict(self)}

    def to_text(self) -> str:
        """What was written and measured by which runs, and what was up to date."""
        lines = []
        if self.run_ids:
            measured = sum(sum(record["calls"].values()) for record in self.materializations)
            tables = counted(len(self.materializations), "table")
            lines.append(f"{tables} written, {counted(measured, 'measurement')} made; run {', '.join(self.run_ids)}")
        if self.fresh:
            there = "Nothing to do, up to date" if not self.run_ids else "up to date"
            lines.append(f"{there} already: {', '.join(listed(self.fresh, LISTED_SHARDS))}")
        if self.fresh and not self.run_ids and self.made_at is not None:
            lines.append(f"No caption, setting or model is another than when they were made, {self.made_at[:16]} UTC.")
        if self.left_failed:
            rows = counted(self.left_failed, "row")
            lines.append(f"{rows} of them failed and had all their tries (`imgdiff run --retry-failed`)")
        lines += [f"Pending: {sentence}" for sentence in self.pending]
        return "\n".join(lines)


def run_graph(
    home: Home,
    recipe: Recipe,
    shards: Sequence[str] | None = None,
    select: Sequence[str] | None = None,
    progress: Progress | None = None,
    log: Say = lambda text: None,
    retry: bool = False,
    again: bool = False,
    ask: Callable[[Sequence[TablePlan]], bool] | None = None,
    told: Sequence[str] = (),
) -> RunReport:
    """Bring the tables of `select` (default: all stages) over `shards` (default: all) up to date.

    Shards that follow one another and lack the same tables become one Dagster run, so that each model is loaded once.
    A shard that fails stops the others of its run only at that stage: they go on without it, in a run of their own.
    Rows that failed are tried again as often as the recipe says; with `retry`, all of them are, once more. Values that
    the tables were made with otherwise are logged first, but for those that `told` (`section.key=value`) gives.
    What an earlier release's code measured stays as it is, unless `again` says otherwise, or `ask` does, which is
    handed the tables that newer code would measure anew.
    Raises ShardError for an unknown shard, UnknownAsset for an unknown stage, KeyboardInterrupt where it is stopped.
    """
    select = chosen_stages(select, recipe)
    report = RunReport()
    with ExitStack() as stack:
        stack.callback(devices.give_way)
        instance = stack.enter_context(dagster_instance(home))
        stack.enter_context(hearing(log))
        if progress is not None:
            stack.enter_context(listening(progress))
        fail_lost_runs(home, instance)
        keys = register_shards(instance, home)
        if not keys:
            raise ShardError(f"There are no shards in {home.captions}: ingest captions first (`imgdiff ingest FILE`).")
        for key in shards or ():
            if check_key(key) not in keys:
                raise ShardError(f"{key}: no such shard; there are {keys[0]} to {keys[-1]}.")
        staleness = Staleness(home, recipe, select, again)
        with staleness.looking():
            stages = {key: staleness.stages(key, retry) for key in shards or keys}
        again = again or bool(ask is not None and staleness.renewed and ask(staleness.renewed))
        catch_up(home, staleness.fresh_records, log)
        if unreadable := read_reviews(home).unreadable:
            lines = counted(len(unreadable), "line")
            log(f"{home.reviews}: {lines} cannot be read and passed over, the first is {unreadable[0]}")
        if otherwise := changed_text(staleness.changed, told):
            log("\n".join(["Tables were made with other values, which this run does not have:", *otherwise, KEPT_BY]))
        fresh = report.fresh = [key for key, names in stages.items() if not names]
        already = [record for record in staleness.fresh_records if record["shard"] in fresh]
        report.made_at = max((record["finished_at"] for record in already), default=None)
        report.left_failed = sum(record["errors"] for record in already)
        todo = stale = {key: names for key, names in stages.items() if names}
        job = build_definitions(home, recipe).resolve_job_def(JOB) if todo else None
        while todo and job is not None:
            stopped: set[str] = set()
            for request in group(keys, todo, fresh):
                log(f"running {request.shards}")
                result = job.execute_in_process(
                    instance=instance,
                    asset_selection=[dg.AssetKey(name) for name in request.stages],
                    tags={
                        **request.tags,
                        "imgdiff/recipe": recipe.name,
                        "imgdiff/recipe_hash": recipe.hash,
                        **({RETRY_TAG: "all"} if retry else {}),
                        **({AGAIN_TAG: "all"} if again else {}),
                    },
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    raise_on_error=False,
                )
                report.run_ids.append(result.run_id)
                failures = [event for event in result.all_events if event.is_step_failure]
                if any(map(_interrupted, failures)):
                    raise KeyboardInterrupt
                report.failures += [_told(event, log) for event in failures]
                waits = [event for event in result.all_events if _pending(event)]
                report.pending += map(_pending, waits)
                stopped |= {str(event.step_key) for event in (*failures, *waits)}
                checks = result.get_asset_check_evaluations()
                report.failed_checks += [
                    _failed_check(check) for check in checks if not check.passed and check.check_name != STALE
                ]
            # A shard that the stopped stage is the next for has failed, or waits, itself; a failed check is for people
            # to look at. Rows that failed had their try in this call, and a shard that did not get on has no other.
            left = {key: staleness.unusable(key) for key in todo} if stopped and stopped <= set(select) else {}
            todo = {
                key: names for key, names in left.items() if names and names[0] not in stopped and names != todo[key]
            }
        tell_of_red(PlacedGraph(home), recipe, instance, keys)
    ledger = Ledger(home.ledger)
    for stage in STAGES:
        for key in stale:
            record = ledger.record(stage.name, key)
            if record is not None and record["run_id"] in report.run_ids:
                report.materializations.append(record)
    return report


def _interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because somebody stopped the run, which Dagster makes a failure of."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name == DagsterExecutionInterruptedError.__name__


def _failed_check(check: dg.AssetCheckEvaluation) -> str:
    """Which check failed, on which table, and what it found first."""
    found = (check.description or "").splitlines()
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"{check.asset_key.to_user_string()}: the check {check.check_name} failed: {found[0] if found else ''}{more}"
    )


def _pending(event: dg.DagsterEvent) -> str:
    """What a table waits for; empty for an event that tells of none."""
    if event.event_type != dg.DagsterEventType.ASSET_OBSERVATION:
        return ""
    said = event.asset_observation_data.asset_observation.metadata.get(PENDING)
    return str(said.value) if said is not None else ""


def _told(event: dg.DagsterEvent, log: Say) -> str:
    """Why a step failed, in one sentence; of one that does not say it itself, the traceback is logged."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    if error is None:
        return f"{event.step_key}: failed"
    log(f"{error.to_string()}\n{REPORT}")
    return f"{event.step_key}: {error.message.strip().splitlines()[0]}"
