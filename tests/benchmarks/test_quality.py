"""The benchmark of the stages tells right erasures from wrong ones."""

import random
from pathlib import Path

import pyarrow as pa

from benchmarks.quality import RemovalQuality, draw_pairs, judge_removals, write_parents
from benchmarks.stage_runs import SHARD
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.scenes import draw_scene


def test_each_way_to_be_wrong_is_counted_by_itself(tmp_path: Path) -> None:
    home, pairs = Home(tmp_path), draw_pairs(1, seed=1)
    ids = write_parents(home, pairs)
    scene, other = pairs[0].scenes
    rest = draw_scene(random.Random(0), scene.objects[1:], scene.background, scene.layout.without(0))
    box, phrase = scene.boxes[0].tolist(), scene.objects[0].phrase
    cases = {
        "right": (box, phrase, rest.image),
        "misplaced": ([0, 0, 6, 6], phrase, rest.image),
        "misnamed": (box, "an apple", rest.image),
        "still there": (box, phrase, scene.image),
    }
    erased, captions = [], []
    for name, (corners, text, image) in cases.items():
        row = {"region_id": name, "pair_id": ids[0], "found_in": "source", "kept": True}
        row |= dict(zip(BOX_COLUMNS, map(float, corners), strict=True))
        erased.append({**row, "erased_image": {"bytes": encode_png(image, 1), "path": None}})
        captions.append({**row, "region_caption": text})
    captions.append({**captions[1], "region_id": "rejected", "kept": False})
    tables = {
        "filtered_pairs": [{"pair_id": ids[0], "kept": True}],
        "removed_pairs": erased,
        "removal_captions": captions,
    }
    for name, rows in tables.items():
        Ledger(home.ledger).commit(name, SHARD, stage_named(name).schema, pa.Table.from_pylist(rows), [], {})
    objects = len(scene.objects) + len(other.objects)
    # A caption is of nothing where the box is of nothing.
    assert judge_removals(home, pairs, ids) == RemovalQuality(1 / objects, 3 / 4, 2 / 4, 3 / 4)
