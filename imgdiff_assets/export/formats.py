"""The formats that samples can be exported to, by name. A writer's module is imported when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from imgdiff_assets.ledger import Ledger

    Progress = Callable[[str, int, int], None]
    Writer = Callable[[Ledger, Sequence[str], Path, Progress], dict[str, int]]

FORMATS: Mapping[str, str] = {"llava": "imgdiff_assets.export.llava"}
"""Name to module. The module's `write` puts the kept samples of some shards into an empty folder and counts them."""


def writer(name: str) -> "Writer":
    """The function that writes the format. Raises KeyError for an unknown name."""
    return cast("Writer", import_module(FORMATS[name]).write)
