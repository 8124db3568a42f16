"""Whether trainers really train on what is exported: each in an environment of its own, for their pins differ.

    python -m benchmarks.trainers [trl] [ms-swift] [llama-factory] --model FOLDER --home HOME [--steps 50]

The home's samples are exported in the trainer's format, and a small LLaVA (`--model`, such as `build/teaches/base` of
`benchmarks.teaches`) is trained on one batch of them: the loss must be finite and fall. An environment takes 5 GB
unless it borrows torch from this one (`--borrow`), and is removed afterwards unless `--keep`.
"""

import argparse
import ast
import json
import math
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BATCH = 8
LEARNING_RATE = 1e-3
LOSS = re.compile(r"\{[^{}]*'loss': [^{}]*\}")
TOLD = ("trl", "ms_swift", "llamafactory", "transformers", "datasets", "peft", "accelerate", "torch")


@dataclass(frozen=True, slots=True)
class Trainer:
    """What is installed, the format it reads, and the words that train `steps` steps on the first BATCH samples."""

    requirements: tuple[str, ...]
    reads: str
    words: Callable[[Path, Path, Path, int], list[str]]


def _trl(model: Path, data: Path, out: Path, steps: int) -> list[str]:
    script = out / "train.py"
    script.write_text(
        "from datasets import load_dataset\nfrom trl import SFTConfig, SFTTrainer\n"
        f"data = load_dataset({str(data)!r}, split='train').select(range({BATCH}))\n"
        "bare = lambda said: {**said, 'content': said['content'].replace('<image>\\n', '')}\n"
        "data = data.map(lambda row: {'messages': [bare(said) for said in row['messages']]})\n"
        "data = data.select_columns(['messages', 'images'])\n"
        f"settings = SFTConfig(output_dir={str(out)!r}, max_length=None, max_steps={steps}, logging_steps=1,\n"
        f"    per_device_train_batch_size={BATCH}, learning_rate={LEARNING_RATE}, report_to='none', use_cpu=True,\n"
        "    save_strategy='no', bf16=False, gradient_checkpointing=False, disable_tqdm=True)\n"
        f"SFTTrainer(model={str(model)!r}, args=settings, train_dataset=data).train()\n",
        encoding="utf-8",
    )
    return ["python", str(script)]


def _swift(model: Path, data: Path, out: Path, steps: int) -> list[str]:
    given = f"{data / 'train.jsonl'}#{BATCH}"
    settings = f"""
        --model {model} --model_type llava1_5_hf --template llava1_5_hf --dataset {given} --split_dataset_ratio 0
        --tuner_type full --freeze_vit true --max_length 512 --max_steps {steps} --learning_rate {LEARNING_RATE}
        --per_device_train_batch_size {BATCH} --gradient_accumulation_steps 1 --logging_steps 1 --torch_dtype float32
        --save_strategy no --eval_strategy no --output_dir {out} --use_cpu true --report_to none"""
    return ["swift", "sft", *settings.split()]


def _llama_factory(model: Path, data: Path, out: Path, steps: int) -> list[str]:
    values = {
        "model_name_or_path": str(model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "freeze_vision_tower": True,
        "dataset_dir": str(data),
        "dataset": "imgdiff_train",
        "max_samples": BATCH,
        "template": "llava",
        "cutoff_len": 512,
        "output_dir": str(out / "model"),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
        "learning_rate": LEARNING_RATE,
        "max_steps": steps,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
    }
    (out / "train.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return ["llamafactory-cli", "train", str(out / "train.yaml")]


TRAINERS = {
    "trl": Trainer(("trl==1.16.*", "peft"), "hf", _trl),
    "ms-swift": Trainer(("ms-swift==4.6.*", "transformers<5.20"), "swift", _swift),
    "llama-factory": Trainer(("llamafactory==0.9.5",), "sharegpt", _llama_factory),
}


def environment(folder: Path, requirements: tuple[str, ...], borrow: bool) -> Path:
    """The folder of an environment's commands; it is made unless it is there."""
    commands = folder / "bin"
    if not commands.exists():
        venv.create(folder, with_pip=True)
        if borrow:
            (found,) = folder.glob("lib/python*/site-packages")
            (found / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
        subprocess.run([commands / "pip", "install", "--quiet", "--no-input", *requirements], check=True)
    return commands


def train(name: str, model: Path, home: Path, folder: Path, steps: int, borrow: bool) -> dict[str, Any]:
    """Export, train, and tell the losses and versions. Raises CalledProcessError, and ValueError for a bad loss."""
    trainer = TRAINERS[name]
    commands = environment(folder / name, trainer.requirements, borrow)
    data, out = folder / f"{name}-data", folder / f"{name}-out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    given = {**os.environ, "IMGDIFF_HOME": str(home), "USE_CPU": "1", "CUDA_VISIBLE_DEVICES": ""}
    exporting = [
        sys.executable,
        "-m",
        "imgdiff_assets.cli.main",
        "export",
        "--format",
        trainer.reads,
        "--out",
        str(data),
    ]
    subprocess.run(exporting, env=given, check=True, stdout=subprocess.DEVNULL)
    command, *words = trainer.words(model.absolute(), data.absolute(), out.absolute(), steps)
    path = {"PATH": f"{commands.absolute()}:{os.environ['PATH']}", "PYTHONPATH": ""}
    done = subprocess.run(
        [commands / command, *words], env={**given, **path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    losses = [float(ast.literal_eval(line)["loss"]) for line in LOSS.findall(done.stdout + done.stderr)]
    if len(losses) < steps or not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise ValueError(f"{name}: its losses are no training: {losses}")
    listed = subprocess.run([commands / "pip", "list", "--format", "json"], capture_output=True, check=True).stdout
    versions = {each["name"].replace("-", "_"): each["version"] for each in json.loads(listed)}
    return {"losses": losses, "versions": {package: versions[package] for package in TOLD if package in versions}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainers", nargs="*", choices=[*TRAINERS, []], help="which (all)")
    parser.add_argument("--model", type=Path, required=True, help="a folder with a small LLaVA and its processor")
    parser.add_argument("--home", type=Path, required=True, help="a home with samples of the task difference")
    parser.add_argument("--folder", type=Path, default=Path("build/trainers"), help="for environments and exports")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--borrow", action="store_true", help="borrow torch from this environment")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="put the figures here, beside those of other trainers"
    )
    arguments = parser.parse_args()
    for name in arguments.trainers or TRAINERS:
        found = train(name, arguments.model, arguments.home, arguments.folder, arguments.steps, arguments.borrow)
        print(f"{name}: loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f}, {found['versions']}", flush=True)
        if not arguments.keep:
            shutil.rmtree(arguments.folder / name)
        if arguments.json:
            there = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
            arguments.json.write_text(json.dumps({**there, name: found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
