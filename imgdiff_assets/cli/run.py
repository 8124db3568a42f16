"""Running the graph from Python or the command line: the definitions and the Dagster instance of the web UI."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy.exc import DBAPIError

from imgdiff_assets.common.progress import Progress, hearing, listening
from imgdiff_assets.definitions import build_definitions
from imgdiff_assets.defs.asset_stage import RETRY_TAG
from imgdiff_assets.defs.catalog_index import catch_up
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.run_requests import group
from imgdiff_assets.defs.runs_in_progress import fail_lost_runs
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import ShardError, check_key
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES, chosen_stages
from resources.catalog import CatalogUnavailable
from resources.loading import devices

DAGSTER_YAML = Path(__file__).parents[1] / "data" / "dagster.yaml"


@dataclass(slots=True)
class RunReport:
    """What a call of `run` did: Dagster's run ids, the records of what was materialised, one sentence per failure.

    `fresh` are the shards that were up to date already, for which nothing was run.
    """

    fresh: list[str] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    materializations: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return not self.failures


def dagster_folder(home: Home) -> Path:
    """Where the Dagster instance of this home is: `<home>/dagster`, unless DAGSTER_HOME names another place."""
    return Path(os.environ.get("DAGSTER_HOME") or home.dagster)


@contextmanager
def dagster_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this home; made when missing."""
    home.create()
    folder = dagster_folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        shutil.copyfile(DAGSTER_YAML, folder / "dagster.yaml")
    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except DBAPIError as error:
        raise OSError(
            f"{folder}: Dagster's database cannot be used ({error.orig}); make room there or point IMGDIFF_HOME "
            "elsewhere, and run again: every batch that was measured is kept."
        ) from error


def run(
    home: Home,
    recipe: Recipe,
    shards: Sequence[str] | None = None,
    select: Sequence[str] | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda text: None,
    retry: bool = False,
) -> RunReport:
    """Bring the tables of `select` (default: all stages) over `shards` (default: all) up to date.

    Shards that follow one another and lack the same tables become one Dagster run, so that each model is loaded once.
    A shard that fails stops the others of its run only at that stage: they go on without it, in a run of their own.
    Rows that failed are tried again as often as the recipe says; with `retry`, all of them are, once more.
    Raises ShardError for an unknown shard, ValueError for an unknown stage.
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
        staleness = Staleness(home, recipe, select)
        stages = {key: staleness.stages(key, retry) for key in shards or keys}
        with suppress(CatalogUnavailable):  # an index, without which runs go on
            catch_up(home, staleness.fresh_records)
        fresh = report.fresh = [key for key, names in stages.items() if not names]
        todo = stale = {key: names for key, names in stages.items() if names}
        job = build_definitions(home, recipe).resolve_implicit_global_asset_job_def()
        while todo:
            failed: set[str] = set()
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
                    },
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                    raise_on_error=False,
                )
                report.run_ids.append(result.run_id)
                failures = [event for event in result.all_events if event.is_step_failure]
                report.failures += [_sentence(event) for event in failures]
                failed |= {str(event.step_key) for event in failures}
            # A shard that the failed stage is the next for has failed itself; a failed check is for people to look at.
            # Rows that failed had their try in this call, and a shard that did not get on has no other.
            left = {key: staleness.unusable(key) for key in todo} if failed and failed <= set(select) else {}
            todo = {
                key: names for key, names in left.items() if names and names[0] not in failed and names != todo[key]
            }
    ledger = Ledger(home.ledger)
    for stage in STAGES:
        for key in stale:
            record = ledger.record(stage.name, key)
            if record is not None and record["run_id"] in report.run_ids:
                report.materializations.append(record)
    return report


def _sentence(event: dg.DagsterEvent) -> str:
    """Why a step failed, in one sentence."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    return f"{event.step_key}: {error.message.strip().splitlines()[0] if error else 'failed'}"
