"""Random damage to the files of a home: does anything end in a traceback, is anything else lost, is it healed?

    python -m benchmarks.damage [--flips 1000] [--cuts 200] [--minutes 60] [--seed 0] [--trials FILE] [--json FILE]

A home is made once: captions in two shards, a shard of given pairs, verdicts, a release. In each trial one bit of one
of its files is flipped, or the file is cut short, each file as often as another. Then some commands look at the home,
`imgdiff ledger verify` and `imgdiff run` are given once each, and the home is compared with what it was: every column
but `run_id` and `measured_at`, images byte by byte, captions, verdicts. All in one process, which loads models once.

With `--trials` each trial is a line of that file once it is done, and those that are there are not done again.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from click.testing import CliRunner
from tqdm import tqdm

from benchmarks.faults import contents, ingested_home
from imgdiff_assets.cli.main import main as imgdiff
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.shards import read_captions, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, Review, add_review, read_reviews

LOOKS = ("stats", "run --dry-run", "what-if", "certificate")
CAPTIONS, PAIRS = 4, 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of damage to one file: `kind` groups files. `measured` rows were measured again.

    `tracebacks` are the commands that ended in one, `lost` what is not as it was, `healed` whether a second look and
    a second run found nothing to do.
    """

    kind: str
    file: str
    damage: str
    noticed: bool
    measured: int
    tracebacks: list[str]
    lost: list[str]
    healed: bool


def make_home(root: Path) -> Home:
    """A home with files of every kind."""
    home = ingested_home(root, CAPTIONS, seed=0)
    _command(home, "run")
    ledger = Ledger(home.ledger)
    drawn = ledger.read("image_pairs", shard_keys(home)[0], images=True).slice(0, PAIRS)
    pq.write_table(drawn.select(["source_image", "target_image"]), root / "pairs.parquet")
    ingest_pairs([root / "pairs.parquet"], home)
    _command(home, "run")
    for shard in shard_keys(home)[:2]:
        for row in ledger.read("fine_tune_set", shard).to_pylist()[:3]:
            add_review(home, Review(row["sample_id"], shard, "Ann", ACCEPT))
    _command(home, "run")
    _command(home, "release")
    return home


def _command(home: Home, line: str) -> Any:
    os.environ["IMGDIFF_HOME"] = str(home.root)
    os.environ.pop("DAGSTER_HOME", None)
    return CliRunner().invoke(imgdiff, line.split())


def state(home: Home) -> dict[str, Any]:
    """What must not be lost, by name."""
    found: dict[str, Any] = {f"{asset} of {shard}": table for (asset, shard), table in contents(home).items()}
    for key in shard_keys(home):
        found[f"captions of {key}"] = read_captions(home, key).drop_columns(["source", "line"])
    for sample, reviews in read_reviews(home).by_sample.items():
        found[f"verdict on {sample}"] = sorted(reviews)
    return found


def kind_of(file: Path) -> str:
    """Files of one kind are looked after in one way."""
    first, *rest = file.parts
    if first == "ledger" and rest:
        return "tables" if file.name == "rows.parquet" else "history" if file.name == "history.jsonl" else "other"
    if first == "parts":
        return "image parts"
    if first == "captions":
        return "given images" if file.name.endswith(".images.parquet") else "captions"
    known = {"dagster": "Dagster's", "releases": "releases", "reviews.jsonl": "verdicts", "catalog.duckdb": "catalog"}
    return known.get(first, "other")


def damage(file: Path, cut: bool, chance: random.Random) -> str:
    """Flip one bit, or cut the file short; returns what was done."""
    size = file.stat().st_size
    place = chance.randrange(size)
    if cut:
        os.truncate(file, place)
        return f"cut to {place} of {size} bytes"
    bit = chance.randrange(8)
    with file.open("r+b") as opened:
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 1 << bit]))
    return f"bit {bit} of byte {place} of {size}"


