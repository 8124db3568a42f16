"""What the README of an exported folder says, for scripts that import nothing of this project."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from readme import told


def loaded(folder: str, word: str) -> Any:
    """The training samples, by the README's one block of Python that has the word."""
    names: dict[str, Any] = {}
    exec(told(Path(folder), word), names)
    return names["train"]
