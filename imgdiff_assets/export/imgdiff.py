"""The layout of the released Img-Diff set: `path` + `_0.jpg` and `_1.jpg` with the red boxes in them, and its keys.

`bbox` is [x1, y1, x2, y2] in fractions of width and height, to two decimals; `captions1` and `captions2` say what the
region shows in either image.
"""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from imgdiff_assets.export.conversation_files import LOADING_JSON, turns, write_json_lists
from imgdiff_assets.export.format import Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import Picture, View, write_bytes

QUALITY = 95


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        sample = view.sample
        if sample.box is None:
            raise ValueError(f"{sample.sample_id}: a difference without a region")
        path = f"images/{shard}/{sample.region_id}"
        for number, picture in enumerate(view.pictures):
            write_bytes(folder / f"{path}_{number}.jpg", partial(_jpeg, picture))
        sizes = (sample.width, sample.height, sample.width, sample.height)
        yield {
            "path": path,
            "bbox": [round(value / size, 2) for value, size in zip(sample.box, sizes, strict=True)],
            "captions1": sample.source_region_caption,
            "captions2": sample.target_region_caption,
            "conversations": turns(view),
        }


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture.encoded())) as image:
        image.convert("RGB").save(buffer, format="JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


FORMAT = Format(
    name="imgdiff",
    reads="whatever reads the released Img-Diff set",
    files="{path, bbox, captions1, captions2, conversations} in train.json and validation.json; the pictures are "
    "path + _0.jpg and _1.jpg",
    loading=LOADING_JSON,
    write_shard=write_shard,
    finish=write_json_lists,
    boxes=True,
    single=False,
    tasks=("difference",),
    training="""\
`path` has no ending and is relative to the folder; `bbox` is in fractions to two decimals. No trainer knows this
layout, for the pictures are named by a rule: to train on it, export another form (`imgdiff export --help`).

```python
from datasets import load_dataset
train = load_dataset("json", data_files="FOLDER/train.json", split="train")
```""",
    entries_are_text=True,
)