def attempt(whole: Home, before: dict[str, Any], root: Path, cut: bool, chance: random.Random) -> Trial:
    """Damage a copy of the home, and see what becomes of it."""
    home = Home(root / "damaged")
    shutil.rmtree(home.root, ignore_errors=True)
    shutil.copytree(whole.root, home.root)
    files = [path for path in sorted(home.root.rglob("*")) if path.is_file() and path.stat().st_size]
    file = chance.choice(files)
    done = damage(file, cut, chance)
    tracebacks, results = [], {}
    for line in (*LOOKS, "ledger verify --json", "run --json", "ledger verify", "run"):
        result = _command(home, line)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            tracebacks.append(f"{line}: {result.exception!r}")
        results.setdefault(line, result)
    run = json.loads(results["run --json"].stdout) if results["run --json"].stdout.startswith("{") else {}
    again = results["ledger verify"].exit_code == 0 and results["run"].exit_code == 0
    relative = file.relative_to(home.root)
    return Trial(
        kind=kind_of(relative),
        file=str(relative),
        damage=done,
        noticed=results["ledger verify --json"].exit_code != 0,
        measured=sum(sum(record["calls"].values()) for record in run.get("materializations", ())),
        tracebacks=tracebacks,
        lost=_lost(before, home, kind_of(relative)),
        healed=again and "up to date already: shard-000000, shard-000001, shard-000002" in results["run"].stdout,
    )


def _lost(before: dict[str, Any], home: Home, kind: str) -> list[str]:
    """What is not as it was, but for verdicts where theirs was the file: a spoilt one is lost, and a cut end."""
    try:
        after = state(home)
    except Exception as error:
        return [f"cannot be read: {error}"]
    lost = [name for name, value in before.items() if name not in after or after[name] != value]
    of_verdicts = ("verdict on ", "fine_tune_set of ")
    return [name for name in lost if kind != "verdicts" or not name.startswith(of_verdicts)]


def table(trials: Sequence[Trial]) -> str:
    """What came of the damage to each kind of files."""
    heads = ("trials", "noticed", "tracebacks", "lost", "healed", "measured again")
    lines = [f"{'files':<14}" + "".join(f"{head:>16}" for head in heads)]
    kinds = [*sorted({trial.kind for trial in trials}), None]
    for kind in kinds:
        of = [trial for trial in trials if kind in (trial.kind, None)]
        counts = (
            len(of),
            sum(trial.noticed for trial in of),
            sum(bool(trial.tracebacks) for trial in of),
            sum(bool(trial.lost) for trial in of),
            sum(trial.healed for trial in of),
            sum(trial.measured for trial in of),
        )
        lines.append(f"{kind or 'all':<14}" + "".join(f"{count:>16,}" for count in counts))
    return "\n".join(lines)


def measure(root: Path, flips: int, cuts: int, minutes: float, seed: int, kept: Path | None = None) -> list[Trial]:
    """Flips and cuts in turns, until all are done or the time is over; `kept` holds those of earlier calls."""
    trials: list[Trial] = []
    if kept is not None and kept.exists():
        trials = [Trial(**json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]
    plan = [False] * flips + [True] * cuts
    random.Random(seed).shuffle(plan)
    home = make_home(root)
    before, deadline = state(home), time.monotonic() + 60 * minutes
    with tqdm(total=len(plan), initial=len(trials), unit="trial", disable=None) as progress:
        while len(trials) < len(plan) and time.monotonic() < deadline:
            number = len(trials)
            trials.append(attempt(home, before, root, plan[number], random.Random(f"{seed} {number}")))
            progress.update()
            if kept is not None:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(trials[-1])) + "\n")
    return trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000, help="files with one flipped bit (default 1000)")
    parser.add_argument("--cuts", type=int, default=200, help="files that are cut short (default 200)")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop so long after the home is made (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is damaged (default 0)")
    parser.add_argument("--trials", type=Path, metavar="FILE", help="keep trials there, and go on where it ends")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trials = measure(
            Path(folder), arguments.flips, arguments.cuts, arguments.minutes, arguments.seed, arguments.trials
        )
    print(table(trials))
    bad = [trial for trial in trials if trial.tracebacks or trial.lost or not trial.healed]
    if arguments.json:
        options = {name: value for name, value in vars(arguments).items() if name not in ("json", "trials")}
        command = " ".join(["python -m benchmarks.damage", *(f"--{name} {value}" for name, value in options.items())])
        kinds = Counter(trial.kind for trial in trials)
        values = {
            "command": command,
            "trials": len(trials),
            "of_kind": dict(sorted(kinds.items())),
            "flips": sum(trial.damage.startswith("bit") for trial in trials),
            "tracebacks": sum(bool(trial.tracebacks) for trial in trials),
            "measured_again": sum(trial.measured for trial in trials),
            "not_as_before": [asdict(trial) for trial in bad],
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
