"""Reads what lies beside it, also into FiftyOne: a group for each question, its images the slices `left` and `right`.

    python groups.py NAME            makes the persistent dataset NAME of all splits
    python groups.py NAME --launch   and opens the app

Boxes are detections in both slices, in FiftyOne's convention: [left, top, width, height] as shares of the image.
"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SLICES = ("left", "right")
SPLITS = ("train", "validation")


def rows(*splits: str) -> Iterator[dict[str, Any]]:
    """A question each, of some splits or all; `left` and `right` are its images in the order shown."""
    for split in splits or SPLITS:
        file = HERE / f"{split}.jsonl"
        if file.exists():
            with file.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def dataset(name: str, *splits: str) -> Any:
    """A persistent dataset of FiftyOne with a group for each row; one of the same name must not be there."""
    fo = _fiftyone()
    samples = []
    for row in rows(*splits):
        group = fo.Group()
        for name_of_slice in SLICES:
            side = row[name_of_slice]
            sample = fo.Sample(filepath=str((HERE / side["image"]).absolute()), group=group.element(name_of_slice))
            for key in ("sample_id", "pair_id", "task", "kind", "question", "answer"):
                sample[key] = row[key]
            sample["side"], sample["caption"] = side["side"], side["caption"]
            sample.tags = [row["split"]]
            if row["box"] is not None:
                sample["difference"] = fo.Detections(
                    detections=[fo.Detection(label=side["object"] or "changed region", bounding_box=row["box"])]
                )
            samples.append(sample)
    made = fo.Dataset(name, persistent=True)
    made.add_group_field("group", default=SLICES[0])
    made.add_samples(samples)
    return made


def _fiftyone() -> Any:
    """By its name: it is there where this file is copied to, and nothing that its first home depends on."""
    return import_module("fiftyone")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    made = dataset(sys.argv[1])
    print(f"{made.name}: {len(made.distinct('sample_id'))} groups")
    if "--launch" in sys.argv:
        _fiftyone().launch_app(made).wait()
