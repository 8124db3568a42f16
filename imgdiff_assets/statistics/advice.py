"""What a run leaves to be done: captions that its models cannot draw, no sample at all, and what comes next."""

from collections.abc import Sequence
from functools import cache

from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import CAPTIONS, held_by, read_captions
from imgdiff_assets.ledger.memory import Answer, Memory, worked_out_once
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.recipe.editions import RELEASE
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.drawable import Drawable, known_words
from imgdiff_assets.stages.graph import SAMPLES, stage_named
from imgdiff_assets.statistics.funnel import Funnel, StageFunnel

SHOWN_REASONS = 3
ALL_CAN: TypeAdapter[Answer[bool]] = TypeAdapter(Answer[bool])


def not_drawable(home: Home, recipe: Recipe, shards: Sequence[str]) -> str | None:
    """How many captions of the shards the recipe cannot draw, and which recipes can; None where it can draw all."""
    known = known_words(recipe)
    if known is None:
        return None
    files = store_of(home.captions).find(home.captions, "*.parquet")
    versions = {entry.address.name: entry.version for entry in files}
    counted_once = cache(lambda: _drawable(home, recipe, shards))
    all_can = worked_out_once(
        Memory(home, "drawable", ALL_CAN),
        content_hash(RELEASE, sorted(known), sorted(shards), versions),
        lambda: counted_once().all,
        lambda: files,
    )
    return None if all_can else counted_once().to_text()


def _drawable(home: Home, recipe: Recipe, shards: Sequence[str]) -> Drawable:
    drawable = Drawable(recipe)
    for shard in shards:
        if held_by(home, shard) == CAPTIONS:
            for caption in read_captions(home, shard)["caption"].to_pylist():
                drawable.add(caption)
    return drawable


def no_samples(counts: Funnel) -> list[str]:
    """Why nothing came out, from the first stage that kept nothing; empty where there are samples, or none is due."""
    last = next(stage for stage in counts.stages if stage.stage == SAMPLES)
    if last.kept or last.shards < len(counts.shards):
        return []
    lines = [f"NO SAMPLE AT ALL came of {counted(counts.captions, 'caption')}."]
    first = next((stage for stage in counts.stages if stage.rows and not stage.kept), None)
    if first is not None:
        lines.append(f"{first.stage} kept none of {counted(first.rows, 'row')}:")
        lines += [f"  {reason}" for reason in _reasons(first)]
    return lines


def _reasons(counted_stage: StageFunnel) -> list[str]:
    """What rejected most, in words."""
    described = {step.name: step.reason for step in stage_named(counted_stage.stage).filters}
    found = [(count, f"{described.get(name, name)} ({name})") for name, count in counted_stage.rejected.items()]
    found += [(count, f"could not be measured: {kind}") for kind, count in counted_stage.errors.items()]
    most = sorted((each for each in found if each[0]), key=lambda each: -each[0])[:SHOWN_REASONS]
    return [f"{count:,} × {reason}" for count, reason in most]
