"""The form that training by verifiable rewards reads: prompts with pictures, what is right, and the file that judges.

A row serves verl (`prompt`, `images`, `data_source`, `reward_model`, `extra_info`), ms-swift (`messages`, `images`,
`solution`) and TRL (`prompt`, `images`, `solution`). Only tasks are there whose answers code can judge; `reward.py`
beside the data is that code. `difficulty` (0 easy, 1 hard) is about the picture alone: how small the box is, or, of a
whole pair, how alike the two images are that differ, or how unlike those that do not.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgdiff_assets.export import reward
from imgdiff_assets.export.conversation_files import asked
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.hf import LOADED, LOADING, front_matter
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.reward import TASKS, solution_of
from imgdiff_assets.export.row_groups import pictures_of, write_row_groups
from imgdiff_assets.export.view import SPLITS, View
from imgdiff_assets.method.conversations import IMAGE_TOKEN
from imgdiff_assets.method.tasks import SAME
from imgdiff_assets.reading.samples import Sample

DATA_SOURCE = "imgdiff"

FOR_TRL = f"""\
for_trl = train.map(lambda row: {{"prompt": [
    {{**said, "content": said["content"].replace("{IMAGE_TOKEN}", "")}} for said in row["prompt"]
]}})"""


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    rows = ((view.sample.split, _row(view, number)) for number, view in enumerate(views))
    for _, row in write_row_groups(folder, shard, rows, _features().arrow_schema):
        yield {"task": row["extra_info"]["task"]}


def finish(folder: Path, entries: Entries, options: Options) -> None:
    shutil.copyfile(reward.__file__, folder / "reward.py")
    counts = {split: sum(1 for _ in entries(split)) for split in SPLITS}
    text = (
        f"{front_matter(folder, counts)}\n# Image differences, with rewards\n\n"
        f"Questions whose answers code can judge ({', '.join(TASKS)}): `solution` says what is right, and `reward.py` "
        f"how right an answer is.\n\n{LOADED}\n\n"
        "```\n# verl\ndata.train_files=FOLDER/data/train-*.parquet data.image_key=images \\\n"
        "custom_reward_function.path=FOLDER/reward.py custom_reward_function.name=compute_score\n```\n\n"
        "```\n# ms-swift\nswift rlhf --rlhf_type grpo --dataset FOLDER/data/train-*.parquet \\\n"
        "  --external_plugins FOLDER/reward.py --reward_funcs imgdiff\n```\n\n"
        "TRL adds the `<image>` of its model by itself, and takes `imgdiff_reward` of `reward.py`; give it\n\n"
        f"```python\n{FOR_TRL}\n```\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def difficulty(sample: Sample) -> float | None:
    """See above; None where it is not known how alike the images are."""
    if sample.box is not None:
        x1, y1, x2, y2 = sample.box
        return float(1 - ((x2 - x1) * (y2 - y1) / (sample.width * sample.height)) ** 0.5)
    if sample.similarity is None:
        return None
    alike = min(max(sample.similarity, 0.0), 1.0)
    return 1 - alike if sample.answer in SAME else alike


def _row(view: View, number: int) -> dict[str, Any]:
    sample, solution = view.sample, solution_of(view.sample.task, view.answer)
    prompt = [{"role": "user", "content": asked(view, separator="")}]
    return {
        "data_source": DATA_SOURCE,
        "prompt": prompt,
        "messages": prompt,
        "images": pictures_of(view),
        "ability": "image_difference",
        "reward_model": {"style": "rule", "ground_truth": solution},
        "solution": solution,
        "difficulty": difficulty(sample),
        "extra_info": {"index": number, "split": sample.split, "task": sample.task, "sample_id": sample.sample_id},
    }


def _features() -> Any:
    from datasets import Features, Image, List, Value

    text = Value("string")
    said = List({"role": text, "content": text})
    return Features(
        {
            "data_source": text,
            "prompt": said,
            "messages": said,
            "images": List(Image()),
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "solution": text,
            "difficulty": Value("float32"),
            "extra_info": {"index": Value("int64"), "split": text, "task": text, "sample_id": text},
        }
    )


FORMAT = Format(
    name="grpo",
    reads="verl, ms-swift and TRL, for training by rewards",
    files="data/*.parquet with prompts, pictures and what is right, and reward.py, which judges answers",
    loading=LOADING,
    write_shard=write_shard,
    finish=finish,
    tasks=TASKS,
    needs=("datasets",),
)
