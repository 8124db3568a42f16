"""Does the data teach a model to compare? A small model, the drawn world, known truth.

    python -m benchmarks.teaches [--folder build/teaches] [--seeds 4] [--arm ARM ...] [--steps N] [--json FILE]
    python -m benchmarks.teaches --show

Each training is a step of its own that is not done twice: stop it and start it at will, and the table grows. First the
model that knows single images alone is trained, and the sets are made by the graph; then one model is taught by each
arm and seed, all with as many steps and pictures, and asked the same held-out questions about drawn pairs.
"""

import argparse
import json
import os
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.teaches import plot
from benchmarks.teaches.arms import ARMS, FIRST, Samples
from benchmarks.teaches.report import report

FOLDER = Path("build/teaches")
SEEDS = 4


def one_model(folder: Path, arm: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Train and ask the model of one arm and seed, unless that was done; returns what it scored, item by item."""
    file = folder / "runs" / f"{arm}-{seed}.json"
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    from benchmarks.teaches import evaluation, finetune, grounding
    from benchmarks.teaches.model import Encoder

    started, rng = time.process_time(), random.Random(seed)
    sets: list[str] = []

    def samples_of(name: str) -> Samples:
        sets.append(name)
        return _samples(folder, name)

    taught = ARMS[arm](samples_of, rng)
    order = finetune.mixed(rng, finetune.grouped(taught), grounding.questions, steps or finetune.STEPS)
    model = finetune.finetune(folder / "grounded", order, folder / "trainer", seed)
    trained = time.process_time() - started
    values = {
        "arm": arm,
        "seed": seed,
        "samples": len(taught),
        "sets": sets,
        "steps": steps or finetune.STEPS,
        "seconds": round(trained, 1),
        "items": evaluation.of_model(model, Encoder(), _held_out(folder)),
    }
    _write(file, values)
    return values


def first_models(folder: Path) -> None:
    """Train what knows single images alone, in its two halves, unless that was done."""
    from benchmarks.teaches import base, grounding

    if not (folder / "base" / "config.json").exists():
        base.train(folder / "base")
    if not (folder / "grounded" / "config.json").exists():
        grounding.train(folder / "base", folder / "grounded")


def baselines(folder: Path) -> dict[str, Any]:
    """What needs no comparing: the base model's captions compared in code, and perfect captions with a guess."""
    file = folder / "runs" / "baselines.json"
    if not file.exists():
        from benchmarks.teaches import evaluation
        from benchmarks.teaches.model import Encoder, load

        held_out, model = _held_out(folder), load(folder / "grounded").eval()
        values = {
            "sorts": [pair.sort for pair in held_out.others],
            "captions compared": evaluation.compared(model, Encoder(), held_out),
            "captions guessed": evaluation.guessed(held_out),
            "before teaching": evaluation.of_model(model, Encoder(), held_out),
        }
        _write(file, values)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def how_right(folder: Path, name: str) -> None:
    """Have the differences of a set judged, unless that was done."""
    file = folder / "runs" / f"precision_{name}.json"
    if not file.exists():
        from benchmarks.teaches.precision import precision

        _write(file, precision(folder / "homes" / name))


@cache
def _samples(folder: Path, name: str) -> Samples:
    from benchmarks.teaches import made_set

    return made_set.samples(made_set.make(folder, name))


@cache
def _held_out(folder: Path) -> Any:
    from benchmarks.teaches import held_out

    return held_out.draw()


def _write(file: Path, values: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(values) + "\n", encoding="utf-8")
    partial.replace(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where all is made and kept ({FOLDER})")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"models of each arm ({SEEDS})")
    parser.add_argument("--arm", action="append", choices=list(ARMS), help="only these (all)")
    parser.add_argument("--steps", type=int, help="of each training, for a quick look")
    parser.add_argument("--only-base", action="store_true", help="train the model that knows single images, no other")
    parser.add_argument("--show", action="store_true", help="train nothing: show what there is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came out to a file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it as a PNG")
    parser.add_argument("--thresholds", type=Path, metavar="FILE", help="draw what thresholds are worth as a PNG")
    arguments = parser.parse_args()
    if not arguments.show:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        first_models(arguments.folder)
        if arguments.only_base:
            return
        baselines(arguments.folder)
        chosen = arguments.arm or list(ARMS)
        first, later = [arm for arm in chosen if arm in FIRST], [arm for arm in chosen if arm not in FIRST]
        for group in (first, later):
            for seed in range(arguments.seeds):
                for arm in group:
                    for name in one_model(arguments.folder, arm, seed, arguments.steps)["sets"]:
                        how_right(arguments.folder, name)
                    print(report(arguments.folder).text, flush=True)
    made = report(arguments.folder)
    print(made.text)
    if arguments.json:
        arguments.json.write_text(json.dumps(made.values, indent=1) + "\n", encoding="utf-8")
    for file, drawing in ((arguments.plot, plot.draw), (arguments.thresholds, plot.draw_thresholds)):
        if file:
            drawing(made.values, file)


if __name__ == "__main__":
    main()
