"""Texts of a recipe with places in braces, which are filled for every row."""

import re
from string import Formatter
from typing import Any

FORM = re.compile(r"[<>^]?[+ -]?0?[0-9]{0,2}(\.[0-9]{1,2})?[a-z%]?")
"""How a value may be written, as in `{x1:.2f}`: in less than a hundred characters, though Python takes a billion."""


def fillable(text: str, **values: Any) -> str:
    """For validators: a template that cannot be filled would fail every row.

    It may have the names of `values` in braces, and in which form they are written. Raises ValueError.
    """
    try:
        for _, name, form, _ in Formatter().parse(text):
            if name is not None and name not in values:
                raise KeyError(name)
            if form and not FORM.fullmatch(form):
                raise ValueError(f"{form!r} is no short form of a value")
        text.format(**values)
    except (LookupError, ValueError) as error:
        raise ValueError(f"cannot be filled ({error}); it may use {{{'}, {'.join(values)}}}") from None
    return text


def matchable(pattern: str) -> str:
    """For validators: a regular expression. Raises ValueError."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern
