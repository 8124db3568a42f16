"""Asking a model all that is held out, and keeping what it says: stopped, it goes on where it was."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.training.held_out import Item
from imgdiff_assets.training.page import page
from imgdiff_assets.training.scoring import score
from imgdiff_assets.training.summary import summary

ANSWERS, RESULT, PAGE = "answers.jsonl", "evaluation.json", "evaluation.html"
ASKED_AT_ONCE = 32

Ask = Callable[[Sequence[Sequence[Pixels]], Sequence[str]], list[str]]
"""The answers to questions about images of their own, as `resources.captioner.Captioner.answer` gives them."""


class OtherEvaluation(ImgDiffError, ValueError):
    """A folder that holds another evaluation, or other files."""


def evaluate(
    items: Sequence[Item], ask: Ask, about: Mapping[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    """Ask every item and write answers, `evaluation.json` and `evaluation.html` into `out`; returns the JSON's values.

    `about` says what is evaluated on what: what was answered before is taken from `out` where it is the same, and not
    asked again. Raises OtherEvaluation, OSError, and whatever the model raises.
    """
    plan = content_hash(dict(about), [item.sample_id for item in items])
    said = _answered(out, plan)
    open_items = [item for item in items if item.sample_id not in said]
    with (out / ANSWERS).open("a", encoding="utf-8") as file:
        for start in range(0, len(open_items), ASKED_AT_ONCE):
            batch = open_items[start : start + ASKED_AT_ONCE]
            answers = ask([item.images for item in batch], [item.question for item in batch])
            for item, answer in zip(batch, answers, strict=True):
                said[item.sample_id] = answer
                file.write(json.dumps([item.sample_id, answer], ensure_ascii=False) + "\n")
            file.flush()
            progress("evaluate", len(said), len(items))
    answers = [said[item.sample_id] for item in items]
    scores = [score(item, answer) for item, answer in zip(items, answers, strict=True)]
    result = {
        **about,
        "tasks": summary(items, scores, answers),
        "items": [
            {"sample_id": item.sample_id, "task": item.task, "right": item.answer, "said": answer, "score": value}
            for item, answer, value in zip(items, answers, scores, strict=True)
        ],
    }
    _write(out / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    _write(out / PAGE, page(about, result["tasks"], items, answers, scores))
    return result


def _answered(out: Path, plan: str) -> dict[str, str]:
    """What was said before. Makes the folder, and a file of answers that begins with the plan."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / ANSWERS
    if not file.exists():
        if any(out.iterdir()):
            raise OtherEvaluation(f"{out}: holds other files; name a new or empty folder with --out.")
        file.write_text(json.dumps(plan) + "\n", encoding="utf-8")
        return {}
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines[0] != json.dumps(plan):
        raise OtherEvaluation(f"{out}: holds answers of another model, or to other questions; name another --out.")
    if lines[-1]:  # a kill came while it was written
        file.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    return dict(json.loads(line) for line in lines[1:-1])


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
