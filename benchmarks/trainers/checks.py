"""What a reader that has ended must have done, by what it printed and wrote; each gives what is recorded of it."""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOGGED = re.compile(r"""['"]loss['"]: ['"]?([\d.e+-]+|nan|inf)""")
"""A loss as the Trainer of transformers logs it, and so do our scripts."""

LEAST_ALIKE = 0.95
COUNTED = re.compile(r"read (\d+) samples")


@dataclass(frozen=True, slots=True)
class Given:
    """What a reader is given: a folder for models, one with the export, an empty one that it is started in, how many
    steps, and how many samples there are of each split."""

    models: Path
    data: Path
    out: Path
    steps: int
    samples: dict[str, int]


Check = Callable[[Given, str], dict[str, Any]]
"""What is recorded of a reader by what it was given and printed. Raises ValueError where it has not done it."""


def trained(pattern: re.Pattern[str] = LOGGED) -> Check:
    """The losses of all steps are numbers, and the last is lower than the first."""

    def check(given: Given, said: str) -> dict[str, Any]:
        losses = [float(loss) for loss in pattern.findall(said)][: given.steps]
        if len(losses) < given.steps or not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
            raise ValueError(f"its losses are no training: {losses}")
        return {"losses": losses}

    return check


def found(splits: Sequence[str]) -> Check:
    """It says that it has read every sample of these splits."""

    def check(given: Given, said: str) -> dict[str, Any]:
        there = sum(given.samples[split] for split in splits)
        if COUNTED.findall(said) != [str(there)]:
            raise ValueError(f"it did not read {there} samples")
        return {"read": there}

    return check


def same_scores(ours: str, theirs: str) -> Check:
    """lmms-eval scores answers as we do, and is given nearly all the answers that we are: below `out` are the folders
    of both. An answer may be another where two words are equally likely."""

    def check(given: Given, said: str) -> dict[str, Any]:
        evaluation = json.loads((given.out / ours / "evaluation.json").read_text(encoding="utf-8"))
        (results,) = (given.out / theirs).rglob("*_results.json")
        (samples,) = (given.out / theirs).rglob("*_samples_imgdiff.jsonl")
        lines = map(json.loads, samples.read_text(encoding="utf-8").splitlines())
        rows = sorted(lines, key=lambda row: int(row["doc_id"]))
        alike = 0
        for item, row in zip(evaluation["items"], rows, strict=True):
            if item["said"] == row["filtered_resps"]:
                alike += 1
                if not math.isclose(item["score"], row["score"]):
                    raise ValueError(f"{item['said']!r} has the score {row['score']} there, {item['score']} here")
        if alike < LEAST_ALIKE * len(rows):
            raise ValueError(f"of {len(rows)} answers {alike} are alike")
        told = json.loads(results.read_text(encoding="utf-8"))["results"]["imgdiff"]
        tasks = {
            task: {"ours": round(values["score"], 6), "theirs": round(told[f"{task},none"], 6)}
            for task, values in evaluation["tasks"].items()
        }
        if alike == len(rows) and any(each["ours"] != each["theirs"] for each in tasks.values()):
            raise ValueError(f"equal answers, other means: {tasks}")
        return {"questions": len(rows), "alike": alike, "scores": tasks}

    return check
