"""Real runs killed at random moments: what does the next run find, reuse, and make of it?

    python -m benchmarks.faults [--moments 56] [--together 5] [--captions 6] [--seed 0] [--json FILE]

A fresh copy of one ingested home is run by `imgdiff run` with the miniature recipe, in a process of its own that ends
by SIGKILL; then again, and killed again, once in each stage: after one of its batches, and a part of the time to the
next one. A last run goes to the end. Its ledger is compared with that of a run that nothing broke: every column but
`run_id` and `measured_at`, images byte by byte, and which files there are. Then two runs are started at once.

Batches are small, so that there are many; a server imports the libraries once, and forks every run.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from imgdiff_assets.cli.main import main as imgdiff
from imgdiff_assets.common.progress import listening
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stages_of
from resources.catalog import TABLES, Catalog
from resources.miniature.scenes import random_caption

CHEAP_ROLES = ("image_text_encoder", "image_text_matcher")
SMALL_BATCHES = [f"{role}.batch_size={2 if role in CHEAP_ROLES else 1}" for role in load_recipe("miniature").roles]
SHARDS = 2
CONTEXT = multiprocessing.get_context("forkserver")
TOGETHER = "two at once"
Rows = Counter[str]
"""Rows by measurement, named as progress names them: `image_pairs: generate`."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a run said of its progress, and when."""

    seconds: float
    what: str
    done: int

    @property
    def stage(self) -> str:
        return self.what.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: so long after the stage's event with this number; at once, if a later stage begins before."""

    stage: str
    event: int
    delay: float

    def begins(self, events: Sequence[Event]) -> float | None:
        """The delay, if the last of the events is the one to wait for."""
        stage = events[-1].stage
        if STAGE_NAMES.index(stage) > STAGE_NAMES.index(self.stage):
            return 0.0
        count = sum(event.stage == self.stage for event in events)
        return self.delay if stage == self.stage and count > self.event else None


@dataclass(slots=True)
class Observed:
    """A run as seen from outside; `code` is minus 9 if it was killed."""

    events: list[Event] = field(default_factory=list)
    seconds: float = 0.0
    code: int | None = None

    def finished(self) -> tuple[int, Rows]:
        """Batches and rows that the run said were done."""
        batches, rows, before = 0, Rows(), Rows()
        for event in self.events:
            if event.done:
                batches += 1
                rows[event.what] += event.done - before[event.what]
            before[event.what] = event.done
        return batches, rows


@dataclass(frozen=True, slots=True)
class Trial:
    """What a kill cost: batches and rows that the run had finished, those of them that were not made again, and so on.

    `measured_twice` counts rows that were on disk and measured nevertheless. Of the home in the end: `left` names
    files that no unbroken run leaves; `same` and `catalog_same` compare the ledger with an unbroken run's, the catalog
    with one made anew.
    """

    stage: str
    seconds: float
    batches: int
    rows: int
    reused: int
    measured_twice: int
    same: bool
    catalog_same: bool
    left: list[str]

    @property
    def lossless(self) -> bool:
        return (
            self.reused == self.rows and not self.measured_twice and self.same and self.catalog_same and not self.left
        )


def ingested_home(root: Path, captions: int, seed: int) -> Home:
    """A home with captions in two shards, and its Dagster instance, but nothing run."""
    home, chance = Home(root / "ingested"), random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < captions:
        texts[random_caption(chance)] = None
    file = root / "captions.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    ingest([file], home, shard_size=-(-captions // SHARDS))
    with dagster_instance(home):
        return home


def _run(home: Home, events: Connection) -> None:
    """`imgdiff run`, in a process of its own."""
    os.environ["IMGDIFF_HOME"] = str(home.root)
    os.environ.pop("DAGSTER_HOME", None)
    output = os.open(home.root.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with listening(lambda what, done, total: events.send((what, done))):
        imgdiff(["run", "--set", *SMALL_BATCHES])


def start(home: Home) -> tuple[Any, Connection]:
    """A run of its own, and the pipe through which it tells its progress."""
    CONTEXT.set_forkserver_preload(["imgdiff_assets.cli.main", "benchmarks.model_libraries"])
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_run, args=(home, theirs))
    process.start()
    theirs.close()
    return process, ours


