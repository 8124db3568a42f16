"""The formats that samples can be exported to, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from imgdiff_assets.export.llava import Progress, write_llava
from imgdiff_assets.ledger import Ledger

Writer = Callable[[Ledger, list[str], Path, Progress], dict[str, int]]
"""Writes the kept samples of some shards into an empty folder; returns how many are in each split."""

FORMATS: Mapping[str, Writer] = {"llava": write_llava}
