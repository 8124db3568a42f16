"""YAML that others wrote, read within bounds: some of it would take minutes and gigabytes, or name a key twice.

Its events are counted first, what an alias stands for as often as it is used, up to the first that is too many. So
what is refused costs no more than what is read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

LARGEST_TEXT = 4_000_000
DEEPEST = 20
MOST_KEYS = 1_000
MOST_VALUES = 100_000
LONGEST_NUMBER = 64
LONGEST_PLACE = 100
NUMBER = re.compile(r"[-+.0-9][-+.:_0-9]*")
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

# Twenty times as fast as the other, and there where PyYAML was built with libyaml, as its wheels are.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]
    """Refuses a key that is written twice, of which the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.YAMLError(f"the key {name!r} is there twice, around line {node.start_mark.line + 1}")
            seen.add(name)
        values: dict[Any, Any] = super().construct_mapping(node, deep)
        return values


def load_yaml(text: str) -> Any:
    """The values in `text`: mappings, lists, texts, numbers, dates. Raises yaml.YAMLError or ValueError.

    What is too large, too deep or too much is refused in about a second, by a message that names the key.
    """
    if len(text) > LARGEST_TEXT:
        raise yaml.YAMLError(f"there are more than {LARGEST_TEXT:,} characters")
    _measure(yaml.parse(text, Loader=_Parser))
    return yaml.load(text, _Loader)


@dataclass(slots=True)
class _Open:
    """A mapping or a list whose end has not come yet."""

    mapping: bool
    anchor: str | None
    begun_at: int
    children: int = 0
    height: int = 0
    key: str = ""


def _measure(events: Iterable[Any]) -> None:
    """Raise yaml.YAMLError where there is too much."""
    stack: list[_Open] = []
    anchored: dict[str | None, tuple[int, int]] = {}
    total = 0

    def refuse(what: str) -> None:
        place = ".".join(parent.key if parent.mapping else str(max(parent.children - 1, 0)) for parent in stack)
        raise yaml.YAMLError(f"{place[:LONGEST_PLACE] or 'at its beginning'}: {what}")

    def add(values: int, height: int, text: str = "") -> None:
        """Count what stands in the innermost mapping or list, and in those around it."""
        nonlocal total
        total += values
        if stack:
            parent = stack[-1]
            if parent.mapping and parent.children % 2 == 0:
                parent.key = text
            parent.children += 1
            parent.height = max(parent.height, height + 1)
            if parent.mapping and parent.children > 2 * MOST_KEYS:
                refuse(f"more than {MOST_KEYS:,} keys in one section")
        if len(stack) + height > DEEPEST:
            refuse(f"nested more than {DEEPEST} deep")
        if total > MOST_VALUES:
            refuse(f"more than {MOST_VALUES:,} values, with what aliases stand for")

    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            add(1, 0)
            stack.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor, total))
            if len(stack) > DEEPEST:
                refuse(f"nested more than {DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = stack.pop()
            if stack:
                stack[-1].height = max(stack[-1].height, ended.height + 1)
            if ended.anchor is not None:
                anchored[ended.anchor] = (total - ended.begun_at + 1, ended.height)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchored:
                refuse(f"*{event.anchor} stands for nothing that is complete")
            add(*anchored[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            add(1, 0, event.value)
            plain = event.implicit[0] and NUMBER.fullmatch(event.value)
            if len(event.value) > LONGEST_NUMBER and (plain or event.tag in NUMBER_TAGS):
                refuse(f"a number of more than {LONGEST_NUMBER} characters")
            if event.anchor is not None:
                anchored[event.anchor] = (1, 0)
