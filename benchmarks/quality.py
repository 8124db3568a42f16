"""How right the stages are, where the truth is known: drawn pairs through all stages between images and samples.

    python -m benchmarks.quality [--pairs 300] [--seed 0] [--set stage.key=value ...] [--json FILE]
    python -m benchmarks.quality --kinds [--generated] [...]

A pair comes with the claim that one named object was replaced by another. For most pairs that is what was drawn; for
the others the claim is false (the object was recoloured, moved or removed, or nothing changed at all), as when an
image generator fails, and no sample should come of them. The same measurements are judged by three sets of rules: the
miniature recipe's, and those of two implementations of the method, with the thresholds of the miniature models.

Regions are erased from both images of every pair, whatever is claimed of it: these rules change nothing there. Whether
the object is gone is said by a judge of drawn pictures.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from benchmarks import generated_kinds, kinds
from benchmarks.drawn_shard import write_captions
from benchmarks.judge import Judge
from benchmarks.stage_runs import SHARD, STAGES, open_models, run_stages
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode, encode_png, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS, iou
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.scenes import OBJECTS, Layout, Placement, Scene, SceneObject, draw_scene, random_content

REMOVAL_STAGES = ("removed_pairs", "removal_captions")
KINDS = ("replaced", "recoloured", "moved", "removed", "identical")
REPLACED_SHARE = 0.6
SMALLEST_MOVE = 8

RULES: dict[str, tuple[str, ...]] = {
    "recipe as shipped": (),
    # Published scripts: the object seen on either side is enough, ten boxes, nothing below 1/400 of the image.
    "code column": (
        "bounding_boxes.match_rule=either",
        "bounding_boxes.match_score=itc",
        "bounding_boxes.max_boxes=10",
        "bounding_boxes.min_area_fraction=0.0025",
        "bounding_boxes.max_area_fraction=1.0",
        "captions.min_agreement=0",
    ),
    # Data-Juicer operators: the matching head on both sides, no limit to the area or the number, and a caption filter
    # without effect. (Their suppression in file order is not modelled: ours is by difference.)
    "recipe column": (
        "bounding_boxes.match_rule=both",
        "bounding_boxes.match_score=itm",
        "bounding_boxes.min_match=0.4",
        "bounding_boxes.max_boxes=1000",
        "bounding_boxes.min_area_fraction=0",
        "bounding_boxes.max_area_fraction=1.0",
        "captions.min_match=-1",
        "captions.min_agreement=0",
    ),
}


MAX_CAPTIONED_AREA = {"recipe column": 0.1}
"""By rules, the share of the image above which a box is found, but not captioned: of the operator that captions."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """Two scenes, what was claimed of them, and what is true. `boxes` are the changed objects' (xyxy pixels)."""

    kind: str
    scenes: tuple[Scene, Scene]
    claim: tuple[str | None, str | None]
    truth: tuple[SceneObject, SceneObject] | None
    boxes: np.ndarray


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares (0 to 1; None where there was nothing to judge) over the pairs of one run."""

    rules: str
    box_precision: float | None
    box_recall: float | None
    region_captions_right: float | None
    differences_right: float | None
    yields: dict[str, float]


@dataclass(frozen=True, slots=True)
class RemovalQuality:
    """Shares of the drawn objects that yield a sample, and of these samples (0 to 1; None where there are none)."""

    objects_with_sample: float | None
    boxes_right: float | None
    region_captions_right: float | None
    erasures_right: float | None


def draw(rng: random.Random, kind: str) -> DrawnPair:
    """Draw one pair of a kind, from contents that no model was trained on as well as others."""
    while True:
        objects, background = random_content(rng)
        index = rng.randrange(len(objects))
        old = objects[index]
        claimed = rng.choice([name for name in OBJECTS if name not in {each.name for each in objects}])
        first = draw_scene(rng, objects, background)
        layout, edited = first.layout, list(objects)
        if kind == "replaced":
            edited[index] = SceneObject(claimed, old.colour)
        elif kind == "recoloured":
            others = [colour for colour in ("red", "blue", "yellow", "green", "pink") if colour != old.colour]
            edited[index] = SceneObject(old.name, rng.choice(others))
        elif kind == "removed":
            del edited[index]
            layout = layout.without(index)
        elif kind == "moved":
            moved = _move(rng, layout, index)
            if moved is None:
                continue
            layout = moved
        second = draw_scene(rng, tuple(edited), background, layout)
        boxes = [first.boxes[index]]
        if kind != "removed":
            boxes.append(second.boxes[index])
        truth = (old, edited[index]) if kind == "replaced" else None
        return DrawnPair(kind, (first, second), (old.name, claimed), truth, np.array(boxes, dtype=np.float64))


def _move(rng: random.Random, layout: Layout, index: int) -> Layout | None:
    """The layout with one object moved sideways or up, inside the picture; None if there is no room."""
    place = layout.placements[index]
    half = place.size // 2 + 1
    x, y = rng.randint(half, 64 - half), rng.randint(half, 64 - half)
    if len(layout.placements) > 1:
        x = place.x
    if abs(x - place.x) + abs(y - place.y) < SMALLEST_MOVE:
        return None
    places = list(layout.placements)
    places[index] = Placement(x, y, place.size)
    return layout.with_placements(places)


def draw_pairs(count: int, seed: int) -> list[DrawnPair]:
    """`count` pairs, most of them replaced, in a fixed order."""
    rng = random.Random(seed)
    replaced = round(count * REPLACED_SHARE)
    kinds = ["replaced"] * replaced
    kinds += [KINDS[1 + number % (len(KINDS) - 1)] for number in range(count - replaced)]
    return [draw(rng, kind) for kind in kinds]


def write_parents(home: Home, pairs: Sequence[DrawnPair]) -> list[str]:
    """Put the drawn pairs where the graph expects them; returns their ids."""
    prompts, images, ids = [], [], []
    for number, pair in enumerate(pairs):
        source, target = (scene.image for scene in pair.scenes)
        identity = content_id("drawn", number, pixel_hash(source), pixel_hash(target))
        ids.append(identity)
        captions = {"source_caption": pair.scenes[0].caption, "target_caption": pair.scenes[1].caption}
        objects = {"source_object": pair.claim[0], "target_object": pair.claim[1]}
        prompts.append(
            {"pair_id": identity, "caption_id": identity, "attempt": 0, "kept": True, **captions, **objects}
        )
        images.append(
            {
                "pair_id": identity,
                **captions,
                "width": source.shape[1],
                "height": source.shape[0],
                "source_hash": pixel_hash(source),
                "target_hash": pixel_hash(target),
                "source_image": {"bytes": encode_png(source, 1), "path": None},
                "target_image": {"bytes": encode_png(target, 1), "path": None},
                "kept": True,
            }
        )
    write_captions(home, SHARD, ids, [pair.scenes[0].caption for pair in pairs])
    ledger = Ledger(home.ledger)
    for name, rows in (("prompt_pairs", prompts), ("image_pairs", images)):
        ledger.commit(name, SHARD, stage_named(name).schema, pa.Table.from_pylist(rows), [], {})
    return ids


def judge(home: Home, rules: str, pairs: Sequence[DrawnPair], ids: Sequence[str]) -> Quality:
    """Compare what the stages kept with what was drawn."""
    ledger = Ledger(home.ledger)
    truth = dict(zip(ids, pairs, strict=True))
    boxes = [row for row in ledger.read("bounding_boxes", SHARD).to_pylist() if row["kept"]]
    captions = [row for row in ledger.read("captions", SHARD).to_pylist() if row["kept"]]
    areas = {row["region_id"]: row["area_fraction"] for row in boxes}
    limit = MAX_CAPTIONED_AREA.get(rules, 1.0)
    captions = [row for row in captions if areas[row["region_id"]] <= limit]
    right_boxes = {row["region_id"] for row in boxes if _hits(row, truth[row["pair_id"]])}
    of_replaced = [row for row in boxes if truth[row["pair_id"]].kind == "replaced"]
    found = {row["pair_id"] for row in of_replaced if row["region_id"] in right_boxes}
    samples = [row for row in captions if truth[row["pair_id"]].kind == "replaced"]
    sides = [_captions_right(row, truth[row["pair_id"]]) for row in samples]
    yields = {}
    for kind in KINDS:
        of_kind = [identity for identity, pair in truth.items() if pair.kind == kind]
        with_sample = {row["pair_id"] for row in captions}
        yields[kind] = _share([identity in with_sample for identity in of_kind]) or 0.0
    return Quality(
        rules=rules,
        box_precision=_share([row["region_id"] in right_boxes for row in of_replaced]),
        box_recall=_share([identity in found for identity, pair in truth.items() if pair.kind == "replaced"]),
        region_captions_right=_share([side for pair in sides for side in pair]),
        differences_right=_share([difference_right(row, truth[row["pair_id"]]) for row in samples]),
        yields=yields,
    )


def judge_removals(home: Home, pairs: Sequence[DrawnPair], ids: Sequence[str]) -> RemovalQuality:
    """Compare the regions of which there is a sample with the objects that were drawn there, and are not there now."""
    ledger, judge = Ledger(home.ledger), Judge()
    truth = dict(zip(ids, pairs, strict=True))
    compared = [row["pair_id"] for row in ledger.read("filtered_pairs", SHARD).to_pylist() if row["kept"]]
    drawn = sum(len(scene.objects) for identity in compared for scene in truth[identity].scenes)
    erased = ledger.read("removed_pairs", SHARD, images=True)
    images = dict(zip(erased["region_id"].to_pylist(), erased["erased_image"].to_pylist(), strict=True))
    hit, captioned, gone, found = [], [], [], set()
    for row in tqdm(ledger.read("removal_captions", SHARD).to_pylist(), "judge", disable=None, leave=False):
        if not row["kept"]:
            continue
        scene = truth[row["pair_id"]].scenes[row["found_in"] == "target"]
        overlaps = iou(_box(row), scene.boxes.astype(np.float64))[0]
        index = int(overlaps.argmax())
        hit.append(bool(overlaps[index] >= 0.5))
        if hit[-1]:
            found.add((row["pair_id"], row["found_in"], index))
        captioned.append(hit[-1] and row["region_caption"] == scene.objects[index].phrase)
        seen = judge.judge(decode(images[row["region_id"]]["bytes"]))
        others = (*scene.objects[:index], *scene.objects[index + 1 :])
        gone.append((tuple(each.thing for each in seen.objects), seen.background) == (others, scene.background))
    return RemovalQuality(len(found) / drawn if drawn else None, _share(hit), _share(captioned), _share(gone))


def _hits(row: dict[str, Any], pair: DrawnPair) -> bool:
    return bool(iou(_box(row), pair.boxes).max() >= 0.5)


def _box(row: dict[str, Any]) -> np.ndarray:
    return np.array([[row[name] for name in BOX_COLUMNS]], dtype=np.float64)


def _captions_right(row: dict[str, Any], pair: DrawnPair) -> tuple[bool, bool]:
    assert pair.truth is not None
    source, target = (thing.phrase for thing in pair.truth)
    return row["source_region_caption"] == source, row["target_region_caption"] == target


def difference_right(row: dict[str, Any], pair: DrawnPair) -> bool:
    """Both things named, the source's before the target's, and no other thing named."""
    assert pair.truth is not None
    source, target = (f"{thing.colour} {thing.name}" for thing in pair.truth)
    said = row["difference_caption"]
    place, other = said.find(source), said.rfind(target)
    named = {
        name for name in OBJECTS if name in said.replace("ice cream", "ice-cream") or (name in said and " " in name)
    }
    return 0 <= place < other and named <= {pair.truth[0].name, pair.truth[1].name}


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def measure(count: int, seed: int, overrides: Sequence[str] = ()) -> tuple[list[Quality], RemovalQuality]:
    """All sets of rules over the same drawn pairs, and what was erased from them."""
    recipe = load_recipe("miniature", overrides)
    models = open_models(recipe)
    pairs = draw_pairs(count, seed)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        ids = write_parents(home, pairs)
        for rules, changes in RULES.items():
            run_stages(home, override_recipe(recipe, changes), models)
            results.append(judge(home, rules, pairs, ids))
        run_stages(home, recipe, models, REMOVAL_STAGES)
        return results, judge_removals(home, pairs, ids)


def table(results: Sequence[Quality], removals: RemovalQuality) -> str:
    """The results side by side."""

    def percent(value: float | None) -> str:
        return "     –" if value is None else f"{value:6.1%}"

    rows = {
        "boxes right (precision, IoU >= 0.5)": [percent(result.box_precision) for result in results],
        "changed objects found (recall)": [percent(result.box_recall) for result in results],
        "region captions right": [percent(result.region_captions_right) for result in results],
        "difference captions right": [percent(result.differences_right) for result in results],
        **{
            f"{kind} pairs that yield a sample": [percent(result.yields[kind]) for result in results] for kind in KINDS
        },
    }
    lines = [f"{'':38}" + "".join(f"{result.rules:>20}" for result in results)]
    lines += [f"{name:38}" + "".join(f"{value:>20}" for value in values) for name, values in rows.items()]
    of_removals = {
        "objects that yield a sample": removals.objects_with_sample,
        "boxes right (IoU >= 0.5)": removals.boxes_right,
        "region captions right": removals.region_captions_right,
        "object gone, all else there": removals.erasures_right,
    }
    lines += ["", "regions erased"]
    lines += [f"{name:38}{percent(value):>20}" for name, value in of_removals.items()]
    return "\n".join(lines)


def report_kinds(arguments: argparse.Namespace) -> None:
    """Print, and write where that is asked for, the figures by kind."""
    recipe = load_recipe("kinds", arguments.set)
    models = open_models(recipe)
    how = generated_kinds if arguments.generated else kinds
    stages = ("image_pairs", *STAGES) if arguments.generated else STAGES
    found: Any = how.measure(
        arguments.pairs, arguments.seed, recipe, lambda home, own: run_stages(home, own, models, stages)
    )
    print(how.table(found))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        values = {"pairs": arguments.pairs, "seed": arguments.seed, "kinds": [asdict(each) for each in found]}
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="how many pairs to draw, of each kind (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawn pairs (default 0)")
    parser.add_argument("--kinds", action="store_true", help="by kind of difference, with the recipe `kinds`")
    parser.add_argument("--generated", action="store_true", help="with --kinds: of pairs that the generator makes")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.KEY=VALUE", help="override the recipe")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    if arguments.kinds:
        report_kinds(arguments)
        return
    results, removals = measure(arguments.pairs, arguments.seed, arguments.set)
    print(table(results, removals))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "pairs": arguments.pairs,
            "seed": arguments.seed,
            "results": [asdict(result) for result in results],
            "removals": asdict(removals),
        }
        arguments.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
