"""What samples train: each task makes, from what the ledger knows of a region or a pair, one question and its answer.

A task is a function of what is known and of which image is shown first; it asks no model. With the images the other
way round it gives the answer for that order: `flip` says how the two are related.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.method.caption_edit import ARTICLES, words
from imgdiff_assets.method.conversations import sentence
from imgdiff_assets.method.task import Task
from resources.installed import offers

MARKED_REGION = "inside the red box"
"""What `{region}` in a question becomes; an export without red boxes says the corners instead."""

SAME, DIFFERENT = "Same.", "Different."
LETTERS = ("A", "B")
SIDES = ("source", "target")
MOST_WORDS_BEFORE = 3
CONNECTING = frozenset(
    ["and", "or", "with", "on", "in", "of", "at", "to", "by", "near", "from", "for", "over", "under", "is", "are"]
)
"""Words that end one phrase and begin another."""


def other(side: str) -> str:
    """The other of the two images."""
    return SIDES[1 - SIDES.index(side)]


def phrase(text: str) -> str:
    """A caption as part of a sentence: without a full stop, an article at its beginning in lower case."""
    text = " ".join(text.split()).rstrip(".")
    first, space, rest = text.partition(" ")
    return first.lower() + space + rest if first.lower() in ARTICLES else text


def ask_difference(known: Mapping[str, Any], first: str) -> Row | None:
    """The difference caption, which speaks of the source as the left image."""
    return {"subject": None, "answer": sentence(known["difference_caption"])}


def ask_which_image(known: Mapping[str, Any], first: str) -> Row | None:
    """Which image shows what one of the two region captions says; `about` is the side that it was written of."""
    about = known["about"]
    return {"subject": phrase(known[f"{about}_region_caption"]), "answer": LETTERS[first != about]}


def ask_same_or_different(known: Mapping[str, Any], first: str) -> Row | None:
    """Whether the two images show the same: they do when the pair was rejected as too similar."""
    return {"subject": None, "answer": SAME if known["too_similar"] else DIFFERENT}


def ask_grounding(known: Mapping[str, Any], first: str) -> Row | None:
    """Where in both images the one shows this and the other that; the answer is the region's box."""
    shown = [phrase(known[f"{side}_region_caption"]) for side in (first, other(first))]
    return {"subject": f"{shown[0]} in the first image and {shown[1]} in the second", "answer": known["box_text"]}


def ask_edit_instruction(known: Mapping[str, Any], first: str) -> Row | None:
    """The edit that makes the second image of the first, from the words in which the two captions differ."""
    parts = _compared(known[f"{first}_caption"], known[f"{other(first)}_caption"])
    if parts is None:
        return None
    _, (_, old), (article, new), _ = parts
    return {"subject": None, "answer": f"Replace the {old} with {' '.join(filter(None, [article, new]))}."}


def ask_commonality(known: Mapping[str, Any], first: str) -> Row | None:
    """What both images show: the words that the two captions share, and something in the place of the rest."""
    parts = _compared(known["source_caption"], known["target_caption"])
    if parts is None:
        return None
    before, _, _, after = parts
    if len({*before, *after} - ARTICLES) < 2:
        return None
    return {"subject": None, "answer": f"Both images show {' '.join([*before, 'something', *after])}."}


Phrase = tuple[str, str]
"""An article (or nothing) and what follows it."""


def _compared(first_caption: str, second_caption: str) -> tuple[list[str], Phrase, Phrase, list[str]] | None:
    """The words both captions begin with, the phrase of each that differs, and the words both end with.

    A phrase begins after the nearest article of the few words before it, so that "red ball" is not torn apart. None
    when one caption has nothing in the place of the other's phrase.
    """
    first, second = words(first_caption), words(second_caption)
    shortest = min(len(first), len(second))
    start = next((index for index in range(shortest) if first[index] != second[index]), shortest)
    end = next((n for n in range(shortest - start) if first[-1 - n] != second[-1 - n]), shortest - start)
    if start == shortest - end:
        return None
    start = _phrase_start(first, start)
    phrases = [_split_article(caption[start : len(caption) - end]) for caption in (first, second)]
    if not all(text for _, text in phrases):
        return None
    return first[:start], phrases[0], phrases[1], first[len(first) - end :]


def _phrase_start(caption: list[str], start: int) -> int:
    """The place of the nearest article, unless another phrase lies between."""
    for index in range(min(start, len(caption) - 1), max(start - 1 - MOST_WORDS_BEFORE, -1), -1):
        if caption[index] in ARTICLES:
            return index
        if index < start and caption[index] in CONNECTING:
            break
    return start


def _split_article(phrase_words: list[str]) -> Phrase:
    if phrase_words and phrase_words[0] in ARTICLES:
        return phrase_words[0], " ".join(phrase_words[1:])
    return "", " ".join(phrase_words)


OURS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            "difference",
            (
                "What is different between the two images {region}?",
                "Compare what the two images show {region}: how does the second differ from the first?",
                "Look {region} in both images and describe the change.",
            ),
            ask_difference,
            marked=True,
            shuffled=False,
        ),
        Task(
            "which_image",
            (
                "Which of the two images shows {subject} {region}? Answer A for the first or B for the second.",
                "{subject}: in which image is that to be seen {region}? Answer with A (first) or B (second).",
                "Look {region}. Is {subject} in image A (the first) or in image B (the second)? Answer A or B.",
            ),
            ask_which_image,
            marked=True,
        ),
        Task(
            "same_or_different",
            (
                "Do the two images show the same? Answer Same or Different.",
                "Compare the two images. Is anything in them different? Answer Same or Different.",
                "Are these two images the same, or do they differ? Answer Same or Different.",
            ),
            ask_same_or_different,
            once_per_pair=True,
        ),
        Task(
            "grounding",
            (
                "At one place there is {subject}. Give its box {coordinates}.",
                "Find the region that holds {subject}, and answer with its box {coordinates}.",
                "Where do the images differ by {subject}? Answer with the box {coordinates}.",
            ),
            ask_grounding,
        ),
        Task(
            "edit_instruction",
            (
                "Which edit turns the first image into the second?",
                "Write the instruction for an image editor that makes the second image of the first.",
                "What would you have to change in the first image to get the second? Answer with one instruction.",
            ),
            ask_edit_instruction,
            once_per_pair=True,
        ),
        Task(
            "commonality",
            (
                "What do the two images have in common?",
                "Describe what is the same in both images.",
                "What is to be seen in the first image and in the second alike?",
            ),
            ask_commonality,
            once_per_pair=True,
        ),
    )
}


class UnknownTask(ImgDiffError, ValueError):
    """A name that is not a task's; the message has the nearest one that is."""


def _installed() -> dict[str, Task]:
    """The tasks that packages offer. Raises BrokenPart."""
    found: dict[str, Task] = {}
    for offer in offers("imgdiff_assets.tasks").values():
        if not isinstance(offer.part, Task) or offer.part.name != offer.name:
            raise offer.broken(f"it is not a Task named {offer.name!r}")
        if offer.name in OURS:
            raise offer.broken("there is a task of that name")
        found[offer.name] = offer.part
    return found


TASKS: Mapping[str, Task] = {**OURS, **_installed()}
"""Every task by name: ours, then those of installed packages. Which of them are asked, a recipe says."""


def task_named(name: str) -> Task:
    """Raises UnknownTask."""
    if name not in TASKS:
        nearest = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(TASKS)}."
        raise UnknownTask(f"unknown task {name!r}; {hint}")
    return TASKS[name]
