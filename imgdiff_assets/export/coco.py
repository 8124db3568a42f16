"""COCO's form: `annotations/<split>.json`, and the clean images.

A region is two annotations: the replaced object's box in the source image and the replacing object's in the target
image. As always in COCO `bbox` is [x, y, width, height] in pixels, where everything else here has xyxy corners.
Samples about no region, or about one that was erased, have nothing to annotate; a region that several samples are
about is annotated once. Where nobody named the objects, as of given pairs, the category is UNNAMED.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from imgdiff_assets.export.conversation_files import picture_paths, splits_of
from imgdiff_assets.export.format import Entries, Entry, Format
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import SPLITS, View
from imgdiff_assets.method.tasks import SIDES

UNNAMED = "changed region"
UNNAMED_ID = 1
"""Kept for it whether it occurs or not, so that the exports of any shards give it the same number."""


def write_shard(folder: Path, shard: str, views: Iterator[View], options: Options) -> Iterator[Entry]:
    for view in views:
        sample = view.sample
        if sample.box is None or sample.erased_from is not None:
            yield {}
            continue
        x1, y1, x2, y2 = sample.box
        sides = (image.side for image in sample.shown.images)
        paths = dict(zip(sides, picture_paths(view, folder), strict=True))
        yield {
            "region_id": sample.region_id,
            "pair_id": sample.pair_id,
            "size": [sample.width, sample.height],
            "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
            "sides": [
                {
                    "side": side,
                    "file_name": paths[side],
                    "object": getattr(sample, f"{side}_object") or UNNAMED,
                    "caption": getattr(sample, f"{side}_region_caption"),
                }
                for side in SIDES
            ],
        }


def finish(folder: Path, entries: Entries, options: Options) -> None:
    names = {side["object"] for split in SPLITS for entry in entries(split) for side in entry.get("sides", ())}
    categories = {name: number for number, name in enumerate(sorted(names - {UNNAMED}), UNNAMED_ID + 1)}
    if UNNAMED in names:
        categories[UNNAMED] = UNNAMED_ID
    (folder / "annotations").mkdir(exist_ok=True)
    for split in splits_of(entries):
        images: dict[str, Entry] = {}
        annotations: list[Entry] = []
        seen: set[str] = set()
        for entry in entries(split):
            if not entry or entry["region_id"] in seen:
                continue
            seen.add(entry["region_id"])
            width, height = entry["size"]
            for side in entry["sides"]:
                image = {"file_name": side["file_name"], "width": width, "height": height, "pair_id": entry["pair_id"]}
                images.setdefault(side["file_name"], {"id": len(images) + 1, **image})
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": images[side["file_name"]]["id"],
                        "category_id": categories[side["object"]],
                        "bbox": entry["bbox"],
                        "segmentation": [_outline(*entry["bbox"])],
                        "area": round(entry["bbox"][2] * entry["bbox"][3], 2),
                        "iscrowd": 0,
                        "region_id": entry["region_id"],
                        "side": side["side"],
                        "caption": side["caption"],
                    }
                )
        listed = [{"id": number, "name": name} for name, number in categories.items()]
        values = {
            "info": {"description": "Image differences; bbox is [x, y, width, height] in pixels"},
            "licenses": [],
            "images": list(images.values()),
            "annotations": annotations,
            "categories": listed,
        }
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(values) + "\n", encoding="utf-8")


def _outline(x: float, y: float, width: float, height: float) -> list[float]:
    """The box as a polygon: what COCO's tools draw, and make masks of."""
    right, bottom = round(x + width, 2), round(y + height, 2)
    return [x, y, right, y, right, bottom, x, bottom]


FORMAT = Format(
    name="coco",
    reads="tools for COCO",
    files="boxes of both images as [x, y, width, height] in annotations/train.json and validation.json; images/",
    loading="""\
from pycocotools.coco import COCO
coco = COCO("FOLDER/annotations/train.json")
train = coco.loadAnns(coco.getAnnIds())""",
    write_shard=write_shard,
    finish=finish,
    boxes=False,
    single=False,
    training="""\
```python
from torchvision.datasets import CocoDetection
train = CocoDetection("FOLDER", "FOLDER/annotations/train.json")
```

gives pictures with annotations to any detector of torchvision.

- `bbox` is [x, y, width, height]; torchvision's detectors want corners.
- Of a picture several regions may be annotated, and the one beside it shows the other object in the same box.
- Categories count from 1: a detector's `num_classes` is the largest id and one more.""",
)
