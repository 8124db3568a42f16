"""lmms-eval asks a model what `imgdiff evaluate` asks it."""

import subprocess
import sys

from benchmarks.trainers.checks import Given
from benchmarks.trainers.models import taught_llava

OURS, THEIRS, TASK = "ours", "theirs", "task"


def lmms_eval(given: Given) -> str:
    """Evaluate here what is held out, write it as a task, and give the command that `imgdiff evaluate` prints."""
    model = taught_llava(given.models, given.data)
    evaluate = [sys.executable, "-m", "imgdiff_assets.cli.main", "evaluate", "--on", str(given.data)]
    subprocess.run([*evaluate, "--model", str(model), "--out", str(given.out / OURS)], check=True)
    task = [*evaluate, "--lmms-eval", "--out", str(given.out / TASK)]
    printed = subprocess.run(task, check=True, stdout=subprocess.PIPE, text=True).stdout
    command = printed.strip().partition(": ")[2].replace("MODEL", "llava_hf")
    here = "device=cpu,device_map=cpu,dtype=float32,attn_implementation=eager"
    return f"{command.replace('PATH', f'{model},{here}')} --batch_size 1 --log_samples --output_path {THEIRS}"
