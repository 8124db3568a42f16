"""What a kind of difference is to this project: how a rewriter is asked for it, and what may change for it.

A kind is a file in `imgdiff_assets/method/kinds/`. Functions ask it, and know none but the first there was.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.method import kinds
from imgdiff_assets.method.change import KINDS, Change
from imgdiff_assets.method.language import Language

OBJECT_REPLACED = "object_replaced"
"""What is asked for where a recipe names no kinds."""

KIND_COLUMNS = ("asked_kind", "change_kind", "source_object")
"""What of a prompt pair tells its kind."""

UNKNOWN = "unknown"
"""The kind of given pairs, of which nobody says what differs."""

SIDES = ("source", "target")
LISTED = ", "
"""Between the phrases that a kind lists."""

CAPTION = "{caption}"
"""Stands for the caption in what the rewriter is asked."""


@dataclass(frozen=True, slots=True)
class Example:
    """Two captions in English, and the phrases that are named as the change."""

    source: str
    target: str
    replaced: str
    replacement: str
    kind: str = ""

    @property
    def named(self) -> dict[str, str]:
        """The change as an answer names it."""
        return {"replaced": self.replaced, "replacement": self.replacement, "kind": self.kind}


@dataclass(frozen=True, eq=False, kw_only=True)
class Kind:
    """One kind of difference.

    `differs` says for people what does. `request` is what the rewriter is asked to do to a caption, and
    `names` ends "the words of the old caption that", which it is to name. `check` says what was changed, as
    `change.check` does: a change of another kind (than `called`, one of `change.KINDS`) or with a fault is rejected.
    With `on_one_side` a region need show its phrase in one of the images alone, whatever the recipe says: where there
    is a dog more, there is none in the other. `right` and `wrong` are examples.

    `sides` are the images that show something of what is named: of an object that was added, the target alone. From
    the image of `drawn_first` the other is drawn. What is `listed` are several phrases on each side, each pair of them
    a difference of its own. A difference that is `whole` is looked at in whole images, and one that is `everywhere`
    has no region but all of them. `region_question` and `difference_question` are asked of the captioner where the
    recipe's own, of things in regions, are of no use.
    """

    name: str
    differs: str
    called: str
    request: str
    names: str
    check: Callable[[str, str, Mapping[str, str], Language], Change]
    right: tuple[Example, ...]
    wrong: tuple[Example, ...]
    on_one_side: bool = False
    told: str = "change the {source} to {target}"
    """What an editor is told; see `method.instructions`."""
    sides: tuple[str, ...] = SIDES
    drawn_first: str = "source"
    listed: bool = False
    whole: bool = False
    everywhere: bool = False
    region_question: str = ""
    difference_question: str = ""

    def changes(self, source: str | None, target: str | None) -> list[tuple[str | None, str | None]]:
        """Each difference that a prompt pair of this kind names, by what is named on both sides."""
        if not self.listed:
            return [(source, target)]
        return list(zip((source or "").split(LISTED), (target or "").split(LISTED), strict=False))

    @property
    def question(self) -> str:
        """What the rewriter is asked, with `CAPTION` where the caption goes."""
        return (
            f"{self.request} Keep every other word as it is. Answer with one JSON object: "
            f'"caption" is the new caption, "replaced" the words of the old caption that {self.names}, "replacement" '
            f'the words of the new one in their place, and "kind" what was changed: {", ".join(KINDS)}. If the '
            f"caption has nothing of that sort, leave it as it is.\n\nCaption: {CAPTION}"
        )


def kind_names() -> list[str]:
    """The kinds that a recipe can name."""
    return sorted(module.name for module in iter_modules(kinds.__path__))


@cache
def kind_named(name: str) -> Kind:
    """Raises LookupError for a kind that there is no file of."""
    if name not in kind_names():
        raise LookupError(f"there is no kind {name!r}; there are {', '.join(kind_names())}")
    kind: Kind = import_module(f"{kinds.__name__}.{name}").KIND
    return kind


def kind_asked(name: str | None) -> Kind:
    """The kind of a row's `asked_kind`, of which null is the first that there was."""
    return kind_named(name or OBJECT_REPLACED)


def kinds_in_order(caption_id: str, shares: Mapping[str, float]) -> list[str]:
    """The kinds in the order in which they are tried for a caption: drawn by its id, each as likely as its share.

    The first is of a kind as often as the shares say; the next is drawn so of those that are left.
    """

    def waits(name: str) -> float:
        uniform = ((seed_of("kind", caption_id, name) >> 10) + 1) / ((1 << 53) + 1)
        return -math.log(uniform) / shares[name]

    return sorted((name for name in shares if shares[name] > 0), key=lambda name: (waits(name), name))


def kind_of(prompt: Mapping[str, Any]) -> str:
    """The kind of a kept prompt pair: what was asked for, else what was found, else the first.

    `prompt` has the `KIND_COLUMNS`. Of a given pair without objects nothing is known.
    """
    if prompt["asked_kind"] or not prompt["source_object"]:
        return prompt["asked_kind"] or UNKNOWN
    return next((name for name in kind_names() if kind_named(name).called == prompt["change_kind"]), OBJECT_REPLACED)
