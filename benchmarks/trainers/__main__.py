"""Whether exports are really read, and trained on, each by its reader in an environment of its own: pins differ.

    python -m benchmarks.trainers [trl] [ms-swift] [lmms-eval] ... [--home HOME] [--steps 50] [--json FILE]

The home's samples are exported in each reader's format, and the command that the folder's README says is run. Trainers
train a small model on one batch: the loss of every step must be finite, and fall; other readers must find every sample
and its pictures; lmms-eval must score answers as `imgdiff evaluate` does. An environment takes up to 5 GB unless it
borrows what it lacks from this one (`--borrow`), and is removed afterwards unless `--keep`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.trainers.checks import Given
from benchmarks.trainers.environment import commands_of, versions_of
from benchmarks.trainers.readers import READERS, Reader

ROOT = Path(__file__).parents[2]
TOLD = 3_000
"""Of what a reader printed that failed."""


def exported(reader: Reader, home: Path, out: Path) -> dict[str, int]:
    """Export what a reader reads; how many samples of each split there are. Raises CalledProcessError."""
    words = ["--format", reader.reads, "--out", str(out), *reader.options]
    exporting = [sys.executable, "-m", "imgdiff_assets.cli.main", "export", *words, "--json"]
    done = subprocess.run(exporting, env={**os.environ, "IMGDIFF_HOME": str(home)}, check=True, stdout=subprocess.PIPE)
    samples: dict[str, int] = json.loads(done.stdout)["samples"]
    return samples


def read(name: str, home: Path, folder: Path, steps: int, borrow: bool) -> dict[str, Any]:
    """Export, train or read, and tell what was found, with versions.

    Raises CalledProcessError, RuntimeError for a reader that fails, and ValueError for one that does not do its work.
    """
    reader, place = READERS[name], place_of(name, folder)
    commands = commands_of(environment_of(name, folder), reader.requirements, borrow)
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "out").mkdir(parents=True)
    samples = exported(reader, home, place / "data")
    given = Given(folder / "models", place / "data", place / "out", steps, samples)
    where = {name: value.replace("FOLDER", str(given.data)) for name, value in reader.given.items()}
    alone = {"PATH": f"{commands}:{_ours(folder)}:{os.environ['PATH']}", "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    slow = {"USE_CPU": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        ["sh", "-euc", reader.commands(given)],
        cwd=given.out,
        env={**os.environ, **alone, **slow, **where},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stdout[-TOLD:]}")
    try:
        found = reader.check(given, done.stdout)
    except ValueError as error:
        raise ValueError(f"{name}: {error}\n{done.stdout[-TOLD:]}") from error
    return {
        "format": reader.reads,
        "samples": samples,
        **found,
        "versions": versions_of(commands, reader.packages),
    }


def place_of(name: str, folder: Path) -> Path:
    """Where a reader's export is, and what it writes."""
    return folder / name.replace(", ", "-")


def environment_of(name: str, folder: Path) -> Path:
    """The environment of a reader's program."""
    return folder / name.partition(",")[0] / "environment"


def _ours(folder: Path) -> Path:
    """A folder with the command `imgdiff` of this checkout, whatever environment it is called in."""
    command = folder / "commands" / "imgdiff"
    command.parent.mkdir(parents=True, exist_ok=True)
    start = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m imgdiff_assets.cli.main "$@"'
    command.write_text(f"#!/bin/sh\n{start}\n", encoding="utf-8")
    command.chmod(0o755)
    return command.parent


def told(found: dict[str, Any]) -> str:
    """What was found, in a line."""
    if "losses" in found:
        what = f"loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f} in {len(found['losses'])} steps"
    elif "read" in found:
        what = f"read {found['read']} samples"
    else:
        what = f"{found['alike']} of {found['questions']} answers are ours, {found['scores']}"
    return f"{what}, {found['versions']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)} (default: all)")
    parser.add_argument("--home", type=Path, default=Path("imgdiff_home"), help="a home with samples")
    parser.add_argument("--folder", type=Path, default=Path("build/trainers"), help="for environments and exports")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--borrow", action="store_true", help="borrow what an environment lacks from this one")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="put the figures here, beside those of other readers"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.readers) - set(READERS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    folder, names = arguments.folder.absolute(), arguments.readers or list(READERS)
    for number, name in enumerate(names):
        found = read(name, arguments.home, folder, arguments.steps, arguments.borrow)
        print(f"{name}: {told(found)}", flush=True)
        if arguments.json:
            there = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
            arguments.json.write_text(json.dumps({**there, name: found}, indent=1) + "\n", encoding="utf-8")
        still_needed = {environment_of(other, folder) for other in names[number + 1 :]}
        if not arguments.keep and environment_of(name, folder) not in still_needed:
            for place in {environment_of(name, folder), place_of(name, folder)}:
                shutil.rmtree(place)


if __name__ == "__main__":
    main()
