"""What goes wrong while nobody looks: found by a sensor, and told once, with what to do.

Dagster's own freshness goes by materialisations; a night in which nothing was stale makes none, and is no fault. So
schedules are asked for their ticks.
"""

import datetime
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from imgdiff_assets.common.plain_text import bytes_text, duration_text, printable, shortened
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.runs_in_progress import END, START
from imgdiff_assets.defs.telling import COMMAND, URL, anybody, tell
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.budget import spent
from imgdiff_assets.recipe.cron import next_time
from imgdiff_assets.recipe.recipe import Recipe

FAILED_FOR = datetime.timedelta(days=1)
"""How long after a failure a run is still told of: then its sensor has slept, and a person has looked."""

MOST_RUNS = 20
GRACE = datetime.timedelta(minutes=15)
SOON = datetime.timedelta(hours=24)
LOOKS = 1_440
"""Looks at the disk that are remembered: one a minute for a day."""

WILL_RETRY = "dagster/will_retry"

Problems = Iterator[tuple[str, str]]
"""What is wrong now: a name by which it is known when it is found again, and a sentence or two."""


def watch(graph: PlacedGraph, crons: Mapping[str, str], checks: Collection[dg.AssetCheckKey]) -> dg.SensorDefinition:
    """The sensor. `crons` are the schedules that are to run; its cursor has what was told, and room on the disk."""

    @dg.sensor(
        name=graph.names.of("watch"),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells a command or a web address of runs that failed, checks that failed, schedules that did not "
        f"run, a disk that fills and a budget that is spent, once each: `automation.tell`, {COMMAND}, {URL}.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        recipe, home = graph.recipe(), graph.home
        if not anybody(recipe.automation.tell):
            return dg.SkipReason(f"Nobody is to be told: name somebody in automation.tell, {COMMAND} or {URL}.")
        cursor = json.loads(context.cursor or "{}")
        told: list[str] = cursor.get("told", [])
        now = datetime.datetime.now(datetime.UTC)
        looks = [*cursor.get("room", []), (now.timestamp(), shutil.disk_usage(home.local).free)]
        looks = [look for look in looks if look[0] >= (now - SOON).timestamp()][-LOOKS:]
        found = dict(
            [
                *_failed_runs(context.instance, now),
                *_failed_checks(context.instance, checks, told),
                *_missed_schedules(context.instance, crons, recipe.automation.timezone, now),
                *_full_disk(home, looks, recipe.automation.tell.room_gb),
                *_spent_budget(home, recipe),
            ]
        )
        new = [text for name, text in found.items() if name not in told]
        if new:
            said = "\n".join([f"imgdiff, {home.root.name}:", *(f"- {text}" for text in new if text)])
            for refusal in tell(recipe.automation.tell, said):
                context.log.warning(refusal)
        return dg.SensorResult(
            skip_reason=f"Told of {len(new)}." if new else "Nothing new is wrong.",
            cursor=json.dumps({"told": list(found), "room": looks}),
        )

    return sensor


def _failed_runs(instance: dg.DagsterInstance, now: datetime.datetime) -> Problems:
    """Runs that failed and are not started again by themselves."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - FAILED_FOR)
    for record in instance.get_run_records(failed, limit=MOST_RUNS):
        run = record.dagster_run
        if run.tags.get(WILL_RETRY) != "true":
            shards = f" over {run.tags[START]} to {run.tags[END]}" if {START, END} <= run.tags.keys() else ""
            yield (
                f"run {run.run_id}",
                f"Run {run.run_id[:8]}{shards} failed: {_why(instance, run.run_id)} Its page in `imgdiff ui` says "
                "more; `imgdiff run` goes on where it stopped.",
            )


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data is not None else None
            error = data.error.cause or data.error if data.error is not None else None
            return f"{event.step_key}: {_short(told or (error.message if error is not None else 'no reason is told'))}"
    return "its process is gone, or could not begin."


def _failed_checks(
    instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey], told: Sequence[str]
) -> Problems:
    """Checks whose latest look found something. One that is under way stays what it was."""
    for key in checks:
        name = f"check {key.asset_key.to_user_string()}:{key.name}"
        record = instance.get_latest_asset_check_evaluation_record(key)
        status = record.status.value if record is not None else None
        if status == "PLANNED" and name in told:
            yield name, ""
        elif record is not None and status == "FAILED":
            found = _short(getattr(record.evaluation, "description", None) or "")
            yield (
                name,
                f"The check {key.name} of {key.asset_key.to_user_string()} failed: {found} Look at it in "
                "`imgdiff ui`: it is green again when a later run finds nothing.",
            )


def _missed_schedules(
    instance: dg.DagsterInstance, crons: Mapping[str, str], timezone: str, now: datetime.datetime
) -> Problems:
    """Schedules that are switched on and did not run when they were due, or could not."""
    for state in instance.all_instigator_state():
        name = state.instigator_name
        if state.instigator_type.value != "SCHEDULE" or not state.is_running or name not in crons:
            continue
        due = next_time(crons[name], timezone, now - GRACE, back=True)
        data: Any = state.instigator_data
        if (getattr(data, "start_timestamp", None) or 0.0) > due.timestamp():
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        when = f"{due:%a %d %b %H:%M %Z}"
        if not ticks or ticks[0].timestamp < due.timestamp():
            why = "has not run: its daemon was not there. Leave `imgdiff ui` open; `imgdiff run` makes up for it."
        elif ticks[0].is_failure:
            why = "could not run. Its page in `imgdiff ui` says why."
        else:
            continue
        yield f"schedule {name} {due.timestamp():.0f}", f"The schedule {name}, due on {when}, {why}"


def _full_disk(home: Home, looks: Sequence[Sequence[float]], room_gb: float) -> Problems:
    """A disk with little room, or one that is full within a day if it goes on as since the first of the looks."""
    (then, before), (now, free) = looks[0], looks[-1]
    hours = (now - then) / 3600
    lost = (before - free) / hours if hours >= 1 else 0.0
    what = "Make room: `imgdiff status` tells how much there is; a run that finds none stops, and loses nothing."
    if free < room_gb * 1e9:
        yield "room", f"The disk of {home.root.name} has {bytes_text(free)} free, less than {room_gb:g} GB. {what}"
    elif lost > 0 and free / lost * 3600 < SOON.total_seconds():
        full = duration_text(free / lost * 3600)
        yield "filling", f"The disk of {home.root.name} is full in about {full} if it goes on so. {what}"


def _spent_budget(home: Home, recipe: Recipe) -> Problems:
    left = spent(recipe.automation, Ledger(home.ledger), shard_keys(home))
    if left is not None and not left.left:
        yield f"budget {left.begun.isoformat()}", left.sentence


def _short(text: str) -> str:
    return shortened(printable(text), 300)
