"""The held-out questions as a task of lmms-eval: a folder for its `--include_path`.

It scores as `imgdiff evaluate` does, by the same code, of which the folder has a copy: where lmms-eval is installed,
this project cannot be, for their pins exclude each other.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets import method
from imgdiff_assets.export import reward
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.training import scoring
from imgdiff_assets.training.evaluating import OtherEvaluation
from imgdiff_assets.training.held_out import Item

NAME = "imgdiff"
NEEDS = ("regex", "snowballstemmer")
"""What the score imports, beside lmms-eval itself."""

SCORING = "scoring"
"""The folder with the copy of what scores."""

BESIDE = ("mmvp", "blink", "muirbench", "mirb", "naturalbench")
"""Tasks that lmms-eval itself has of several images or of what models overlook; they fetch their own data."""

TASK = """\
# {command}
# It needs {needs}. Beside it, for who can fetch their data: --tasks {name},{beside}
task: {name}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {file}
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
{metrics}metadata:
  - version: 1.0
"""
METRIC = """\
  - metric: {name}
    aggregation: !function imgdiff_task.mean
    higher_is_better: true
"""

CODE = '''\
"""What lmms-eval calls for the questions of imgdiff, which are scored as `imgdiff evaluate` scores them."""

import os
import sys
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "{scoring}"))
try:
    from imgdiff_assets.training.scoring import score
except ImportError as error:
    raise ImportError("the scores of imgdiff need {needs}: pip install {needs}") from error

TASKS = {tasks}


def doc_to_visual(doc):
    return [image.convert("RGB") for image in doc["images"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def process_results(doc, results):
    seen = tuple(doc["seen"]) if doc["seen"] else None
    asked = SimpleNamespace(task=doc["task"], question=doc["question"], answer=doc["answer"], seen=seen)
    value = score(asked, results[0])
    return {{"score": value, **{{task: value if task == doc["task"] else None for task in TASKS}}}}


def mean(values):
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if told else float("nan")
'''

IMAGES = {"info": {"features": {"images": {"feature": {"_type": "Image"}, "_type": "List"}}}}
"""What `datasets` looks for in a Parquet file, and so decodes the pictures."""

SCHEMA = pa.schema(
    {
        **dict.fromkeys(("sample_id", "task", "question", "answer"), pa.string()),
        "seen": pa.list_(pa.string()),
        "images": pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})),
    },
    metadata={"huggingface": json.dumps(IMAGES)},
)
ROWS_AT_ONCE = 100


def command_of(out: Path) -> str:
    """The command that asks a model the task in `out`; MODEL is what lmms-eval calls its kind, PATH its folder."""
    return f"lmms-eval --model MODEL --model_args pretrained=PATH --include_path {out} --tasks {NAME}"


def write_task(items: Sequence[Item], longest: int, out: Path) -> Path:
    """Write the task that asks these questions, answers cut after `longest` tokens; returns its YAML file.

    The path of the questions in it is absolute, for lmms-eval takes others to be relative to where it is started.
    Raises OtherEvaluation for a folder that holds other files, and OSError.
    """
    task = out / f"{NAME}.yaml"
    if out.is_dir() and any(out.iterdir()) and not task.exists():
        raise OtherEvaluation(f"{out}: holds other files; name a new or empty folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    file = out / "questions.parquet"
    _write_questions(items, file)
    _copy_scoring(out)
    tasks = list(dict.fromkeys(item.task for item in items))
    needs = " ".join(NEEDS)
    (out / "imgdiff_task.py").write_text(
        CODE.format(tasks=json.dumps(tasks), needs=needs, scoring=SCORING), encoding="utf-8"
    )
    text = TASK.format(
        name=NAME,
        command=command_of(out),
        needs=needs,
        beside=",".join(BESIDE),
        file=json.dumps(str(file.absolute()), ensure_ascii=False),
        longest=longest,
        metrics="".join(METRIC.format(name=name) for name in ("score", *tasks)),
    )
    task.write_text(text, encoding="utf-8")
    return task


def _write_questions(items: Sequence[Item], file: Path) -> None:
    with atomic_file(file) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
        for start in range(0, len(items), ROWS_AT_ONCE):
            rows = [
                {
                    **{name: getattr(item, name) for name in ("sample_id", "task", "question", "answer")},
                    "seen": list(item.seen) if item.seen else None,
                    "images": [{"bytes": image, "path": None} for image in item.encoded],
                }
                for item in items[start : start + ROWS_AT_ONCE]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


def _copy_scoring(out: Path) -> None:
    """`scoring` with what it imports: `method`, which knows no file and no model, and `reward`."""
    packages, copies = Path(__file__).parents[1], out / SCORING / Path(__file__).parents[1].name
    shutil.rmtree(out / SCORING, ignore_errors=True)
    shutil.copytree(Path(method.__file__).parent, copies / "method", ignore=shutil.ignore_patterns("__pycache__"))
    modules = [Path(module.__file__ or "") for module in (reward, scoring)]
    for file in (packages / "__init__.py", *modules, *(module.with_name("__init__.py") for module in modules)):
        place = copies / file.relative_to(packages)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, place)
