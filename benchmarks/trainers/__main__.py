"""Whether exports are really read, and trained on, each by its reader in an environment of its own: pins differ.

    python -m benchmarks.trainers [trl] [ms-swift] [open_clip] ... [--home HOME] [--steps 50] [--json FILE]

The home's samples are exported in each reader's format. Trainers train a small model on one batch of them: the loss of
every step must be finite, and fall; other readers must find every sample and its pictures. An environment takes up to
5 GB unless it borrows what it lacks from this one (`--borrow`), and is removed afterwards unless `--keep`.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.trainers.environment import commands_of, versions_of
from benchmarks.trainers.readers import READERS, Given, Reader

TOLD = 3_000
"""Of what a reader printed that failed."""


def exported(reader: Reader, home: Path, out: Path) -> int:
    """Export what a reader reads; how many training samples there are. Raises CalledProcessError."""
    words = ["--format", reader.reads, "--out", str(out), *reader.options]
    exporting = [sys.executable, "-m", "imgdiff_assets.cli.main", "export", *words, "--json"]
    done = subprocess.run(exporting, env={**os.environ, "IMGDIFF_HOME": str(home)}, check=True, stdout=subprocess.PIPE)
    return int(json.loads(done.stdout)["samples"]["train"])


def read(name: str, home: Path, folder: Path, steps: int, borrow: bool) -> dict[str, Any]:
    """Export, train or read, and tell losses, samples and versions.

    Raises CalledProcessError, RuntimeError for a reader that fails, and ValueError for losses that are no training.
    """
    reader, place = READERS[name], folder / name.replace(", ", "-")
    commands = commands_of(place / "environment", reader.requirements, borrow)
    given = Given(*(path.absolute() for path in (folder / "models", place / "data", place / "out")), steps)
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    samples = exported(reader, home, given.data)
    command, *words = reader.words(given)
    where = {name: value.replace("FOLDER", str(given.data)) for name, value in reader.given.items()}
    alone = {"PATH": f"{commands.absolute()}:{os.environ['PATH']}", "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    slow = {"USE_CPU": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [commands / command, *words],
        env={**os.environ, **alone, **slow, **where},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stdout[-TOLD:]}")
    found = {"format": reader.reads, "samples": samples, "versions": versions_of(commands, reader.packages)}
    if not reader.trains:
        if f"read {samples} samples" not in done.stdout:
            raise ValueError(f"{name} did not read {samples} samples:\n{done.stdout[-TOLD:]}")
        return found
    losses = [float(loss) for loss in reader.loss.findall(done.stdout)]
    if len(losses) < steps or not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise ValueError(f"{name}: its losses are no training: {losses}\n{done.stdout[-TOLD:]}")
    return {**found, "losses": losses[:steps]}


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
    for name in arguments.readers or READERS:
        found = read(name, arguments.home, arguments.folder, arguments.steps, arguments.borrow)
        losses = found.get("losses")
        what = f"loss {losses[0]:.3f} to {losses[-1]:.3f}" if losses else f"read {found['samples']} samples"
        print(f"{name}: {what}, {found['versions']}", flush=True)
        if not arguments.keep:
            shutil.rmtree(arguments.folder / name.replace(", ", "-"))
        if arguments.json:
            there = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
            arguments.json.write_text(json.dumps({**there, name: found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
