"""Data-Juicer's operators beside ours: their environment, what they are given, and the process that they run in."""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BlipForImageTextRetrieval, BlipProcessor, CLIPModel, CLIPProcessor

from benchmarks.quality import DrawnPair
from benchmarks.speed.clip_format import save_for_transformers
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.miniature.scenes import OBJECTS

PACKAGES = (
    "torch=={torch}",
    "torchvision=={torchvision}",
    "transformers=={transformers}",
    "py-data-juicer==1.6.1",
    "aiohttp",  # 1.6.1 needs it and does not say so
    "opencv-contrib-python-headless",
    "nltk",
)
WORKER = Path(__file__).parent / "data_juicer_worker.py"
REGION_PROMPT = 77
"""Characters of their question about a region; ours has as many, so that the captioners read as much."""
DIFFERENCE_PROMPT = 271
"""Characters of their question about a difference, without the two captions in it."""


def make_environment(folder: Path) -> None:
    """A virtual environment with Data-Juicer and the versions of our own libraries; about 6 GB, made once."""
    if (folder / "ready").exists():
        return
    print(f"installing py-data-juicer into {folder} ...", file=sys.stderr)
    venv.create(folder, with_pip=True)
    versions = {name: version(name).partition("+")[0] for name in ("torch", "torchvision", "transformers")}
    packages = [package.format(**versions) for package in PACKAGES]
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True)
    (folder / "ready").touch()


def save_models(folder: Path, encoder: Path, matcher: Path, captioner: Path) -> dict[str, str]:
    """The same weights as theirs to load, in float32 as ours are run; their folders by role.

    Raises ArithmeticError when the converted encoder sees something else than the one it was made from.
    """
    folders = {"encoder": str(folder / "encoder"), "matcher": str(folder / "matcher"), "captioner": str(captioner)}
    save_for_transformers(encoder, folder / "encoder")
    _check_same_vectors(encoder, folder / "encoder")
    BlipForImageTextRetrieval.from_pretrained(matcher, dtype=torch.float32).save_pretrained(folders["matcher"])
    BlipProcessor.from_pretrained(matcher).save_pretrained(folders["matcher"])
    return folders


def _check_same_vectors(original: Path, folder: Path) -> None:
    encoder = ImageTextEncoder(ImageTextEncoderSettings(model=str(original)))
    side = encoder.towers.size[0]
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(image), return_tensors="pt")
    with torch.inference_mode():
        told = model.get_image_features(**inputs).pooler_output[0]
    agreement = float(torch.nn.functional.normalize(told, dim=0).numpy() @ encoder.encode_images([image])[0])
    if agreement < 0.999:
        raise ArithmeticError(f"The converted encoder's vectors are others than the original's: cosine {agreement}.")


def write_job(
    folder: Path,
    pairs: Mapping[str, DrawnPair],
    proposals: Mapping[bytes, Any],
    kept: Mapping[str, Sequence[Sequence[float]]],
    job: Mapping[str, Any],
) -> Path:
    """Write the images and what the worker has to know.

    `pairs` are by id, `proposals` (boxes and scores) by the pixels of an image, `kept` are the boxes (xyxy) of each
    pair that are captioned; `job` is the rest: models, limits, threads.
    """
    given, rows = {}, []
    for identity, pair in pairs.items():
        row: dict[str, Any] = {"boxes": [_centred(box) for box in kept[identity]]}
        for number, scene in enumerate(pair.scenes, 1):
            file = folder / f"{identity}-{number}.png"
            Image.fromarray(scene.image).save(file)
            row |= {f"image_path{number}": str(file), f"caption{number}": scene.caption}
            given[str(file)] = [_centred(box) for box in proposals[scene.image.tobytes()][0].tolist()]
        # The claim, which is what the two captions of a generated pair say.
        row["caption2"] = row["caption1"].replace(pair.claim[0], pair.claim[1])
        rows.append(row)
    whole = {
        **job,
        "nouns": sorted({word for name in OBJECTS for word in name.split()}),
        "scratch": str(folder / "scratch"),
        "proposals": given,
        "pairs": rows,
    }
    path = folder / "job.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def _centred(box: Sequence[float]) -> list[float]:
    """xyxy to centre, width and height."""
    x1, y1, x2, y2 = box
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]


@contextmanager
def worker(environment: Path, job: Path) -> Iterator[Any]:
    """Start the operators; the value is called with a stage's name, and returns the answer of one turn."""
    command = [environment / "bin" / "python", WORKER, job]
    with (job.parent / "worker.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=job.parent
        )

        def ask(stage: str) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(stage + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(f"Data-Juicer's operators ended: {log.read()[-2000:]}")
            answer: dict[str, Any] = json.loads(line)
            return answer

        try:
            yield ask
        finally:
            process.terminate()
            process.wait()
