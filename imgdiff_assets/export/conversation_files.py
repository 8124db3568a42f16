"""What the formats of conversations have in common: pictures below `images/`, and text files by split."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imgdiff_assets.export.format import Entries
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import SPLITS, View, write_picture
from imgdiff_assets.method.conversations import IMAGE_TOKEN

LOADING_JSON = """\
import json, pathlib
train = json.loads(pathlib.Path("FOLDER/train.json").read_text(encoding="utf-8"))"""


def asked(view: View, separator: str = "\n") -> str:
    """The question after one image token per picture."""
    return f"{IMAGE_TOKEN}{separator}" * len(view.pictures) + view.question


def turns(view: View) -> list[dict[str, str]]:
    """One turn in the form of LLaVA's conversations."""
    return [{"from": "human", "value": asked(view)}, {"from": "gpt", "value": view.answer}]


def messages(question: str, answer: str) -> list[dict[str, str]]:
    """One turn in the form of chat templates."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def picture_paths(view: View, folder: Path) -> list[str]:
    """Write the view's pictures; their paths relative to `folder`."""
    return [write_picture(picture, folder) for picture in view.pictures]


def write_json_list(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """A JSON list with one value a line, never held in memory as a whole."""
    with path.open("w", encoding="utf-8") as file:
        before = "[\n"
        for value in values:
            file.write(before + json.dumps(value, ensure_ascii=False))
            before = ",\n"
        file.write("\n]\n" if before == ",\n" else "[]\n")


def splits_of(entries: Entries) -> list[str]:
    """The splits that have samples: a file without any is one that some readers refuse."""
    return [split for split in SPLITS if next(entries(split), None) is not None]


def write_json_lists(folder: Path, entries: Entries, options: Options) -> None:
    """`train.json` and `validation.json`: the `finish` of a format whose files are lists of its entries."""
    for split in splits_of(entries):
        write_json_list(folder / f"{split}.json", entries(split))


def write_json_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """JSON values, one a line."""
    with path.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
