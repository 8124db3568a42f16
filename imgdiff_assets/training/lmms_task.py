"""The held-out questions as a task of lmms-eval: a folder for its `--include_path`."""

import json
import shutil
from pathlib import Path

from imgdiff_assets.export import reward
from imgdiff_assets.training.held_out import NothingHeldOut

NAME = "imgdiff"
LONGEST = 64
"""Tokens of an answer."""

BESIDE = ("mmvp", "blink", "muirbench", "mirb", "naturalbench")
"""Tasks that lmms-eval itself has of several images or of what models overlook; they fetch their own data."""

TASK = """\
# lmms-eval --model MODEL --model_args pretrained=PATH --include_path {folder} --tasks {name}
# Beside it, for who can fetch their data: --tasks {name},{beside}
task: {name}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {files}
test_split: test
output_type: generate_until
doc_to_visual: !function imgdiff_task.doc_to_visual
doc_to_text: !function imgdiff_task.doc_to_text
doc_to_target: answer
process_results: !function imgdiff_task.process_results
generation_kwargs:
  max_new_tokens: {longest}
  temperature: 0
  do_sample: false
metric_list:
  - metric: score
    aggregation: !function imgdiff_task.mean
    higher_is_better: true
{by_task}metadata:
  - version: 1.0
"""
OF_TASK = """\
  - metric: {task}
    aggregation: !function imgdiff_task.mean
    higher_is_better: true
"""

CODE = '''\
"""What lmms-eval calls for the questions of imgdiff: choices exact, boxes by overlap, texts by F1 of their words."""

import json
import os
import re
import sys
from collections import Counter

sys.path.insert(0, os.path.dirname(__file__))
from reward import answered, reward  # noqa: E402

TASKS = {tasks}


def doc_to_visual(doc):
    return [image.convert("RGB") for image in doc["images"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def solution_of(doc):
    if doc["task"] == "grounding":
        return json.dumps({{"box": [float(number) for number in re.findall(r"[\\d.]+", doc["answer"])]}})
    return json.dumps({{"answer": doc["answer"]}})


def score(doc, said):
    if doc["task"] in ("which_image", "same_or_different", "grounding"):
        return reward(said, solution_of(doc))
    words = [Counter(re.findall(r"\\w+", text.casefold())) for text in (answered(said) or "", doc["answer"])]
    common = (words[0] & words[1]).total()
    return 2 * common / (words[0].total() + words[1].total()) if common else 0.0


def process_results(doc, results):
    value = score(doc, results[0])
    return {{"score": value, **{{task: value if task == doc["task"] else None for task in TASKS}}}}


def mean(values):
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if told else float("nan")
'''


def write_task(folder: Path, split: str, tasks: list[str], out: Path) -> Path:
    """Write the task that asks a split of `folder`; returns its YAML file. Raises NothingHeldOut, OSError."""
    files = sorted(str(file.absolute()) for file in (folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        raise NothingHeldOut(f"{folder}: has no data/{split}-*.parquet to make a task of.")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(reward.__file__, out / "reward.py")
    (out / "imgdiff_task.py").write_text(CODE.format(tasks=json.dumps(tasks)), encoding="utf-8")
    text = TASK.format(
        name=NAME,
        folder=out,
        beside=",".join(BESIDE),
        files=json.dumps(files),
        longest=LONGEST,
        by_task="".join(OF_TASK.format(task=task) for task in tasks),
    )
    file = out / f"{NAME}.yaml"
    file.write_text(text, encoding="utf-8")
    return file
