"""The runs that bring stale shards up to date: the definitions and the Dagster instance of the web UI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from imgdiff_assets.cli.run_report import RunReport
from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.errors import REPORT
from imgdiff_assets.defs.asset_stage import AGAIN_TAG, PENDING, RETRY_TAG
from imgdiff_assets.defs.automation import JOB
from imgdiff_assets.defs.catalog_index import catch_up
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.ledger_told import STALE, tell_of_red
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.run_requests import Request, group
from imgdiff_assets.defs.runs_in_progress import fail_lost_runs
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe

Stale = Mapping[str, Sequence[str]]
"""By shard, the stages whose table is to be made."""


@dataclass(slots=True)
class DagsterRuns:
    """What `run_graph` has Dagster do, and what came of it, in its report."""

    home: Home
    recipe: Recipe
    staleness: Staleness
    report: RunReport
    log: Say
    retry: bool
    again: bool

    def bring_up_to_date(self, keys: Sequence[str], select: Sequence[str], stale: Stale) -> None:
        """Run what is stale of the shards, `keys` being all; then, or if nothing is, tell Dagster what it missed."""
        with dagster_instance(self.home) as instance:
            fail_lost_runs(self.home, instance)
            register_shards(instance, self.home)
            catch_up(self.home, self.staleness.fresh_records, self.log)
            job = build_definitions(self.home, self.recipe).resolve_job_def(JOB) if stale else None
            while stale and job is not None:
                stopped: set[str] = set()
                for request in group(keys, stale, self.report.fresh):
                    stopped |= self._run(job, instance, request)
                stale = self._left(stale, stopped) if stopped <= set(select) else {}
            tell_of_red(PlacedGraph(self.home), self.recipe, instance, keys)

    def _run(self, job: dg.JobDefinition, instance: dg.DagsterInstance, request: Request) -> set[str]:
        """One run; returns its steps that failed, or wait. Raises KeyboardInterrupt."""
        self.log(f"running {request.shards}")
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in request.stages],
            tags={
                **request.tags,
                "imgdiff/recipe": self.recipe.name,
                "imgdiff/recipe_hash": self.recipe.hash,
                **({RETRY_TAG: "all"} if self.retry else {}),
                **({AGAIN_TAG: "all"} if self.again else {}),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        self.report.run_ids.append(result.run_id)
        failures = [event for event in result.all_events if event.is_step_failure]
        if any(map(_interrupted, failures)):
            raise KeyboardInterrupt
        self.report.failures += [_told(event, self.log) for event in failures]
        waits = [event for event in result.all_events if _pending(event)]
        self.report.pending += map(_pending, waits)
        checks = result.get_asset_check_evaluations()
        self.report.failed_checks += [
            _failed_check(check) for check in checks if not check.passed and check.check_name != STALE
        ]
        return {str(event.step_key) for event in (*failures, *waits)}

    def _left(self, stale: Stale, stopped: set[str]) -> Stale:
        """What of the shards is to be run yet, after stages were `stopped`.

        A shard that the stopped stage is the next for has failed, or waits, itself; a failed check is for people to
        look at. Rows that failed had their try in this call, and a shard that did not get on has no other.
        """
        left = {key: self.staleness.unusable(key) for key in stale} if stopped else {}
        return {key: names for key, names in left.items() if names and names[0] not in stopped and names != stale[key]}


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
