"""What several workers make of one shard's measurements, and how many of them one driver can feed.

    python -m benchmarks.scale [--captions 64] [--drawn 0] [--repeats 3] [--sleepers 64] [--pairs 256] [--json FILE]

First the miniature over captions of the demo, or of `--drawn` scenes: by one worker process of one thread, by two of
one thread each, and by one of two threads, in turn, with fresh homes. Loading is not counted: each team makes itself
ready on a first home. Then the driver alone: workers that sleep three seconds a pair, as long as Stable Diffusion XL
draws one on a large card, and answer with images of 1024² pixels and 1.6 MB, which the driver stages as ever.

Whoever reads the figures needs to know what else the cores did: the processor's time is beside them. `at most` is what
two workers would be on cores that nobody else uses: the processor time of the one worker over that of the busier of
the two. It is bounded by what they do twice and by how evenly the batches fall, and does not know of caches and memory
that two cores share.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.served_crew import ServedCrew, for_a_run
from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.measurer import Measurer
from imgdiff_assets.engine.parents import Inputs, read_inputs
from imgdiff_assets.engine.workers.local_crew import THREADS, LocalCrew
from imgdiff_assets.engine.workers.order import Answer, Order
from imgdiff_assets.engine.workers.team import Team
from imgdiff_assets.engine.workers.worker import Worker
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import KIND_COLUMNS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import stage_named, stages_of
from imgdiff_assets.stages.image_pairs import PROMPT_COLUMNS
from resources.miniature.scenes import random_caption

SHARD = "shard-000000"
SECONDS_A_PAIR = 3.0
SIDE = 1024
WARM = 8
"""Captions of the home on which a team makes itself ready."""

MODELS = ("benchmarks.model_libraries",)
TEAMS = {"1": (1, 1), "2": (2, 1), "1 of two threads": (1, 2)}
"""Workers, and the threads of each."""


@dataclass(slots=True)
class Stage:
    """One stage over all captions.

    `driver` is processor time of the run's own process, `busiest` that of the worker that had most, `sent` what went
    both ways.
    """

    stage: str
    rows: int
    seconds: float
    driver: float
    busiest: float
    sent: int


@dataclass(frozen=True, slots=True)
class Driver:
    """What a driver does for workers that sleep; `possible` is the share of the pairs that they could have made."""

    workers: int
    pairs: int
    pair_bytes: int
    seconds: float
    possible: float
    driver_seconds_a_pair: float
    workers_it_can_feed: float


class Counted:
    """A pipe that counts its bytes, both ways."""

    def __init__(self, pipe: Connection, counts: list[int]) -> None:
        self._pipe, self._counts = pipe, counts

    def send_bytes(self, data: bytes) -> None:
        self._counts.append(len(data))
        self._pipe.send_bytes(data)

    def recv_bytes(self) -> bytes:
        data = self._pipe.recv_bytes()
        self._counts.append(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


class CountedCrew(ServedCrew):
    """Processes of this machine; `counts` has the bytes of each message."""

    def __init__(self, size: int, threads: int) -> None:
        super().__init__(size, of_two_threads if threads == 2 else None, imported=MODELS)
        self.counts: list[int] = []

    def start(self, number: int) -> None:
        super().start(number)
        self._pipes[number] = Counted(self._pipes[number], self.counts)  # type: ignore[assignment]


def of_two_threads() -> Worker:
    """A worker whose models take two cores."""
    import torch

    torch.set_num_threads(2)
    return for_a_run()


class Sleeper:
    """A worker that sleeps instead of drawing."""

    def __init__(self) -> None:
        self._measuring = Lock()

    def prepare(self, order: Order) -> Answer:
        return Answer(str(os.getpid()))

    def measure(self, order: Order, rows: Sequence[Row], made: Mapping[str, Any]) -> Answer:
        with self._measuring:
            time.sleep(SECONDS_A_PAIR * len(rows))
        image, pixels = {"bytes": noise(), "path": "noise.png"}, {"width": SIDE, "height": SIDE}
        cells = {"source_image": image, "target_image": image, "source_hash": "", "target_hash": ""}
        return Answer(str(os.getpid()), [[{"seed": 0, **pixels, **cells}] for _ in rows], SECONDS_A_PAIR)


class Rewriter(Sleeper):
    """A worker that answers at once, with nothing: rows without images, for the driver's own cost of one."""

    def measure(self, order: Order, rows: Sequence[Row], made: Mapping[str, Any]) -> Answer:
        return Answer(str(os.getpid()), [[{}] for _ in rows])


