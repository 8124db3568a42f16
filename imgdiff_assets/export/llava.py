"""The form that LLaVA trainers read: a JSON list per split, and two images with red boxes per sample."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imgdiff_assets.conversations import IMAGE_TOKEN
from imgdiff_assets.images import encode_png
from imgdiff_assets.ledger import Ledger
from imgdiff_assets.regions import draw_box
from imgdiff_assets.samples import Sample, SampleImages, read_samples

Progress = Callable[[str, int, int], None]
"""Called as (what, samples done, samples to do)."""

SPLITS = ("train", "validation")
COMPRESSION = 6


def write(ledger: Ledger, shards: Sequence[str], folder: Path, progress: Progress) -> dict[str, int]:
    """Write `train.json`, `validation.json` and `images/<shard>/<sample>_{source,target}.png` into `folder`.

    Each entry has `id`, `image` (two paths relative to `folder`) and `conversations`, whose question has one
    `<image>` per image. The red box is drawn here; the ledger's images are clean. Returns the samples per split.
    Raises StaleSample, DamagedTable.
    """
    by_shard = {shard: read_samples(ledger, shard) for shard in shards}
    total = sum(len(samples) for samples in by_shard.values())
    entries: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    done = 0
    for shard, samples in by_shard.items():
        if not samples:
            continue
        images = SampleImages(ledger, shard)
        try:
            for sample in samples:
                entries[sample.split].append(_write_sample(sample, images, folder, shard))
                done += 1
                progress("export", done, total)
        finally:
            images.close()
    for split, rows in entries.items():
        text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
        (folder / f"{split}.json").write_text(text, encoding="utf-8")
    return {split: len(rows) for split, rows in entries.items()}


def _write_sample(sample: Sample, images: SampleImages, folder: Path, shard: str) -> dict[str, Any]:
    paths = []
    for side, pixels in zip(("source", "target"), images(sample), strict=True):
        path = Path("images", shard, f"{sample.sample_id}_{side}.png")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shown = pixels if sample.box is None else draw_box(pixels, sample.box)
        (folder / path).write_bytes(encode_png(shown, COMPRESSION))
        paths.append(path.as_posix())
    question, answer = sample.conversations
    # Trainers put an image in the place of every token; what a model said must not ask for more.
    answer = {**answer, "value": answer["value"].replace(IMAGE_TOKEN, "image")}
    return {"id": sample.sample_id, "image": paths, "conversations": [question, answer]}
