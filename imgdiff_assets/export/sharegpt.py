"""The form that LLaMA-Factory reads: ShareGPT messages with as many `<image>` as paths, and `dataset_info.json`.

Preferences are a dataset of the kind `ranking`, for the stages `dpo` and `rm`: the question, then `chosen` and
`rejected`. Train with `dataset_dir` set to the folder and `dataset: imgdiff_train`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export.conversation_files import (
    LOADING_JSON,
    asked,
    messages,
    picture_paths,
    splits_of,
    write_json_lists,
)
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View

RANKED = ("chosen", "rejected")
TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        images = picture_paths(view, folder)
        said = messages(asked(view, separator=""), view.answer)
        if view.rejected is None:
            yield {"messages": said, "images": images}
        else:
            worse = {**said[1], "content": view.rejected.answer}
            yield {"messages": said[:1], "chosen": said[1], "rejected": worse, "images": images}


def finish(folder: Path, entries: Entries, options: Options) -> None:
    write_json_lists(folder, entries, options)
    info = {
        f"imgdiff_{split}": {
            "file_name": f"{split}.json",
            "formatting": "sharegpt",
            **({"ranking": True} if options.preference else {}),
            "columns": {name: name for name in ("messages", *(RANKED if options.preference else ()), "images")},
            "tags": TAGS,
        }
        for split in splits_of(entries)
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


FORMAT = Format(
    name="sharegpt",
    reads="LLaMA-Factory, with dataset_dir set to the folder and dataset: imgdiff_train",
    files="{messages, images} in train.json and validation.json, the dataset_info.json that names them, images/",
    loading=LOADING_JSON,
    write_shard=write_shard,
    finish=finish,
    preference=True,
    trainer="llama-factory",
    training="""\
```sh
imgdiff train-config --for llama-factory --model NAME --on FOLDER --out training
llamafactory-cli train training/train.yaml
```

- `cutoff_len` is 2,048 tokens unless it is set, and two images of 1024 pixels are more: what is cut off is the answer,
  and the loss is that of nothing. `train-config` sets it.
- `template` must be that of the model: with another the placeholders of the images stay text.
- `image_max_pixels` makes larger images smaller, boxes in answers as well as what they are about: tell boxes in
  fractions or thousandths.
- Preferences train with `stage: dpo` and `pref_loss: sigmoid`.""",
    entries_are_text=True,
)
