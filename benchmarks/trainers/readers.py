"""Who reads each format: what is installed, what is exported for it, and the words by which it trains, or reads."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.trainers.environment import small_clip, small_llava

BATCH = 8
LEARNING_RATE = 1e-3
SCRIPTS = Path(__file__).parent / "scripts"
LOGGED = re.compile(r"""['"]loss['"]: ['"]?([\d.e+-]+|nan|inf)""")
"""A loss as the Trainer of transformers logs it, and so do our scripts."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a reader is given: a folder for models, one with the export, an empty one, and how many steps."""

    models: Path
    data: Path
    out: Path
    steps: int


@dataclass(frozen=True, slots=True)
class Reader:
    """One that reads an export, and trains on BATCH samples of it unless it has nothing to train (`trains`).

    `words` begin with a command of its environment. What it prints has the losses by `loss`, of each step one.
    """

    reads: str
    requirements: tuple[str, ...]
    words: Callable[[Given], list[str]]
    options: tuple[str, ...] = ()
    trains: bool = True
    packages: tuple[str, ...] = ()
    loss: re.Pattern[str] = LOGGED
    given: dict[str, str] = field(default_factory=dict)


def _script(name: str, *more: str) -> Callable[[Given], list[str]]:
    def words(given: Given) -> list[str]:
        told = (given.data, small_llava(given.models / "llava"), given.out, given.steps, BATCH)
        return ["python", str(SCRIPTS / f"{name}.py"), *map(str, told), *more]

    return words


def _swift(file: str) -> Callable[[Given], list[str]]:
    def words(given: Given) -> list[str]:
        settings = f"""
            --model {small_llava(given.models / "llava")} --model_type llava1_5_hf --template llava1_5_hf
            --dataset {given.data / file}#{BATCH} --split_dataset_ratio 0 --dataset_shuffle false
            --tuner_type full --freeze_vit true --max_length 512 --max_steps {given.steps}
            --learning_rate {LEARNING_RATE} --per_device_train_batch_size {BATCH} --gradient_accumulation_steps 1
            --logging_steps 1 --torch_dtype float32 --save_strategy no --eval_strategy no --output_dir {given.out}
            --use_cpu true --report_to none"""
        return ["swift", "sft", *settings.split()]

    return words


def _llama_factory(given: Given) -> list[str]:
    values = {
        "model_name_or_path": str(small_llava(given.models / "llava")),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "freeze_vision_tower": True,
        "dataset_dir": str(given.data),
        "dataset": "imgdiff_train",
        "max_samples": BATCH,
        "template": "llava",
        "cutoff_len": 512,
        "output_dir": str(given.out / "model"),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
        "learning_rate": LEARNING_RATE,
        "max_steps": given.steps,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
    }
    (given.out / "train.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return ["llamafactory-cli", "train", str(given.out / "train.yaml")]


def _open_clip(given: Given) -> list[str]:
    """An epoch is a batch: it drops what does not fill one."""
    tars = sorted(given.data.glob("train-*.tar"))
    settings = f"""
        --dataset-type webdataset --train-data {given.data}/train-{{000000..{len(tars) - 1:06}}}.tar
        --train-num-samples {BATCH} --batch-size {BATCH} --epochs {given.steps} --workers 1
        --model local-dir:{small_clip(given.models / "clip")} --precision fp32 --device cpu --lr {LEARNING_RATE}
        --warmup 0 --log-every-n-steps 1 --save-frequency 0 --logs {given.out} --name run"""
    return ["python", "-m", "open_clip_train.main", *settings.split()]


VISION = ("transformers", "datasets", "peft", "accelerate", "torch")
READERS = {
    "trl": Reader("hf", ("trl==1.16.*", "peft", "torchvision"), _script("trl_sft"), packages=("trl", *VISION)),
    "ms-swift": Reader(
        "swift", ("ms-swift==4.6.*", "transformers<5.20"), _swift("train.jsonl"), packages=("ms_swift", *VISION)
    ),
    "llama-factory": Reader(
        "sharegpt", ("llamafactory==0.9.5",), _llama_factory, packages=("llamafactory", "trl", *VISION)
    ),
    "ms-swift, llava": Reader(
        "llava",
        ("ms-swift==4.6.*", "transformers<5.20"),
        _swift("train.json"),
        packages=("ms_swift", *VISION),
        given={"ROOT_IMAGE_DIR": "FOLDER"},
    ),
    "open_clip": Reader(
        "webdataset",
        ("open_clip_torch[training]==3.*",),
        _open_clip,
        options=("--single-image",),
        packages=("open_clip_torch", "webdataset", "torch"),
        loss=re.compile(r"Train Epoch.* Loss: ([\d.e+-]+|nan|inf) "),
    ),
    "webdataset": Reader(
        "webdataset",
        ("webdataset==1.*", "pillow"),
        _script("webdataset_reads"),
        trains=False,
        packages=("webdataset", "pillow"),
    ),
    "verl": Reader(
        "grpo", ("verl==0.*", "torchvision"), _script("verl_reads"), trains=False, packages=("verl", *VISION)
    ),
    "torchvision": Reader(
        "coco",
        ("torchvision", "pycocotools"),
        _script("coco_detector"),
        packages=("torchvision", "pycocotools", "torch"),
    ),
    "fiftyone": Reader(
        "fiftyone",
        ("fiftyone",),
        _script("fiftyone_reads"),
        trains=False,
        packages=("fiftyone", "fiftyone_db", "mongoengine"),
    ),
    "datasets": Reader(
        "imgdiff", ("datasets", "pillow"), _script("imgdiff_reads"), trains=False, packages=("datasets", "pillow")
    ),
}