@cache
def noise() -> bytes:
    """An image of half noise: as a PNG 1.6 MB, about what a drawn one has."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, SIDE // 2 :] = 0
    return encode_png(pixels, 1)


@contextmanager
def team(crew: Callable[[], LocalCrew]) -> Iterator[Team]:
    """Closed in the end."""
    made = Team(crew, print)
    try:
        yield made
    finally:
        made.close()


def texts_of(captions: int, drawn: int) -> list[str]:
    """Captions of the demo, or of so many drawn scenes."""
    if not drawn:
        return DEMO_CAPTIONS.read_text(encoding="utf-8").splitlines()[:captions]
    chance, texts = random.Random(0), dict[str, None]()
    while len(texts) < drawn:
        texts[random_caption(chance)] = None
    return [*texts]


def processor_times(crew: CountedCrew) -> dict[int, float]:
    """By worker, the seconds that it had a processor so far."""
    return {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in crew.pids}


def one_run(root: Path, texts: Sequence[str], measurer: Measurer, crew: CountedCrew) -> list[Stage]:
    """All stages over a fresh home."""
    home, recipe = Home(root), load_recipe("miniature")
    root.mkdir(parents=True)
    (root / "captions.txt").write_text("\n".join(texts), encoding="utf-8")
    ingest([root / "captions.txt"], home)
    models, stages = LoadedModels.shared(recipe.roles), []
    for stage in stages_of(recipe):
        crew.counts.clear()
        before = processor_times(crew)
        began, used = time.monotonic(), time.process_time()
        inputs = read_inputs(stage, home, SHARD)
        record = materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), models, "run", measurer=measurer)
        seconds, driver = time.monotonic() - began, time.process_time() - used
        after = processor_times(crew)
        busiest = max((spent - before.get(pid, 0.0) for pid, spent in after.items()), default=0.0)
        figures = (round(each, 3) for each in (seconds, driver, busiest))
        stages.append(Stage(stage.name, record.rows, *figures, sum(crew.counts)))
    return stages


def by_workers(root: Path, texts: Sequence[str], repeats: int) -> dict[str, list[list[Stage]]]:
    """By team, the stages of each run; the teams take turns."""
    runs: dict[str, list[list[Stage]]] = {name: [] for name in TEAMS}
    for repeat in range(repeats):
        for name, found in runs.items():
            crew = CountedCrew(*TEAMS[name])
            with team(lambda crew=crew: crew) as measurer:  # type: ignore[misc]
                one_run(root / f"warm-{repeat}-{name}", texts[:WARM], measurer, crew)
                found.append(one_run(root / f"home-{repeat}-{name}", texts, measurer, crew))
    return runs


def feeding(root: Path, sleepers: int, pairs: int) -> Driver:
    """What the driver's processor does for workers that sleep."""
    recipe, stage, ledger = load_recipe("miniature", ["pair_generator.batch_size=1"]), stage_named("image_pairs"), root
    names = [f"{number:064x}" for number in range(pairs)]
    texts, kinds = dict.fromkeys(PROMPT_COLUMNS, names), dict.fromkeys(KIND_COLUMNS, pa.nulls(pairs, pa.string()))
    prompts = pa.table({**texts, **kinds, "kept": [True] * pairs})
    inputs, models, size = (
        Inputs("none", lambda: {"prompt_pairs": prompts}),
        LoadedModels.shared(recipe.roles),
        noise(),
    )
    models.is_in_process("pair_generator")  # imports torch
    with team(lambda: ServedCrew(sleepers, Sleeper, MODELS)) as measurer:
        began, used = time.monotonic(), time.process_time()
        materialize(stage, SHARD, inputs, recipe, Ledger(ledger), models, "run", measurer=measurer)
        seconds, driver = time.monotonic() - began, time.process_time() - used
    return Driver(
        workers=sleepers,
        pairs=pairs,
        pair_bytes=2 * len(size),
        seconds=round(seconds, 2),
        possible=round(SECONDS_A_PAIR * -(-pairs // sleepers) / seconds, 3),
        driver_seconds_a_pair=round(driver / pairs, 5),
        workers_it_can_feed=round(SECONDS_A_PAIR * pairs / driver),
    )


def row_cost(root: Path, rows: int = 4_000) -> float:
    """Seconds of the driver's processor for a row without images, in batches of eight."""
    root.mkdir()
    texts = [f"a red ball and {number} cups on the grass" for number in range(rows)]
    (root / "captions.txt").write_text("\n".join(texts), encoding="utf-8")
    home, recipe = Home(root / "home"), load_recipe("miniature", ["prompt_pairs.known_words=[]"])
    ingest([root / "captions.txt"], home, shard_size=rows)
    models, stage = LoadedModels.shared(recipe.roles), stage_named("prompt_pairs")
    inputs = read_inputs(stage, home, SHARD)
    with team(lambda: ServedCrew(4, Rewriter, MODELS)) as measurer:
        used = time.process_time()
        materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), models, "run", measurer=measurer)
        return round((time.process_time() - used) / rows, 6)


