"""The form that Hugging Face `datasets` reads: Parquet files with `Image` columns, and a dataset card.

One file per shard and split; `image_1` is shown first, or is the only one; `box` is xyxy in pixels, null for samples
about no region. `images` has the same pictures as a list, beside the `messages`, where trainers such as TRL look.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imgdiff_assets.common.hashing import content_id, file_hash
from imgdiff_assets.export.conversation_files import asked, messages
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.row_groups import pictures_of, write_row_groups
from imgdiff_assets.export.view import SPLITS, View

LOADING = """\
from datasets import load_dataset
train = load_dataset("FOLDER", split="train")"""
LOADED = f"```python\n{LOADING}\n```\n\n`FOLDER` is this folder, or the name that it has on the Hub."
"""How to load it, as a dataset card says it."""

FOR_TRL = """\
for_trl = train.map(lambda row: {"messages": [
    {**said, "content": said["content"].replace("<image>\\n", "")} for said in row["messages"]
]})"""
"""TRL puts a placeholder for each of the `images` before the first message itself, whatever stands in it."""

PREFERENCES = (
    "Questions about pairs of nearly identical images, each with a `chosen` and a `rejected` answer, for preference "
    "training by TRL. `fault` says what is wrong with the rejected one: the filter that rejected it where it was said "
    "of that pair, `other_region`, `wrong_side`, or `wrong_choice`."
)

REGION = ("source_region_caption", "target_region_caption")
"""What a marked region shows in the source and in the target image; null for samples about no region."""

IMAGES = ("image_1", "image_2")
TEXTS = ("sample_id", "task", "question", "answer", "subject", "first", "caption_id", "pair_id", "region_id", "kind")


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    row_of = _preference_row if options.preference else _row
    rows = ((view.sample.split, row_of(view)) for view in views)
    for _, row in write_row_groups(folder, shard, rows, _features(options).arrow_schema):
        yield {"task": row["task"]}


def _row(view: View) -> dict[str, Any]:
    sample = view.sample
    pictures = pictures_of(view)
    return {
        **dict(zip(IMAGES, pictures, strict=False)),
        **{name: getattr(sample, name) for name in (*TEXTS, *REGION) if name not in ("question", "answer")},
        "question": view.question,
        "answer": view.answer,
        "messages": messages(asked(view), view.answer),
        "images": pictures,
        "box": list(sample.box) if sample.box is not None else None,
    }


def _preference_row(view: View) -> dict[str, Any]:
    """As TRL reads it, which puts the placeholders of images into the prompt itself."""
    said, worse = messages(view.question, view.answer), view.rejected
    return {
        "sample_id": view.sample.sample_id,
        "task": view.sample.task,
        "images": pictures_of(view),
        "prompt": said[:1],
        "chosen": said[1:],
        "rejected": [{**said[1], "content": worse.answer if worse else ""}],
        "fault": worse.fault if worse else None,
    }


def _features(options: Options) -> Any:
    from datasets import Features, Image, List, Value

    text = Value("string")
    if options.preference:
        turns = dict.fromkeys(("prompt", "chosen", "rejected"), List({"role": text, "content": text}))
        return Features({"sample_id": text, "task": text, "images": List(Image()), **turns, "fault": text})
    return Features(
        {
            **{name: Image() for name in IMAGES[: 1 if options.single else 2]},
            **dict.fromkeys((*TEXTS, *REGION), text),
            "messages": List({"role": text, "content": text}),
            "images": List(Image()),
            "box": List(Value("float32")),
        }
    )


def finish(folder: Path, entries: Entries, options: Options) -> None:
    tasks = sorted({entry["task"] for split in SPLITS for entry in entries(split)})
    counts = {split: sum(1 for _ in entries(split)) for split in SPLITS}
    if options.preference:
        text = f"{front_matter(folder, counts)}\n# Image differences: preferences\n\n{PREFERENCES}\n\n{LOADED}\n"
        (folder / "README.md").write_text(text, encoding="utf-8")
        return
    pictures = (
        "`image_1` (both images side by side)" if options.single else "`image_1`, `image_2` (in the order shown)"
    )
    text = (
        f"{front_matter(folder, counts)}\n# Image differences\n\n"
        f"Questions about pairs of nearly identical images. Tasks: {', '.join(tasks)}. "
        + ", ".join(f"{count:,} {split}" for split, count in counts.items())
        + f".\n\n{LOADED}\n\n{pictures}; `question` and `answer`, and both as `messages` with one `<image>` per "
        "picture, `images`; `box` is [x1, y1, x2, y2] in pixels of either image.\n\n"
        "```sh\nimgdiff train-config --for trl --model NAME --on FOLDER --out training\n"
        "python training/train.py --config training/train.yaml\n```\n\n"
        "`max_length` must be None: a cut conversation lacks tokens of its images, which fails. "
        f"TRL adds the `<image>` of its model by itself, so give it\n\n```python\n{FOR_TRL}\n```\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def front_matter(folder: Path, counts: Mapping[str, int], licence: Mapping[str, str] | None = None) -> str:
    """The metadata at the head of a dataset card, by which the Hub and `load_dataset` find the files of each split.

    `licence` is what they say of that, as the Hub names it. `load_dataset` keeps what it has read of a local folder by
    the folder's last name and this metadata, whatever the files hold. So it names their content; else another set of
    that name would be what was read before.
    """
    from huggingface_hub import DatasetCardData

    content = content_id([file_hash(path) for path in sorted((folder / "data").glob("*.parquet"))])
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split, count in counts.items() if count]
    card = DatasetCardData(
        language="en",
        pretty_name="Image differences",
        task_categories=["image-text-to-text", "visual-question-answering"],
        tags=["image-difference", "synthetic", "multi-image"],
        size_categories=[_size_category(sum(counts.values()))],
        configs=[{"config_name": "default", "description": f"Content {content}", "data_files": files}],
        **(licence or {}),
    )
    return f"---\n{card.to_yaml()}\n---\n"


def _size_category(count: int) -> str:
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in limits if count < limit), "1M<n<10M")


FORMAT = Format(
    name="hf",
    reads="Hugging Face datasets",
    files="data/*.parquet with Image columns, and a dataset card",
    loading=LOADING,
    write_shard=write_shard,
    finish=finish,
    preference=True,
    trainer="trl",
    needs=("datasets",),
)
