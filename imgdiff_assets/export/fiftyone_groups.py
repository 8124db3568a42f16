"""For FiftyOne: clean images, a line of JSON for each question, and `groups.py`, which makes grouped samples of them.

A group is what FiftyOne calls samples that are looked at together; its two slices are the images as trainers see them,
left the first. FiftyOne's own layout of a dataset on disk changes with its versions; its Python does not.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export import groups
from imgdiff_assets.export.conversation_files import picture_paths, splits_of, write_json_lines
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View

TRAINING = """\
`python FOLDER/groups.py image-differences --launch` makes a dataset of groups and opens the app. It needs FiftyOne,
which wants an older `starlette` than this project: give it an environment of its own,

```
python -m venv fiftyone-env
fiftyone-env/bin/pip install fiftyone
fiftyone-env/bin/python FOLDER/groups.py image-differences --launch
```

A dataset of that name must not be there; `fiftyone datasets delete image-differences` takes it away. Where no MongoDB
comes with FiftyOne, `FIFTYONE_DATABASE_URI` names one."""


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        sample = view.sample
        box = None
        if sample.box is not None and sample.erased_from is None:
            x1, y1, x2, y2 = sample.box
            width, height = sample.width, sample.height
            box = [round(share, 6) for share in (x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height)]
        sides = {
            name: {
                "image": path,
                "side": image.side,
                "object": getattr(sample, f"{image.side}_object"),
                "caption": getattr(sample, f"{image.side}_region_caption"),
            }
            for name, path, image in zip(groups.SLICES, picture_paths(view, folder), sample.shown.images, strict=True)
        }
        yield {
            "sample_id": sample.sample_id,
            "pair_id": sample.pair_id,
            "split": sample.split,
            "task": sample.task,
            "kind": sample.kind,
            "question": view.question,
            "answer": view.answer,
            "box": box,
            **sides,
        }


def finish(folder: Path, entries: Entries, options: Options) -> None:
    for split in splits_of(entries):
        write_json_lines(folder / f"{split}.jsonl", entries(split))
    shutil.copyfile(groups.__file__, folder / "groups.py")


FORMAT = Format(
    name="fiftyone",
    reads="FiftyOne, to look at",
    files="a question a line in train.jsonl and validation.jsonl, images/, and groups.py, which makes grouped samples",
    loading="""\
import runpy
read = runpy.run_path("FOLDER/groups.py")
train = list(read["rows"]("train"))  # where FiftyOne is installed: read["dataset"]("image-differences")""",
    write_shard=write_shard,
    finish=finish,
    boxes=False,
    single=False,
    training=TRAINING,
    entries_are_text=True,
)
