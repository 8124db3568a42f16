"""How right the stages are by kind of difference, where the truth is known: drawn pairs of every kind.

Of each kind, pairs are drawn and claimed to be what they are; and pairs of every other kind are claimed to be of it,
with the words of what truly differs where the kind has use for them. Of these no sample should come.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.drawn_shard import write_captions
from benchmarks.stage_runs import SHARD
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import LISTED, OBJECT_REPLACED, kind_named, kind_names
from imgdiff_assets.method.regions import BOX_COLUMNS, iou
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.contents import Content, Group
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.poses import POSES
from resources.miniature.scene_pairs import NOTHING
from resources.miniature.scenes import BACKGROUNDS, COLOURS, OBJECTS, Scene

HIT = 0.5
"""The least IoU of a box with that of something that differs."""

Claim = tuple[str | None, str | None]
Run = Callable[[Home, Recipe], None]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A drawn pair, and the difference that it is claimed to have."""

    pair: KindPair
    kind: str
    claim: Claim


@dataclass(frozen=True, slots=True)
class KindQuality:
    """Shares (0 to 1; None where there was nothing to judge) over the pairs that are, or claim to be, of one kind."""

    kind: str
    pairs: int
    regions_found: float | None
    boxes_right: float | None
    differences_right: float | None
    with_sample: float | None
    told_falsely: float | None


def truly(pair: KindPair) -> Claim:
    """What differs, as the pair's prompts name it."""
    sides = list(zip(*(change.phrases for change in pair.changes), strict=True))
    if len(pair.changes) == 1:
        return pair.changes[0].phrases
    return LISTED.join(map(str, sides[0])), LISTED.join(map(str, sides[1]))


def falsely(rng: random.Random, pair: KindPair, kind: str) -> Claim | None:
    """A claim of another kind about the same two scenes; None where their contents allow none."""
    first, second = pair.contents
    place = next(
        (at for at, both in enumerate(zip(first.groups, second.groups, strict=False)) if both[0] != both[1]), 0
    )
    old = first.groups[min(place, len(first.groups) - 1)]
    new = second.groups[min(place, len(second.groups) - 1)]
    colour = (
        new.thing.colour if new.thing.colour != old.thing.colour else _other(rng, tuple(COLOURS), old.thing.colour)
    )
    if kind == "object_replaced":
        other = new.thing.name if new.thing.name != old.thing.name else _other(rng, OBJECTS, old.thing.name)
        return old.thing.name, other
    if kind == "object_added":
        return None, new.name
    if kind == "object_removed":
        return old.name, None
    if kind == "attribute_changed":
        return old.name, old.name.replace(old.thing.colour, colour)
    if kind == "background_changed":
        background = second.background if second.background != first.background else None
        return first.background, background or _other(rng, BACKGROUNDS, first.background)
    if kind == "count_changed":
        counts = [Group(old.thing, count) for count in (old.count, _other_number(rng, old.count))]
        return counts[0].name, counts[1].name
    if kind == "position_changed":
        return (f"{old.name} left of {new.phrase}", f"{old.name} right of {new.phrase}") if old != new else None
    if kind == "action_changed":
        poses = POSES.get(old.thing.name)
        return (f"{old.name} {poses[0]}", f"{old.name} {poses[1]}") if poses and not old.thing.pose else None
    if kind == "several" and len(first.groups) > 1:
        others = [_other(rng, OBJECTS, group.thing.name) for group in first.groups]
        named = [
            new.thing.name if at == place and new.thing.name != old.thing.name else each
            for at, each in enumerate(others)
        ]
        return LISTED.join(group.thing.name for group in first.groups), LISTED.join(named)
    return None


def _other(rng: random.Random, options: Sequence[str], one: str) -> str:
    return rng.choice([option for option in options if option != one])


def _other_number(rng: random.Random, number: int) -> int:
    return rng.choice([other for other in range(1, 5) if other != number])


def draw_claims(count: int, seed: int) -> list[Claimed]:
    """Of each kind `count` pairs that are of it, and about as many of the others that are claimed to be."""
    rng = random.Random(seed)
    kinds = kind_names()
    claimed = [Claimed(pair, kind, truly(pair)) for kind in kinds for pair in draw_of(rng, kind, count)]
    for kind in kinds:
        others = [other for other in kinds if other != kind]
        for number in range(count):
            pair = draw_kind_pair(rng, others[number % len(others)])
            claim = falsely(rng, pair, kind)
            if claim is not None:
                claimed.append(Claimed(pair, kind, claim))
    return claimed


def draw_of(rng: random.Random, kind: str, count: int) -> list[KindPair]:
    """Of attributes the colours alone: how big a thing is, no crop of it shows."""
    drawn: list[KindPair] = []
    while len(drawn) < count:
        pair = draw_kind_pair(rng, kind)
        if not any(group.size for content in pair.contents for group in content.groups):
            drawn.append(pair)
    return drawn


