"""The form that ms-swift reads: JSON lines of messages and images, boxes as `objects`.

A box in a text is the tag `<bbox>`, which the trainer replaces by the numbers of `objects.bbox` (xyxy in pixels of the
image that `image_id` counts) in the convention of the model that is trained. Paths are absolute, for the trainer takes
others to be relative to where it is started: a folder that was moved is exported again. A preference is the right
answer in the messages, and `rejected_response`.
"""

from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export.conversation_files import asked, messages, picture_paths, splits_of, write_json_lines
from imgdiff_assets.export.folder import whole_of
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View, corners
from imgdiff_assets.method.language import sentences_in

BOX_TAG = "<bbox>"


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        images = picture_paths(view, folder)
        # The trainer puts a box in the place of every tag; what a model said must not ask for one.
        question, answer = (text.replace(BOX_TAG, "bbox") for text in (asked(view, separator=""), view.answer))
        sample, sentences = view.sample, sentences_in(view.sample.shown.question)
        if sample.box is not None:
            question = question.replace(corners(sample, sentences), sentences.corners.format(box=BOX_TAG))
        if sample.task == "grounding":
            answer = BOX_TAG
            for convention in sentences.conventions.values():
                question = question.replace(f" {convention}", "")
        entry: Entry = {"messages": messages(question, answer), "images": images}
        if view.rejected is not None:
            entry["rejected_response"] = view.rejected.answer.replace(BOX_TAG, "bbox")
        if BOX_TAG in (question + answer) and sample.box is not None:
            box = [round(value) for value in sample.box]
            entry["objects"] = {"ref": [], "bbox": [box], "bbox_type": "real", "image_id": [0]}
        yield entry


def finish(folder: Path, entries: Entries, options: Options) -> None:
    place = whole_of(folder)
    for split in splits_of(entries):
        placed = ({**entry, "images": [str(place / path) for path in entry["images"]]} for entry in entries(split))
        write_json_lines(folder / f"{split}.jsonl", placed)


FORMAT = Format(
    name="swift",
    reads="ms-swift, from any folder; not to be moved",
    files="{messages, images, objects} in train.jsonl and validation.jsonl, boxes as <bbox>; images/",
    loading="""\
from datasets import load_dataset
train = load_dataset("json", data_files="FOLDER/train.jsonl", split="train")""",
    write_shard=write_shard,
    finish=finish,
    preference=True,
    trainer="ms-swift",
    training="""\
```sh
imgdiff train-config --for ms-swift --model NAME --on FOLDER --out training
sh training/train.sh
```

- Paths are absolute: a folder that was moved is exported again.
- Conversations longer than `--max_length` are left out, with a warning: of two large images that may be all of them.
- `MAX_PIXELS` makes larger images smaller; boxes in `objects` follow.
- Preferences train with `swift rlhf --rlhf_type dpo`.""",
    entries_are_text=True,
)
