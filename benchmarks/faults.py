"""Real runs killed at random moments: what does the next run find, reuse, and make of it?

    python -m benchmarks.faults [--moments 56] [--together 5] [--captions 6] [--seed 0] [--json FILE]

Each trial runs `imgdiff run` with the miniature recipe over a fresh copy of one ingested home, in a process of its
own, and ends it with SIGKILL. The moments go through the stages in turn: one of the stage's finished batches, and a
part of the time to the next one. A second run then goes to the end. Its ledger is compared with that of a run that
nothing broke: every column but `run_id` and `measured_at`, images byte by byte, and which files there are. The last
trials start two runs at once.

Batches are small, so that there are many; the libraries are imported once and every run is forked from there.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from imgdiff_assets.catalog_index import rebuild
from imgdiff_assets.cli import main as imgdiff
from imgdiff_assets.graph import STAGE_NAMES, STAGES
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.materialization import BOOKKEEPING
from imgdiff_assets.progress import listening
from imgdiff_assets.run import dagster_instance
from imgdiff_assets.shards import ingest, shard_keys
from resources.catalog import TABLES, Catalog
from resources.dagster_resources import ROLES
from resources.miniature.scenes import random_caption

CHEAP_ROLES = ("image_text_encoder", "image_text_matcher")
SMALL_BATCHES = [f"{role}.batch_size={4 if role in CHEAP_ROLES else 2}" for role in ROLES]
SHARDS = 2
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
    """When to kill: so long after the event with this number."""

    event: int
    delay: float


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
    """What a kill cost: batches and rows finished before it, those of them that the next run took over, and so on.

    `measured_twice` counts rows that were on disk and measured nevertheless; `left` names files that no unbroken run
    leaves; `same` and `catalog_same` compare the ledger with an unbroken run's, the catalog with one made anew.
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


def import_libraries() -> None:
    """What every run needs, so that a fork of this process has it at once."""
    import open_clip
    import segment_anything
    import torchvision.ops
    from diffusers import StableDiffusionXLPipeline
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, BlipForImageTextRetrieval

    _ = open_clip, segment_anything, torchvision.ops, StableDiffusionXLPipeline
    _ = AutoModelForCausalLM, AutoModelForImageTextToText, BlipForImageTextRetrieval


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
    """A forked run, and the pipe through which it tells its progress."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(home, theirs))
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
                if kill is not None and len(result.events) == kill.event + 1:
                    deadline = time.monotonic() + kill.delay
            else:
                process.kill()
                deadline = None  # what the run had said by then is still in the pipe
        except EOFError:
            break
    process.join()
    result.seconds, result.code = time.monotonic() - started, process.exitcode
    return result


def choose_moments(unbroken: Observed, count: int, seed: int) -> list[Moment]:
    """Stage by stage in some order, one of its events and a part of the time to the next."""
    chance = random.Random(seed)
    stages = chance.sample(STAGE_NAMES, len(STAGE_NAMES))
    ends = [event.seconds for event in unbroken.events[1:]] + [unbroken.seconds]
    moments = []
    for number in range(count):
        stage = stages[number % len(stages)]
        event = chance.choice([index for index, event in enumerate(unbroken.events) if event.stage == stage])
        moments.append(Moment(event, chance.uniform(0, ends[event] - unbroken.events[event].seconds)))
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
    """All files but Dagster's."""
    paths = [path.relative_to(home.root) for path in home.root.rglob("*") if path.is_file()]
    return {str(path) for path in paths if path.parts[0] != home.dagster.name}


def durable_rows(home: Home) -> Rows:
    """Measured rows that are on disk: in tables, and in batches that are in no table yet."""
    ledger, rows = Ledger(home.ledger), Rows()
    for stage in STAGES:
        for shard in shard_keys(home):
            for step in stage.measurements:
                paths = list(ledger.staging(stage.name, shard).glob(f"{step.name}-*.parquet"))
                paths += [ledger.table_path(stage.name, shard)] if ledger.exists(stage.name, shard) else []
                column = step.fingerprint_column
                found = {
                    value for path in paths for value in pq.read_table(path, columns=[column])[column].to_pylist()
                }
                rows[f"{stage.name}: {step.name}"] += len(found - {None})
    return rows


def catalog_rows(home: Home) -> list[list[dict[str, Any]]]:
    return [Catalog(home.catalog).query(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in TABLES]


def compare(
    home: Home, unbroken: Home, stage: str, before: Sequence[Observed], durable: Rows, last: Observed
) -> Trial:
    """What became of the home after `last`, the run that went to the end."""
    total, (_, again) = durable_rows(unbroken), last.finished()
    counts = [run.finished() for run in before]
    finished = sum((rows for _, rows in counts), Rows())
    left, known = files(home) - files(unbroken), catalog_rows(home)
    rebuild(home)
    return Trial(
        stage=stage,
        seconds=round(before[0].seconds, 3),
        batches=sum(batches for batches, _ in counts),
        rows=finished.total(),
        reused=sum(min(rows, total[what] - again[what]) for what, rows in finished.items()),
        measured_twice=sum(max(0, durable[what] + again[what] - total[what]) for what in total),
        same=last.code == 0 and contents(home) == contents(unbroken),
        catalog_same=known == catalog_rows(home),
        left=sorted(left),
    )


def kill_once(ingested: Home, unbroken: Home, root: Path, moment: Moment, stage: str) -> Trial:
    """A run that is killed, and one that is not."""
    home = Home(root / "killed")
    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(ingested.root, home.root)
    killed = watch(*start(home), moment)
    if killed.code == 0:  # this time it was faster
        return kill_once(ingested, unbroken, root, Moment(moment.event, moment.delay / 2), stage)
    durable = durable_rows(home)
    return compare(home, unbroken, stage, [killed], durable, watch(*start(home)))


def two_at_once(ingested: Home, unbroken: Home, root: Path) -> Trial:
    """Two runs over the same shards, started together: they share the work and give the same ledger."""
    home = Home(root / "shared")
    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(ingested.root, home.root)
    first, second = start(home), start(home)
    one, other = watch(*first), watch(*second)
    if one.code != 0 or "is held by run" not in home.root.with_suffix(".log").read_text(encoding="utf-8"):
        raise RuntimeError(f"two runs at once: {one}; no run said that it waits for the other")
    return compare(home, unbroken, TOGETHER, [one], one.finished()[1], other)


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
    import_libraries()
    ingested = ingested_home(root, captions, seed)
    unbroken = Home(root / "unbroken")
    shutil.copytree(ingested.root, unbroken.root)
    whole = watch(*start(unbroken))
    if whole.code != 0:
        raise RuntimeError(f"the run that nothing broke failed: {unbroken.root.with_suffix('.log').read_text()}")
    moments = choose_moments(whole, count, seed)
    trials = [
        kill_once(ingested, unbroken, root, moment, whole.events[moment.event].stage)
        for moment in tqdm(moments, unit="kill", disable=None)
    ]
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
