"""Pieces of Markdown that the pages of the reference are made of."""

import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

BAR = r"\|"
"""A bar that is no end of a cell."""

MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")


def plain(text: str | None) -> str:
    """On one line."""
    return " ".join((text or "").split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; a column in which there is nothing is left out."""
    listed = [list(row) for row in rows]
    used = [number for number in range(len(head)) if any(row[number] for row in listed)]
    yield f"| {' | '.join(head[number] for number in used)} |"
    yield f"|{'---|' * len(used)}"
    for row in listed:
        yield f"| {' | '.join(row[number].replace('|', BAR) for number in used)} |"


def type_name(annotation: Any) -> str:
    """A type as people say it."""
    if isinstance(annotation, str):
        return f"`{annotation}`"
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(type_name(each) for each in typing.get_args(annotation))
    if annotation is type(None):
        return "null"
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return f"`{annotation.__name__}`"
    return f"`{MODULES.sub('', str(annotation))}`"
