"""Workers killed at random moments: is the ledger what one process makes, and is anything left?

    python -m benchmarks.workers_killed [--kills 100] [--captions 12] [--seed 0] [--json FILE]

The miniature's whole graph over captions of the demo, again and again, by two workers: half of the kills meet
processes of this machine, half actors of a Ray that is started here. Every few seconds one of them ends by SIGKILL,
whatever it does, also while it loads its models; but not before something was measured since the last kill: where none
lives as long as it takes to load, nothing can be. A batch is one row, for rows in batches of other sizes differ in
their last bits; one that three kills meet is set apart: that is counted, and it is tried again.
"""

import argparse
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from benchmarks.served_crew import ServedCrew
from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.measurer import HERE, Measurer
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.workers.crew import Crew
from imgdiff_assets.engine.workers.local_crew import THREADS
from imgdiff_assets.engine.workers.ray_crew import RayCrew
from imgdiff_assets.engine.workers.team import Team
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import stages_of

SHARD = "shard-000000"
OF_RAY = "ray::Worker"
SERVER = "multiprocessing.forkserver"


@dataclass(frozen=True, slots=True)
class Trial:
    """What kills of one kind of workers did: `same` of the `runs` came to the hashes of one process, for all tables.

    `told` are the workers that records say have ended, `apart` rows that kills set apart, `left` processes and staged
    batches that outlived a team.
    """

    kind: str
    kills: int = 0
    runs: int = 0
    same: int = 0
    told: int = 0
    apart: int = 0
    left: int = 0
    seconds: float = 0.0


def workers() -> list[psutil.Process]:
    """Those of this process that measure: forks of its server, or Ray's actors."""
    children = psutil.Process().children(recursive=True)
    found = []
    for child in children:
        try:
            line = " ".join(child.cmdline())
        except psutil.Error:
            continue
        is_local = SERVER in line and child.ppid() != os.getpid()  # else it is the server
        if is_local or line.startswith(OF_RAY):
            found.append(child)
    return found


class Killer(threading.Thread):
    """Ends a worker now and then, until it has ended `most` or is told to stop."""

    def __init__(self, chance: random.Random, most: int, every: float) -> None:
        super().__init__(daemon=True)
        self._chance, self._most, self._every = chance, most, every
        self.kills, self.done, self.measured = 0, threading.Event(), threading.Event()

    def saw(self, what: str, done: int, total: int) -> None:
        """Something was measured."""
        self.measured.set()

    def run(self) -> None:
        while self.kills < self._most and not self.done.wait(self._chance.expovariate(1 / self._every)):
            if self.measured.is_set() and (candidates := workers()):
                self.measured.clear()
                os.kill(self._chance.choice(candidates).pid, signal.SIGKILL)
                self.kills += 1


def fresh_home(root: Path, captions: int) -> Home:
    home = Home(root)
    root.mkdir(parents=True)
    texts = DEMO_CAPTIONS.read_text(encoding="utf-8").splitlines()[:captions]
    (root / "captions.txt").write_text("\n".join(texts), encoding="utf-8")
    ingest([root / "captions.txt"], home)
    return home


def whole_graph(
    home: Home, measurer: Measurer, progress: Progress = lambda what, done, total: None
) -> tuple[dict[str, str], int, int]:
    """By stage the hash of its table; workers that were told to have ended; rows that this set apart."""
    one_by_one = [f"{role}.batch_size=1" for role in load_recipe("miniature").roles]
    recipe = load_recipe("miniature", [*one_by_one, "max_error_share=1.0"])
    hashes, told, apart = {}, 0, 0
    for stage in stages_of(recipe):
        inputs, models = read_inputs(stage, home, SHARD), LoadedModels.shared(recipe.roles)
        ledger = Ledger(home.ledger)
        made = materialize(stage, SHARD, inputs, recipe, ledger, models, "run", progress=progress, measurer=measurer)
        hashes[stage.name] = made.output_hash
        told += sum(use.ended is not None for use in made.workers.values())
        apart += made.rejections.get("error:worker_ended", 0)
    return hashes, told, apart


def kill(
    kind: str, crew: Callable[[], Crew], root: Path, captions: int, kills: int, every: float, chance: random.Random
) -> Iterator[Trial]:
    """Whole graphs by a team of two, until so many of its workers were killed; what they did so far, after each."""
    whole, trial, began = whole_graph(fresh_home(root / "whole", captions), HERE)[0], Trial(kind), time.monotonic()
    while trial.kills < kills:
        home, team = fresh_home(root / f"{kind}-{trial.runs}", captions), Team(crew, lambda text: None)
        killer = Killer(chance, kills - trial.kills, every)
        killer.start()
        try:
            hashes, told, apart = whole_graph(home, team, killer.saw)
            if apart:
                killer.done.set()
                hashes = whole_graph(home, team)[0]
        finally:
            killer.done.set()
            killer.join()
            team.close()
        left = len(workers()) + len(Ledger(home.ledger).all_staged())
        trial = replace(
            trial,
            kills=trial.kills + killer.kills,
            runs=trial.runs + 1,
            same=trial.same + (hashes == whole),
            told=trial.told + told,
            apart=trial.apart + apart,
            left=trial.left + left,
            seconds=round(time.monotonic() - began, 1),
        )
        yield trial


def main() -> None:
    """Kill, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="workers that are killed, in all (default 100)")
    parser.add_argument("--captions", type=int, default=12, help="captions of the demo (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there, as they come")
    arguments = parser.parse_args()
    os.environ[THREADS] = "1"
    chance, half = random.Random(arguments.seed), arguments.kills // 2
    crews: dict[str, tuple[Callable[[], Crew], int, float]] = {
        "local": (lambda: ServedCrew(2, imported=("benchmarks.model_libraries",)), half, 2.5),
        "ray": (lambda: RayCrew(2, None, 1.0, None, "DEFAULT"), arguments.kills - half, 6.0),
    }
    options = {name: value for name, value in vars(arguments).items() if name != "json"}
    command = " ".join(["python -m benchmarks.workers_killed", *(f"--{k} {v}" for k, v in options.items())])
    trials: dict[str, Trial] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, (crew, kills, every) in crews.items():
            for trial in kill(kind, crew, Path(folder) / kind, arguments.captions, kills, every, chance):
                print(trial, flush=True)
                trials[kind] = trial
                if arguments.json:  # now: who stops it has what there is
                    values = {"command": command, "trials": [asdict(trial) for trial in trials.values()]}
                    arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(not all(trial.same == trial.runs and not trial.left for trial in trials.values()))


if __name__ == "__main__":
    main()
