"""Kept samples as tasks of Label Studio, with what was found of them as predictions; none is written twice."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import View, views, write_picture
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.corrections import BOX, TEXTS, counting
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.journal import Journal, now
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.round_trips.labelling import BOXES, FIRST, SECOND, box_result, config, text_result
from imgdiff_assets.round_trips.reviewable import Region, regions_of
from imgdiff_assets.stages.graph import SAMPLES

CONFIG = "config.xml"
MADE_BY = "imgdiff"


class LabelStudioError(ImgDiffError, ValueError):
    """Tasks that cannot be written, or annotations that are none."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A sample that was written as a task."""

    sample_id: str
    at: str = ""


def _names_a_sample(sent: Sent) -> None:
    if not sent.sample_id:
        raise ValueError("a task is of a sample")


SENT: Journal[Sent] = Journal("label_studio_tasks", TypeAdapter(Sent), _names_a_sample)


def write_tasks(
    home: Home,
    reasons: Sequence[str],
    folder: Path,
    images_at: str | None = None,
    again: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Write the samples that were never written as a new `tasks-N.json` of `folder`, with `config.xml` and `images/`.

    With `again` all of them. Returns the file's path (empty where there was nothing to write) and the number of tasks.
    Raises LabelStudioError, StaleSample, DamagedTable, OSError.
    """
    ledger = Ledger(home.ledger)
    sent = set() if again else {each.sample_id for each in SENT.read(home).values}
    shards = [key for key in shard_keys(home) if ledger.exists(SAMPLES, key)]
    new = {key: [one for one in read_samples(ledger, key) if one.sample_id not in sent] for key in shards}
    total = sum(map(len, new.values()))
    if not total:
        return {"file": "", "tasks": 0}
    if folder.exists() and not folder.is_dir():
        raise LabelStudioError(f"{folder}: is a file; name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    place = f"/data/local-files/?d={folder.absolute().name}/" if images_at is None else images_at
    tasks: list[dict[str, Any]] = []
    for shard, samples in new.items():
        regions = _as_corrected(home, shard, regions_of(ledger, shard)) if samples else {}
        with closing(SampleImages(ledger, shard)) as images:
            for view in views(shard, samples, images, Options(boxes=False)):
                pictures = [f"{place}{write_picture(picture, folder)}" for picture in view.pictures]
                region = None if view.sample.erased_from else regions.get(view.sample.region_id or "")
                tasks.append(_task(view, shard, pictures, region))
                progress("tasks", len(tasks), total)
    with atomic_file(folder / CONFIG) as temporary:
        temporary.write_text(config(reasons), encoding="utf-8")
    file = next(path for number in range(1, total + 10**6) if not (path := folder / f"tasks-{number}.json").exists())
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(tasks, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    at = now()
    SENT.add(home, [Sent(task["data"]["sample_id"], at) for task in tasks])
    return {"file": str(file), "tasks": total}


def _as_corrected(home: Home, shard: str, regions: dict[str, Region]) -> dict[str, Region]:
    """What counts now of each region, in the place of what was found."""
    said = counting(home, shard)
    return {
        name: Region(
            name,
            shard,
            {**region.found, **{each: line.values[each] for each, line in said.get(name, {}).items()}},
            region.width,
            region.height,
        )
        for name, region in regions.items()
    }


def _task(view: View, shard: str, pictures: Sequence[str], region: Region | None) -> dict[str, Any]:
    sample = view.sample
    data = {
        "sample_id": sample.sample_id,
        "shard": shard,
        "task": sample.task,
        "first": sample.first,
        "question": view.question,
        "answer": view.answer,
        FIRST: pictures[0],
        SECOND: pictures[1],
    }
    task: dict[str, Any] = {"data": data}
    if region is not None:
        box = region.found[BOX]
        assert isinstance(box, tuple | list)
        result = [box_result(control, box, region.width, region.height) for control in BOXES]
        result += [text_result(name, str(region.found[name])) for name in TEXTS]
        task["predictions"] = [{"model_version": MADE_BY, "result": result}]
    return task
