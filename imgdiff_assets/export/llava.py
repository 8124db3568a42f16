"""The form that LLaVA's trainers read: a JSON list per split, and pictures.

Each entry has `id`, `image` (two paths relative to the folder; one path when both images are in one picture) and
`conversations`, whose question has one `<image>` per picture.
"""

from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export.conversation_files import asked, picture_paths, write_json_list
from imgdiff_assets.export.formats import Entries, Entry
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import SPLITS, View


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        paths = picture_paths(view, folder)
        turns = [{"from": "human", "value": asked(view)}, {"from": "gpt", "value": view.answer}]
        yield {
            "id": view.sample.sample_id,
            "image": paths[0] if options.single else paths,
            "conversations": turns,
        }


def finish(folder: Path, entries: Entries, options: Options) -> None:
    for split in SPLITS:
        write_json_list(folder / f"{split}.json", entries(split))
