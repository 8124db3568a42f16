"""The parent tables of a stage, for one shard: known by a hash before they are read."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

import pyarrow as pa

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import caption_path, pair_images_path, read_captions
from imgdiff_assets.ledger.checksums import PIECE
from imgdiff_assets.ledger.corrections import correction_hashes, corrections_of_shard
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import verdicts_hash, verdicts_of_shard
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import CAPTION_FILE, CORRECTIONS, OUTSIDE, REVIEWS, Stage

SAID = (REVIEWS, CORRECTIONS)
"""The parents that people write."""


class MissingInput(ImgDiffError, LookupError):
    """A parent table that has not been materialised yet, is damaged, or does not fit the others."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a stage starts from. Equal hashes mean equal content; `read` gives the tables by name, without images.

    `given_images` is where the images of a shard are whose pairs or pictures were given. `corrected` are the regions
    that people corrected, each with a hash of what they said.
    """

    hash: str
    read: Callable[[], dict[str, pa.Table]]
    given_images: PurePath | None = None
    corrected: Mapping[str, str] = field(default_factory=dict)


def read_inputs(stage: Stage, home: Home, shard: str, ledger: Ledger | None = None) -> Inputs:
    """The inputs of `stage` for one shard; only footers are read yet, by `ledger` if it is given.

    Raises MissingInput or ShardError.
    """
    ledger = ledger or Ledger(home.ledger)
    found = [parent for parent in stage.parents if parent not in SAID]
    hashes = {parent: _hash(parent, home, ledger, shard) for parent in found}
    missing = [parent for parent, value in hashes.items() if value is None]
    if missing:
        raise MissingInput(
            f"{stage.name} of {shard} needs {missing[0]} of that shard: "
            f"materialise {missing[0]} first, or run the whole graph."
        )

    def read() -> dict[str, pa.Table]:
        return {
            parent: _OUTSIDE_TABLES[parent](home, shard) if parent in OUTSIDE else _read_table(parent, home, shard)
            for parent in stage.parents
        }

    given = pair_images_path(home, shard) if stage.name in ("prompt_pairs", "image_pairs") else None
    corrected = correction_hashes(home, shard) if CORRECTIONS in stage.parents else {}
    return Inputs(content_hash({**hashes, **_said_hashes(stage, home, shard, corrected)}), read, given, corrected)


def said_hashes(stage: Stage, home: Home, shard: str) -> dict[str, str]:
    """By parent that people write, what changes whenever they say more; corrections of nothing are not there."""
    return _said_hashes(stage, home, shard, correction_hashes(home, shard) if CORRECTIONS in stage.parents else {})


def _said_hashes(stage: Stage, home: Home, shard: str, corrected: Mapping[str, str]) -> dict[str, str]:
    said = {REVIEWS: verdicts_hash(home, shard)} if REVIEWS in stage.parents else {}
    return said | ({CORRECTIONS: content_hash(corrected)} if corrected else {})


_OUTSIDE_TABLES = {CAPTION_FILE: read_captions, REVIEWS: verdicts_of_shard, CORRECTIONS: corrections_of_shard}


def _read_table(parent: str, home: Home, shard: str) -> pa.Table:
    try:
        return Ledger(home.ledger).read(parent, shard, stage_of_shard(stage_named(parent), home, shard).schema)
    except FileNotFoundError as error:
        raise MissingInput(f"{parent} of {shard} was moved away: materialise it again.") from error


def _hash(parent: str, home: Home, ledger: Ledger, shard: str) -> str | None:
    """The hash of one parent's content; None when there is no such table."""
    if parent == CAPTION_FILE:
        return _digest(caption_path(home, shard))
    if not ledger.exists(parent, shard):
        return None
    record = ledger.record(parent, shard)
    return str(record["output_hash"]) if record else _digest(ledger.table_path(parent, shard))


def _digest(path: PurePath) -> str:
    digest = hashlib.sha256()
    with store_of(path).open(path) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
