"""The form that LLaVA's trainers read: a JSON list per split, and pictures.

Each entry has `id`, `image` (two paths relative to the folder; one path when both images are in one picture) and
`conversations`, whose question has one `<image>` per picture.
"""

from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export.conversation_files import LOADING_JSON, picture_paths, turns, write_json_lists
from imgdiff_assets.export.format import Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        paths = picture_paths(view, folder)
        yield {
            "id": view.sample.sample_id,
            "image": paths[0] if options.single else paths,
            "conversations": turns(view),
        }


FORMAT = Format(
    name="llava",
    reads="LLaVA's trainers",
    files="{id, image: [two paths], conversations} in train.json and validation.json; images/",
    loading=LOADING_JSON,
    write_shard=write_shard,
    finish=write_json_lists,
    training="""\
```sh
# LLaVA's own trainers, with their words for a model
deepspeed llava/train/train_mem.py --data_path FOLDER/train.json --image_folder FOLDER --model_max_length 8192 ...
```

```sh
# ms-swift, which knows this form too
ROOT_IMAGE_DIR=FOLDER swift sft --model NAME --dataset FOLDER/train.json --max_length 8192
```

- `image` is a list of two paths. Trainers of several images (LLaVA-NeXT, LLaVA-OneVision) read it; that of LLaVA-1.5
  takes one: export with `--single-image`.
- Each image is 576 tokens or more, up to five times as many where it is cut into tiles: what `model_max_length` cuts
  off is the answer.""",
    entries_are_text=True,
)
