"""How right the pair generator is by kind of difference, and the samples that come of its pairs.

Captions of drawn pairs are given to it as prompt pairs; a judge that has no weights looks at both pictures. Kinds
whose captions the judge cannot read (numbers, places, poses) are left out.
"""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from benchmarks.drawn_shard import write_captions
from benchmarks.judge import Judge, Verdict
from benchmarks.kinds import Run, bare, box_of, share_of, truly
from benchmarks.stage_runs import SHARD
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.kind import OBJECT_REPLACED, kind_named
from imgdiff_assets.method.regions import iou
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scene_pairs import NOTHING
from resources.miniature.scenes import parse_caption

KINDS = (
    *("attribute_changed", "background_changed", "object_added", "object_removed", "object_replaced"),
    "several",
)
SHOWN = 0.3
"""The least IoU of a box with the thing that it shows."""


@dataclass(frozen=True, slots=True)
class GeneratedQuality:
    """Shares (0 to 1; None where there was nothing to judge) over the generated pairs of one kind.

    A sample is right whose difference caption says of each picture what the judge sees there in the region.
    """

    kind: str
    pairs: int
    both_right: float | None
    with_sample: float | None
    samples: int
    samples_right: float | None


def draw_prompts(count: int, seed: int) -> list[KindPair]:
    """Of each of `KINDS` so many pairs, of which only the captions are used."""
    rng = random.Random(seed)
    drawn: list[KindPair] = []
    for kind in KINDS:
        of_kind: list[KindPair] = []
        while len(of_kind) < count:
            pair = draw_kind_pair(rng, kind)
            if all(map(parse_caption, pair.captions)):
                of_kind.append(pair)
        drawn += of_kind
    return drawn


def write_prompts(home: Home, pairs: Sequence[KindPair]) -> list[str]:
    """Put the captions where the graph expects kept prompt pairs; returns their ids."""
    rows, ids = list[dict[str, Any]](), list[str]()
    for number, pair in enumerate(pairs):
        identity = content_id("prompted", number, *pair.captions)
        ids.append(identity)
        told = dict(zip(("source_caption", "target_caption"), pair.captions, strict=True))
        told |= dict(zip(("source_object", "target_object"), truly(pair), strict=True))
        asked = None if pair.kind == OBJECT_REPLACED else pair.kind
        rows.append(
            {"pair_id": identity, "caption_id": identity, "attempt": 0, "kept": True, "asked_kind": asked, **told}
        )
    write_captions(home, SHARD, ids, [pair.captions[0] for pair in pairs])
    stage = stage_named("prompt_pairs")
    Ledger(home.ledger).commit(stage.name, SHARD, stage.schema, pa.Table.from_pylist(rows), [], {})
    return ids


def judge(home: Home, pairs: Sequence[KindPair], ids: Sequence[str]) -> list[GeneratedQuality]:
    """What the pictures show, and whether the samples say so."""
    ledger, judging = Ledger(home.ledger), Judge()
    images = {row["pair_id"]: row for row in ledger.read("image_pairs", SHARD, images=True).to_pylist()}
    samples: dict[str, list[dict[str, Any]]] = {identity: [] for identity in ids}
    for row in ledger.read("captions", SHARD).to_pylist():
        if row["kept"]:
            samples[row["pair_id"]].append(row)
    seen: dict[str, tuple[Verdict, Verdict]] = {}
    for identity in tqdm(ids, "judge", disable=None, leave=False):
        source, target = (
            judging.judge(decode(images[identity][f"{side}_image"]["bytes"])) for side in ("source", "target")
        )
        seen[identity] = source, target
    results = []
    for kind in KINDS:
        of_kind = [(pair, identity) for pair, identity in zip(pairs, ids, strict=True) if pair.kind == kind]
        right = [
            all(verdict.shows(caption) for verdict, caption in zip(seen[identity], pair.captions, strict=True))
            for pair, identity in of_kind
        ]
        told = [(row, seen[identity]) for _, identity in of_kind for row in samples[identity]]
        results.append(GeneratedQuality(
            kind, len(of_kind), share_of(right),
            share_of([bool(samples[identity]) for _, identity in of_kind]),
            len(told), share_of([_says_what_is_seen(row, verdicts, kind) for row, verdicts in told]),
        ))  # fmt: skip
    return results


def _says_what_is_seen(row: dict[str, Any], verdicts: tuple[Verdict, Verdict], kind: str) -> bool:
    everywhere = kind_named(kind).everywhere
    shown = [f"the {verdict.background}" if everywhere else _shown(verdict, box_of(row)) for verdict in verdicts]
    said = f"the left image shows {shown[0]} and the right image shows {shown[1]}"
    return bare(str(row["difference_caption"])) == bare(said)


def _shown(verdict: Verdict, box: np.ndarray) -> str:
    """What the judge sees in a box: the thing that it overlaps most, if that is much of it."""
    if not verdict.objects:
        return NOTHING
    overlaps = iou(box, np.array([found.box for found in verdict.objects], np.float64))[0]
    return verdict.objects[int(overlaps.argmax())].thing.phrase if overlaps.max() >= SHOWN else NOTHING


def measure(count: int, seed: int, recipe: Recipe, run: Run) -> list[GeneratedQuality]:
    """Generate `count` pairs of each kind, and make samples of them."""
    pairs = draw_prompts(count, seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        ids = write_prompts(home, pairs)
        run(home, recipe)
        return judge(home, pairs, ids)


def table(results: Sequence[GeneratedQuality]) -> str:
    """A line for each kind."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    names = ("pairs", "both images right", "with a sample", "samples", "samples right")
    lines = [f"{'kind':20}" + "".join(f"{name:>19}" for name in names)]
    for each in results:
        values = (
            str(each.pairs), percent(each.both_right), percent(each.with_sample),
            str(each.samples), percent(each.samples_right),
        )  # fmt: skip
        lines.append(f"{each.kind:20}" + "".join(f"{value:>19}" for value in values))
    return "\n".join(lines)
