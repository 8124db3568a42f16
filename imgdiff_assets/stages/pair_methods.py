"""The ways in which an image pair is made: which a row goes, which models it asks, and what comes of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.method.kind import kind_asked, kind_of
from imgdiff_assets.method.lay_back import laid_back
from imgdiff_assets.stages.steps import Ways, Work

PROMPT_TO_PROMPT, EDIT, TEXT_PAIR = METHODS = ("prompt_to_prompt", "edit", "text_pair")

OF_PICTURE = "edit_of_picture"
"""How the pair of a picture that was ingested is made, whatever the recipe has for captions."""

METHOD = pa.field("method", pa.string())
"""How a row's pair is made; null is Prompt-to-Prompt, which was all there was."""
LAID_BACK = pa.field("laid_back_from", pa.int32())
"""The difference, of 255, below which an edit is the source itself; null where it is all the editor's."""

Pictures = Sequence[Pixels]


def methods_of(settings: Any) -> set[str]:
    """The methods that a recipe's section may use, those of kinds that nobody asks for too."""
    return {settings.method, *settings.kind_methods.values()}


def method_of(row: Row, settings: Mapping[str, Any]) -> str | None:
    """The method of a prompt pair, as the column tells it; `row` has the kind's columns."""
    method = settings["kind_methods"].get(kind_of(row), settings["method"])
    return None if method == PROMPT_TO_PROMPT else str(method)


def _prompt_to_prompt(
    rows: Sequence[Row], seeds: Sequence[int], work: Work, changed: Mapping[str, float]
) -> tuple[Pictures, Pictures]:
    """Two pictures of one start noise under Prompt-to-Prompt; `changed` are other settings of the generator."""
    generator = work.model("pair_generator")
    captions = [row["source_caption"] for row in rows], [row["target_caption"] for row in rows]
    generator = generator.varied(**changed) if changed else generator
    turned = [kind_asked(row["asked_kind"]).drawn_first != "source" for row in rows]
    return _turned(turned, *generator.generate(*_turned(turned, *captions), seeds))


def _turned(turned: Sequence[bool], ones: Sequence[Any], others: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Both columns, the values of the rows that are to be turned exchanged."""
    rows = [(other, one) if turn else (one, other) for turn, one, other in zip(turned, ones, others, strict=True)]
    return [one for one, _ in rows], [other for _, other in rows]


def _edit(
    rows: Sequence[Row], seeds: Sequence[int], work: Work, changed: Mapping[str, float]
) -> tuple[Pictures, Pictures]:
    """A picture of the source caption, and what the editor makes of it."""
    sources = work.model("image_generator").generate([row["source_caption"] for row in rows], seeds)
    return sources, edited(rows, sources, seeds, work)


def _edit_of_picture(
    rows: Sequence[Row], seeds: Sequence[int], work: Work, changed: Mapping[str, float]
) -> tuple[Pictures, Pictures]:
    """The pictures that rows bring, and what the editor makes of them."""
    sources = [row["picture"] for row in rows]
    return sources, edited(rows, sources, seeds, work)


def edited(rows: Sequence[Row], sources: Pictures, seeds: Sequence[int], work: Work) -> Pictures:
    """What the editor makes of the sources, laid back onto them where a row says so."""
    targets = work.model("editor").edit(sources, [row["instruction"] for row in rows], seeds)
    return [
        target if row.get(LAID_BACK.name) is None else laid_back(source, target, row[LAID_BACK.name])
        for row, source, target in zip(rows, sources, targets, strict=True)
    ]


def _text_pair(
    rows: Sequence[Row], seeds: Sequence[int], work: Work, changed: Mapping[str, float]
) -> tuple[Pictures, Pictures]:
    """Two pictures of one start noise, each of its own caption."""
    model = work.model("image_generator")
    source, target = ([row[name] for row in rows] for name in ("source_caption", "target_caption"))
    return model.generate(source, seeds), model.generate(target, seeds)


_MAKE: Mapping[str | None, Callable[..., tuple[Pictures, Pictures]]] = {
    None: _prompt_to_prompt,
    EDIT: _edit,
    OF_PICTURE: _edit_of_picture,
    TEXT_PAIR: _text_pair,
}


def make_pairs(
    rows: Sequence[Row], seeds: Sequence[int], work: Work, changed: Mapping[str, float]
) -> tuple[list[Pixels], list[Pixels]]:
    """The source and the target pictures of rows, each by its own method."""
    sources: list[Pixels] = [np.empty(0, np.uint8)] * len(rows)
    targets = list(sources)
    for method, make in _MAKE.items():
        places = [place for place, row in enumerate(rows) if row.get(METHOD.name) == method]
        if places:
            made = make([rows[place] for place in places], [seeds[place] for place in places], work, changed)
            for place, source, target in zip(places, *made, strict=True):
                sources[place], targets[place] = source, target
    return sources, targets


WAYS = Ways(
    column=METHOD.name,
    roles={EDIT: ("image_generator", "editor"), TEXT_PAIR: ("image_generator",)},
    used=lambda settings: {None if method == PROMPT_TO_PROMPT else method for method in methods_of(settings)},
)