def watch(process: Any, pipe: Connection, kill: Moment | None = None) -> Observed:
    """Follow a run to its end, which may be `kill`."""
    result, started = Observed(), time.monotonic()
    deadline: float | None = None
    while True:
        try:
            if pipe.poll(None if deadline is None else max(0.0, deadline - time.monotonic())):
                result.events.append(Event(time.monotonic() - started, *pipe.recv()))
                if kill is not None and deadline is None and (delay := kill.begins(result.events)) is not None:
                    deadline = time.monotonic() + delay
            else:
                process.kill()
                kill = deadline = None  # what the run had said by then is still in the pipe
        except EOFError:
            break
    process.join()
    result.seconds, result.code = time.monotonic() - started, process.exitcode
    return result


def choose_moments(unbroken: Observed, count: int, chance: random.Random) -> list[Moment]:
    """One for each of `count` stages, in order: one of its events in a shard and a part of the time to the next."""
    stages = sorted(chance.sample(STAGE_NAMES, min(count, len(STAGE_NAMES))), key=STAGE_NAMES.index)
    ends = [event.seconds for event in unbroken.events[1:]] + [unbroken.seconds]
    moments = []
    for stage in stages:
        events = [index for index, event in enumerate(unbroken.events) if event.stage == stage]
        number = chance.randrange(-(-len(events) // SHARDS))
        gap = ends[events[number]] - unbroken.events[events[number]].seconds
        moments.append(Moment(stage, number, chance.uniform(0, gap)))
    return moments


def contents(home: Home) -> dict[tuple[str, str], pa.Table]:
    """All tables with their images, without what says when and by whom a row was measured."""
    ledger = Ledger(home.ledger)
    tables = {}
    for stage in STAGES:
        for shard in ledger.shards(stage.name):
            tables[stage.name, shard] = ledger.read(stage.name, shard, images=True).drop_columns(list(BOOKKEEPING))
    return tables


def files(home: Home) -> set[str]:
    """All files but Dagster's, and what the machine may forget."""
    paths = [path.relative_to(home.root) for path in home.root.rglob("*") if path.is_file()]
    return {str(path) for path in paths if path.parts[0] not in (home.dagster.name, "cache")}


def durable_rows(home: Home) -> Rows:
    """Measured rows that are on disk: in tables, and in batches that are in no table yet."""
    ledger, rows = Ledger(home.ledger), Rows()
    for stage in stages_of(load_recipe("miniature")):
        for shard in shard_keys(home):
            for step in stage.measurements:
                paths = list(ledger.staging(stage.name, shard).glob(f"{step.name}-*.parquet"))
                paths += [ledger.table_path(stage.name, shard)] if ledger.exists(stage.name, shard) else []
                column = step.fingerprint_column
                tables = [pq.read_table(path, partitioning=None) for path in paths]
                # A measurement that the recipe does not make has no columns.
                measured = [table for table in tables if column in table.column_names]
                found = {value for table in measured for value in table[column].to_pylist()}
                rows[f"{stage.name}: {step.name}"] += len(found - {None})
    return rows


def catalog_rows(home: Home) -> list[list[dict[str, Any]]]:
    return [Catalog(home.catalog).query(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in TABLES]


def compare(home: Home, unbroken: Home, runs: Sequence[Observed], durable: Sequence[Rows]) -> list[Trial]:
    """What became of the home after `runs`, the last of which went to the end: a trial for each of the others.

    `durable` are the rows that were on disk after each of these.
    """
    total, rows = durable_rows(unbroken), [run.finished()[1] for run in runs]
    left, known = sorted(files(home) - files(unbroken)), catalog_rows(home)
    rebuild(home)
    same = runs[-1].code == 0 and contents(home) == contents(unbroken)
    catalog_same = known == catalog_rows(home)
    trials = []
    for number, (run, on_disk) in enumerate(zip(runs, durable, strict=False)):
        before, after = sum(rows[:number], Rows()), sum(rows[number + 1 :], Rows())
        trials.append(
            Trial(
                stage=run.events[-1].stage,
                seconds=round(run.seconds, 3),
                batches=run.finished()[0],
                rows=rows[number].total(),
                reused=sum(min(done, total[what] - before[what] - after[what]) for what, done in rows[number].items()),
                measured_twice=sum(max(0, on_disk[what] + after[what] - total[what]) for what in total),
                same=same,
                catalog_same=catalog_same,
                left=left,
            )
        )
    return trials


def kill_again_and_again(ingested: Home, unbroken: Home, root: Path, moments: Sequence[Moment]) -> list[Trial]:
    """A run that is killed, the next one too, and so on, and one that is not."""
    home = Home(root / "killed")
    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(ingested.root, home.root)
    runs, durable = [], []
    for moment in [*moments, None]:
        runs.append(watch(*start(home), moment))
        if runs[-1].code != -signal.SIGKILL:  # that was the last one, or it was faster than the kill
            return compare(home, unbroken, runs, durable)
        durable.append(durable_rows(home))
    raise RuntimeError("a run was killed by someone else")


def two_at_once(ingested: Home, unbroken: Home, root: Path) -> Trial:
    """Two runs over the same shards, started together: they share the work and give the same ledger."""
    home = Home(root / "shared")
    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(ingested.root, home.root)
    first, second = start(home), start(home)
    one, other = watch(*first), watch(*second)
    if one.code != 0 or "is held by run" not in home.root.with_suffix(".log").read_text(encoding="utf-8"):
        raise RuntimeError(f"two runs at once: {one}; no run said that it waits for the other")
    (trial,) = compare(home, unbroken, [one, other], [one.finished()[1]])
    return replace(trial, stage=TOGETHER)


def table(trials: Sequence[Trial]) -> str:
    """What the kills in each stage cost."""
    heads = (
        "batches finished",
        "rows in them",
        "reused",
        "measured twice",
        "same ledger",
        "same catalog",
        "files left",
    )
    lines = [f"{'killed in':<16}{'kills':>6}" + "".join(f"{head:>18}" for head in heads)]
    for stage in (*STAGE_NAMES, TOGETHER):
        of_stage = [trial for trial in trials if trial.stage == stage]
        sums = [
            sum(getattr(trial, name) for trial in of_stage) for name in ("batches", "rows", "reused", "measured_twice")
        ]
        sums += [sum(trial.same for trial in of_stage), sum(trial.catalog_same for trial in of_stage)]
        sums += [sum(len(trial.left) for trial in of_stage)]
        lines.append(f"{stage:<16}{len(of_stage):>6}" + "".join(f"{value:>18,}" for value in sums))
    return "\n".join(lines)


def measure(root: Path, count: int, together: int, captions: int, seed: int) -> list[Trial]:
    """`count` kills and `together` pairs of runs at once, below the folder `root`."""
    ingested = ingested_home(root, captions, seed)
    unbroken = Home(root / "unbroken")
    shutil.copytree(ingested.root, unbroken.root)
    whole = watch(*start(unbroken))
    if whole.code != 0:
        raise RuntimeError(f"the run that nothing broke failed: {unbroken.root.with_suffix('.log').read_text()}")
    trials: list[Trial] = []
    chance = random.Random(seed)
    with tqdm(total=count, unit="kill", disable=None) as bar:
        while len(trials) < count:
            moments = choose_moments(whole, count - len(trials), chance)
            trials += kill_again_and_again(ingested, unbroken, root, moments)
            bar.update(len(trials) - bar.n)
    return trials + [two_at_once(ingested, unbroken, root) for _ in range(together)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=56, help="how many runs are killed (default 56)")
    parser.add_argument("--together", type=int, default=5, help="how often two runs are started at once (default 5)")
    parser.add_argument("--captions", type=int, default=6, help="captions, in two shards (default 6)")
    parser.add_argument("--seed", type=int, default=0, help="seed of captions and moments (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = measure(Path(folder), arguments.moments, arguments.together, arguments.captions, arguments.seed)
    print(table(trials))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        options = {name: value for name, value in vars(arguments).items() if name != "json"}
        command = " ".join(["python -m benchmarks.faults", *(f"--{name} {value}" for name, value in options.items())])
        values = {"command": command, "trials": [asdict(trial) for trial in trials]}
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(not all(trial.lossless for trial in trials))


if __name__ == "__main__":
    main()