def write_parents(home: Home, claims: Sequence[Claimed]) -> list[str]:
    """Put the drawn pairs where the graph expects them; returns their ids."""
    prompts, images, ids = [], [], []
    for number, claimed in enumerate(claims):
        source, target = (scene.image for scene in claimed.pair.scenes)
        identity = content_id("drawn", number, pixel_hash(source), pixel_hash(target))
        ids.append(identity)
        told = dict(zip(("source_caption", "target_caption"), claimed.pair.captions, strict=True))
        told |= {"asked_kind": None if claimed.kind == OBJECT_REPLACED else claimed.kind}
        objects = dict(zip(("source_object", "target_object"), claimed.claim, strict=True))
        prompts.append({"pair_id": identity, "caption_id": identity, "attempt": 0, "kept": True, **told, **objects})
        hashes = {"source_hash": pixel_hash(source), "target_hash": pixel_hash(target)}
        drawn = {
            f"{side}_image": {"bytes": encode_png(image, 1), "path": None}
            for side, image in (("source", source), ("target", target))
        }
        size = {"width": source.shape[1], "height": source.shape[0]}
        images.append({"pair_id": identity, "kept": True, **told, **size, **hashes, **drawn})
    write_captions(home, SHARD, ids, [each.pair.captions[0] for each in claims])
    ledger = Ledger(home.ledger)
    for name, rows in (("prompt_pairs", prompts), ("image_pairs", images)):
        ledger.commit(name, SHARD, stage_named(name).schema, pa.Table.from_pylist(rows), [], {})
    return ids


def judge(home: Home, claims: Sequence[Claimed], ids: Sequence[str]) -> list[KindQuality]:
    """Compare what the stages kept with what was drawn."""
    ledger = Ledger(home.ledger)
    boxes, captions = ({identity: list[dict[str, Any]]() for identity in ids} for _ in range(2))
    for rows, table in ((boxes, "bounding_boxes"), (captions, "captions")):
        for row in ledger.read(table, SHARD).to_pylist():
            if row["kept"]:
                rows[row["pair_id"]].append(row)
    results = []
    for kind in kind_names():
        of_kind = [
            (claimed.pair, identity)
            for claimed, identity in zip(claims, ids, strict=True)
            if claimed.kind == kind and claimed.pair.kind == kind
        ]
        false = [
            identity
            for claimed, identity in zip(claims, ids, strict=True)
            if claimed.kind == kind != claimed.pair.kind
        ]
        found = [
            any(_hits(row, change.boxes) for row in boxes[identity])
            for pair, identity in of_kind
            for change in pair.changes
        ]
        every = [(pair, row) for pair, identity in of_kind for row in boxes[identity]]
        told = [(pair, row) for pair, identity in of_kind for row in captions[identity]]
        results.append(KindQuality(
            kind, len(of_kind), share_of(found),
            share_of([any(_hits(row, change.boxes) for change in pair.changes) for pair, row in every]),
            share_of([_right(row, pair) for pair, row in told]),
            share_of([bool(captions[identity]) for _, identity in of_kind]),
            share_of([bool(captions[identity]) for identity in false]),
        ))  # fmt: skip
    return results


def _hits(row: Mapping[str, Any], truth: np.ndarray) -> bool:
    return bool(iou(box_of(row), truth.astype(np.float64)).max() >= HIT)


def box_of(row: Mapping[str, Any]) -> np.ndarray:
    return np.array([[row[name] for name in BOX_COLUMNS]], dtype=np.float64)


def _right(row: Mapping[str, Any], pair: KindPair) -> bool:
    """Whether the difference caption says of each image what was drawn there, and nothing else."""
    kind = kind_named(pair.kind)
    if kind.everywhere:
        shown = [f"the {content.background}" for content in pair.contents]
    elif kind.whole:
        shown = [_without_background(content) for content in pair.contents]
    else:
        shown = [_shown(scene, box_of(row)) for scene in pair.scenes]
    said = str(row["difference_caption"])
    return bare(said) == bare(f"the left image shows {shown[0]} and the right image shows {shown[1]}")


def _without_background(content: Content) -> str:
    return content.caption.removesuffix(f" on the {content.background}")


def _shown(scene: Scene, box: np.ndarray) -> str:
    """What a scene shows in a box: the thing that it overlaps most, if that is much of it."""
    overlaps = iou(box, scene.boxes.astype(np.float64))[0]
    return scene.objects[int(overlaps.argmax())].phrase if len(overlaps) and overlaps.max() >= 0.3 else NOTHING


def bare(text: str) -> list[str]:
    return [word for word in text.split() if word not in ("a", "an", "the")]


def share_of(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def measure(count: int, seed: int, recipe: Recipe, run: Run) -> list[KindQuality]:
    """All kinds over the same drawn pairs."""
    claims = draw_claims(count, seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        ids = write_parents(home, claims)
        run(home, recipe)
        return judge(home, claims, ids)


def table(results: Sequence[KindQuality]) -> str:
    """A line for each kind."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    names = ("pairs", "regions found", "boxes right", "differences right", "with a sample", "others told as it")
    lines = [f"{'kind':20}" + "".join(f"{name:>19}" for name in names)]
    for each in results:
        shares = (each.regions_found, each.boxes_right, each.differences_right, each.with_sample, each.told_falsely)
        lines.append(f"{each.kind:20}{each.pairs:>19}" + "".join(f"{percent(share):>19}" for share in shares))
    return "\n".join(lines)
