"""The benchmark of kinds: of drawn pairs that claim something, and of pairs that a generator made."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks import generated_kinds, kinds
from benchmarks.kinds import Claimed, truly
from benchmarks.stage_runs import SHARD, open_models, run_stages
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import stage_named
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scenes import parse_caption


def _commit(home: Home, stage: str, rows: list[dict[str, Any]]) -> None:
    Ledger(home.ledger).commit(stage, SHARD, stage_named(stage).schema, pa.Table.from_pylist(rows), [], {})


def _readable(kind: str) -> KindPair:
    rng = random.Random(3)
    while True:
        pair = draw_kind_pair(rng, kind)
        if all(map(parse_caption, pair.captions)):
            return pair


def test_pictures_and_samples_of_generated_pairs_are_judged_by_what_is_seen(tmp_path: Path) -> None:
    """One pair as its prompts say; one whose target is the source again, of which a sample says otherwise."""
    home, pair = Home(tmp_path), _readable("object_replaced")
    pairs = [pair, replace(pair)]
    ids = generated_kinds.write_prompts(home, pairs)
    source, target = (encode_png(scene.image, 1) for scene in pair.scenes)
    drawn = [(ids[0], source, target), (ids[1], source, source)]
    _commit(home, "image_pairs", [
        {"pair_id": identity, "kept": True}
        | {f"{side}_image": {"bytes": image, "path": None} for side, image in (("source", one), ("target", other))}
        for identity, one, other in drawn
    ])  # fmt: skip
    both = zip(*(scene.objects for scene in pair.scenes), strict=True)
    place = next(at for at, (one, other) in enumerate(both) if one != other)
    shown = [scene.objects[place].phrase for scene in pair.scenes]
    said = f"The left image shows {shown[0]} and the right image shows {shown[1]}".lower()
    box = dict(zip(BOX_COLUMNS, map(float, pair.scenes[0].boxes[place]), strict=True))
    told = [("right", ids[0], True), ("wrong", ids[1], True), ("rejected", ids[1], False)]
    _commit(home, "captions", [
        {"region_id": region, "pair_id": identity, "kept": kept, "difference_caption": said, **box}
        for region, identity, kept in told
    ])  # fmt: skip
    found = {each.kind: each for each in generated_kinds.judge(home, pairs, ids)}["object_replaced"]
    assert found == generated_kinds.GeneratedQuality("object_replaced", 2, 0.5, 1.0, 2, 0.5)


def test_prompts_are_of_every_kind_that_the_judge_can_read() -> None:
    pairs = generated_kinds.draw_prompts(2, seed=0)
    assert [pair.kind for pair in pairs] == [kind for kind in generated_kinds.KINDS for _ in range(2)]
    assert all(parse_caption(caption) for pair in pairs for caption in pair.captions)


@pytest.mark.slow
def test_things_that_are_named_with_their_colour_are_found_as_the_matcher_was_trained(tmp_path: Path) -> None:
    """By the recipe's own models; without articles the matcher knows few of them."""
    rng = random.Random(11)
    drawn = [(kind, pair) for kind in ("attribute_changed", "object_added") for pair in kinds.draw_of(rng, kind, 4)]
    claims = [Claimed(pair, kind, truly(pair)) for kind, pair in drawn]
    found = {}
    models = open_models(load_recipe("kinds"))
    for articles in (True, False):
        home = Home(tmp_path / str(articles))
        ids = kinds.write_parents(home, claims)
        recipe = load_recipe("kinds", [f"bounding_boxes.match_articles={articles}"])
        run_stages(home, recipe, models)
        judged = {each.kind: each for each in kinds.judge(home, claims, ids)}
        found[articles] = [judged[kind].regions_found or 0.0 for kind in ("attribute_changed", "object_added")]
    assert min(found[True]) >= 0.75
    assert sum(found[False]) < sum(found[True])
