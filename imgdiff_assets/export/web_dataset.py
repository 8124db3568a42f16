"""The form that WebDataset reads: one tar per shard and split, of `<sample>.first.png`, `.second.png` and `.json`.

With both images in one picture, `<sample>.png`. The JSON has question, answer, messages and box (xyxy in pixels).
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from imgdiff_assets.export.conversation_files import asked, messages
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View

NAMES = ("first", "second")
OWNER = "imgdiff"


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    from webdataset import TarWriter

    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for view in views:
            sample = view.sample
            if sample.split not in writers:
                file = stack.enter_context((folder / f"{sample.split}-{shard}.tar").open("wb"))
                # No clock and no user in the archive: equal samples give equal bytes.
                writer = TarWriter(file, user=OWNER, group=OWNER, encoder=False, mtime=0)
                writers[sample.split] = stack.enter_context(writer)
            about = {
                "task": sample.task,
                "question": view.question,
                "answer": view.answer,
                "messages": messages(asked(view), view.answer),
                "box": sample.box,
                "caption_id": sample.caption_id,
                "pair_id": sample.pair_id,
                "region_id": sample.region_id,
            }
            names = [""] if options.single else [f"{name}." for name in NAMES]
            pictures = {
                f"{name}{picture.path.suffix.removeprefix('.')}": picture.encoded()
                for name, picture in zip(names, view.pictures, strict=True)
            }
            record = {"__key__": sample.sample_id, **pictures, "json": json.dumps(about, ensure_ascii=False).encode()}
            writers[sample.split].write(record)
            yield {}


def finish(folder: Path, entries: Entries, options: Options) -> None:
    """Nothing needs all entries: a reader names the tars, as in `train-shard-{000000..000009}.tar`."""


FORMAT = Format(
    name="webdataset",
    reads="WebDataset",
    files="train-SHARD.tar and validation-SHARD.tar of SAMPLE.first.png, SAMPLE.second.png, SAMPLE.json",
    loading="""\
import glob, webdataset
train = webdataset.WebDataset(sorted(glob.glob("FOLDER/train-*.tar")), shardshuffle=False).decode("pil")""",
    write_shard=write_shard,
    finish=finish,
    needs=("webdataset",),
)
