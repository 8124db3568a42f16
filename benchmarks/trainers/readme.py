"""What an exported folder says of itself: the commands and the Python that readers are run by, so that they hold."""

import re
from pathlib import Path

BLOCK = re.compile(r"```(?:sh|python)?\n(.*?)\n```", re.DOTALL)


def told(folder: Path, word: str, **names: object) -> str:
    """The one block of the README that has the word, with the folder and other names put in their places.

    Raises ValueError where no block has it, or several.
    """
    blocks = [block for block in BLOCK.findall((folder / "README.md").read_text(encoding="utf-8")) if word in block]
    if len(blocks) != 1:
        raise ValueError(f"{folder}/README.md: {len(blocks)} blocks have {word}")
    for name, value in {"FOLDER": folder, **names}.items():
        blocks[0] = blocks[0].replace(name, str(value))
    return str(blocks[0])
