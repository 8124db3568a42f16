"""The form that WebDataset reads: tars of `<sample>.first.png`, `.second.png` and `.json`.

One per shard and split that has samples, `train-000000.tar` and so on without a gap, as readers count them up.

With both images in one picture, `<sample>.png`, and beside it the answer as `<sample>.txt`, where readers of pictures
with texts look. The JSON has question, answer, messages and box (xyxy in pixels).
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from imgdiff_assets.export.conversation_files import asked, messages
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import SPLITS, View

NAMES = ("first", "second")
OWNER = "imgdiff"


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    from webdataset import TarWriter

    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for view in views:
            sample = view.sample
            if sample.split not in writers:
                file = stack.enter_context((folder / _unnumbered(sample.split, shard)).open("wb"))
                # No clock and no user in the archive: equal samples give equal bytes.
                writer = TarWriter(file, user=OWNER, group=OWNER, encoder=False, mtime=0)
                writers[sample.split] = stack.enter_context(writer)
            about = {
                "task": sample.task,
                "kind": sample.kind,
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
            text = {"txt": view.answer.encode()} if options.single else {}
            record = {
                "__key__": sample.sample_id,
                **pictures,
                **text,
                "json": json.dumps(about, ensure_ascii=False).encode(),
            }
            writers[sample.split].write(record)
            yield {"shard": shard}


def finish(folder: Path, entries: Entries, options: Options) -> None:
    """Number the tars of each split; those that a killed attempt has numbered keep their numbers."""
    for split in SPLITS:
        for number, shard in enumerate(dict.fromkeys(entry["shard"] for entry in entries(split))):
            path = folder / _unnumbered(split, shard)
            if path.exists():
                path.replace(folder / f"{split}-{number:06d}.tar")


def _unnumbered(split: str, shard: str) -> str:
    return f".{split}.{shard}.tar"


FORMAT = Format(
    name="webdataset",
    reads="WebDataset",
    files="train-000000.tar, validation-000000.tar and so on, of SAMPLE.first.png, SAMPLE.second.png, SAMPLE.json",
    loading="""\
import pathlib, webdataset
tars = sorted(map(str, pathlib.Path("FOLDER").glob("train-*.tar")))
train = webdataset.WebDataset(tars, shardshuffle=False).decode("pil")""",
    write_shard=write_shard,
    finish=finish,
    needs=("webdataset",),
    training="""\
open_clip reads one picture and one text: export with `--single-image`, of which the answer is the text.

```sh
python -m open_clip_train.main --dataset-type webdataset --train-data 'FOLDER/train-{000000..000009}.tar' \\
  --train-num-samples COUNT --model ViT-B-32
```

- `000009` is the last of the tars that there are; a range that goes further fails when it is read.
- It drops what does not fill a batch on every worker: with few samples, `--workers 1` and a small `--batch-size`.""",
)
