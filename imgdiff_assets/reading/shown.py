"""What is shown of a sample: its two images in order, the box in them, question and answer.

Everyone gets it from here: trainers in exports, people on pages and sheets. So a reviewer judges what is trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgdiff_assets.method.conversations import IMAGE_TOKEN
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.method.tasks import TASKS

ERASED = "erased"


@dataclass(frozen=True, slots=True)
class ShownImage:
    """One of two images that stand beside each other.

    `side` is what it is to the sample, `source` or `target`, whichever is first. `name` is the image itself: `source`
    or `target` of the pair `row_id`, or `erased`, the one without the region `row_id`.
    """

    side: str
    name: str
    row_id: str


@dataclass(frozen=True, slots=True)
class Shown:
    """`images`: the first, then the second. `box` (xyxy in pixels) is marked in both, None where none is marked.

    The texts have no image tokens; the question is empty of a sample that was rejected before it was asked.
    """

    images: tuple[ShownImage, ShownImage]
    box: tuple[float, float, float, float] | None
    question: str
    answer: str


def shown_images(
    pair_id: str, region_id: str | None = None, erased_from: str | None = None, first: str | None = None
) -> tuple[ShownImage, ShownImage]:
    """The two images of a pair in order, the source first unless `first` is `target`.

    Where `erased_from` names one of them, that one is the source, and the same without the region the target.
    """
    source = ShownImage("source", erased_from or "source", pair_id)
    target = ShownImage("target", "target", pair_id)
    if erased_from is not None and region_id is not None:
        target = ShownImage("target", ERASED, region_id)
    return (target, source) if first == "target" else (source, target)


def shown(sample: Mapping[str, Any]) -> Shown:
    """What is shown of a row of `fine_tune_set`."""
    x1, y1, x2, y2 = (sample[name] for name in BOX_COLUMNS)
    task = TASKS.get(sample["task"])
    marked = x1 is not None and (task is None or task.marked)
    question = sample["conversations"][0]["value"] if sample["conversations"] else ""
    return Shown(
        images=shown_images(sample["pair_id"], sample["region_id"], sample["erased_from"], sample["first"]),
        box=(x1, y1, x2, y2) if marked else None,
        question=without_tokens(question.replace(f"{IMAGE_TOKEN}\n", "")),
        answer=without_tokens(sample["answer"] or ""),
    )