def table(runs: Mapping[str, Sequence[Sequence[Stage]]]) -> str:
    """Medians by stage, how much faster two were than one, of one thread or two; what a row cost the driver."""
    heads = ("rows", "rows/s by 1", "by 2", "times", "at most", "2 threads", "times that", "driver, ms", "KB a row")
    lines = [f"{'stage':<18}" + "".join(f"{head:>13}" for head in heads)]
    for at, stage in enumerate(runs["1"][0]):
        one, two, wide = (statistics.median(run[at].seconds for run in runs[name]) for name in TEAMS)
        driver = 1000 * statistics.median(run[at].driver for run in runs["2"]) / max(stage.rows, 1)
        sent = statistics.median(run[at].sent for run in runs["2"]) / max(stage.rows, 1) / 1000
        alone, busier = (statistics.median(run[at].busiest for run in runs[name]) for name in ("1", "2"))
        most = f"{alone / busier:.2f}" if busier else "-"
        values = f"{stage.rows:>13}{stage.rows / one:>13.2f}{stage.rows / two:>13.2f}{one / two:>13.2f}{most:>13}"
        lines.append(
            f"{stage.stage:<18}{values}{stage.rows / wide:>13.2f}{wide / two:>13.2f}{driver:>13.1f}{sent:>13.1f}"
        )
    of_all = {name: statistics.median(sum(stage.seconds for stage in run) for run in runs[name]) for name in TEAMS}
    lines.append("all stages, seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in of_all.items()))
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=64, help="captions of the demo (default 64)")
    parser.add_argument("--drawn", type=int, default=0, help="captions of so many drawn scenes instead")
    parser.add_argument("--repeats", type=int, default=3, help="runs by one and by two workers (default 3)")
    parser.add_argument("--sleepers", type=int, default=64, help="workers that sleep (default 64)")
    parser.add_argument("--pairs", type=int, default=256, help="pairs that they answer with (default 256)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    os.environ[THREADS] = "1"
    with tempfile.TemporaryDirectory() as folder:
        driver = feeding(Path(folder) / "sleep", arguments.sleepers, arguments.pairs)
        print(json.dumps(asdict(driver), indent=1))
        row = row_cost(Path(folder) / "rows")
        print(f"the driver's processor for a row without images: {1000 * row:.2f} ms")
        before, began, texts = psutil.cpu_times(), time.monotonic(), texts_of(arguments.captions, arguments.drawn)
        runs = by_workers(Path(folder), texts, arguments.repeats) if arguments.repeats else {}
        busy, seconds = sum(psutil.cpu_times()[:3]) - sum(before[:3]), time.monotonic() - began
    waiting = round(os.getloadavg()[2], 1)
    if runs:
        print(table(runs))
        print(f"meanwhile all processes of the machine had {busy:.0f} processor seconds of {seconds:.0f} on each core")
        print(f"processes that had or wanted a core in the last quarter of an hour: {waiting}")
    if arguments.json:
        options = {name: value for name, value in vars(arguments).items() if name != "json"}
        command = " ".join(["python -m benchmarks.scale", *(f"--{name} {value}" for name, value in options.items())])
        stages = {workers: [[asdict(stage) for stage in run] for run in found] for workers, found in runs.items()}
        values = {"command": command, "cores": os.cpu_count(), "driver": asdict(driver), "driver_seconds_a_row": row}
        values |= {"load": waiting, "stages_by_workers": stages}
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
