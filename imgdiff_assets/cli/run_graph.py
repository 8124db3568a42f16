"""Running the graph in this process: what is stale is asked of the ledger, and only what is has Dagster run it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from imgdiff_assets.cli.run_report import RunReport
from imgdiff_assets.common.aliases import Say
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.common.progress import Progress, hearing, listening
from imgdiff_assets.defs.instance_files import Told
from imgdiff_assets.engine.changed_values import changed_text
from imgdiff_assets.engine.plan import TablePlan
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import ShardError, check_key, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import read_reviews
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import STAGES, chosen_stages
from resources.loading import devices

KEPT_BY = "What --set tells a run holds for that run alone; `imgdiff recipe copy` begins a recipe that keeps it."


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
    with ExitStack() as stack:
        stack.callback(devices.give_way)
        stack.enter_context(hearing(log))
        if progress is not None:
            stack.enter_context(listening(progress))
        keys = _known_keys(home, shards)
        staleness = Staleness(home, recipe, select, again)
        with staleness.looking():
            stages = {key: staleness.stages(key, retry) for key in shards or keys}
            known = Told(home, staleness.looked(keys))
        again = again or bool(ask is not None and staleness.renewed and ask(staleness.renewed))
        _tell(home, staleness, told, log)
        report = _report_of_fresh(stages, staleness)
        stale = {key: names for key, names in stages.items() if names}
        if stale or not known.already:
            from imgdiff_assets.cli.dagster_runs import DagsterRuns  # Dagster takes longer than all the rest

            DagsterRuns(home, recipe, staleness, report, log, retry, again).bring_up_to_date(keys, select, stale)
            known.remember()
    report.materializations = _made(Ledger(home.ledger), stale, report.run_ids)
    return report


def _known_keys(home: Home, shards: Sequence[str] | None) -> list[str]:
    """The keys of all shards, if these are among them. Raises ShardError."""
    keys = shard_keys(home)
    if not keys:
        raise ShardError(f"There are no shards in {home.captions}: ingest captions first (`imgdiff ingest FILE`).")
    for key in shards or ():
        if check_key(key) not in keys:
            raise ShardError(f"{key}: no such shard; there are {keys[0]} to {keys[-1]}.")
    return keys


def _tell(home: Home, staleness: Staleness, told: Sequence[str], log: Say) -> None:
    """What is to be known before anything is run."""
    if unreadable := read_reviews(home).unreadable:
        lines = counted(len(unreadable), "line")
        log(f"{home.reviews}: {lines} cannot be read and passed over, the first is {unreadable[0]}")
    if otherwise := changed_text(staleness.changed, told):
        log("\n".join(["Tables were made with other values, which this run does not have:", *otherwise, KEPT_BY]))


def _report_of_fresh(stages: Mapping[str, Sequence[str]], staleness: Staleness) -> RunReport:
    fresh = [key for key, names in stages.items() if not names]
    among = set(fresh)
    already = [record for record in staleness.fresh_records if record["shard"] in among]
    made_at = max((record["finished_at"] for record in already), default=None)
    return RunReport(fresh, made_at, sum(record["errors"] for record in already))


def _made(ledger: Ledger, shards: Mapping[str, Sequence[str]], run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The records of the tables of these shards that the runs wrote, stage after stage."""
    records = (ledger.record(stage.name, key) for stage in STAGES for key in shards)
    return [record for record in records if record is not None and record["run_id"] in run_ids]
