"""Captions and given images that a disk spoilt, restored from the tables that were made of them.

Nothing measures these again. What is restored is what its id, a hash, says it was; the damaged file is kept beside.
"""

from collections.abc import Mapping
from contextlib import closing
from pathlib import PurePath

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Row
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_pairs import IMAGES_SCHEMA
from imgdiff_assets.ingest.shards import (
    ALL_COLUMNS,
    PAIR_SCHEMA,
    PAIRS,
    PICTURES,
    ShardError,
    caption_id,
    caption_path,
    given_pair_id,
    held_by,
    pair_images_path,
    read_captions,
    schema_of,
)
from imgdiff_assets.ledger.aside import copy_aside
from imgdiff_assets.ledger.cells import CellReference, is_image
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.images import HASH_COLUMNS, DamagedImage, PairImages, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import read_undamaged, write_rows, write_table

NOT_RESTORED = "nothing restores it: put a copy in its place, or move it away and ingest the file again"


def restore_captions(home: Home, key: str) -> str:
    """Write a damaged caption file anew, as far as every caption can be found; returns what was done, in words."""
    path = caption_path(home, key)
    if held_by(home, key) == PICTURES:  # no table has what was given: their captions may be the captioner's
        return NOT_RESTORED
    known = _known(home, key)
    try:
        names = read_undamaged(path, ALL_COLUMNS)[1]
        schema = schema_of(list(names))
        rows = read_undamaged(path, schema)[0].to_pylist()
    except DamagedTable:
        schema = schema_of(PAIR_SCHEMA.names if held_by(home, key) == PAIRS else [])
        rows = [{"caption_id": identity} for identity in known]
    restored = [_restored(row, known, pairs="source_hash" in schema.names) for row in rows]
    if not rows or None in restored:
        return NOT_RESTORED
    aside = copy_aside(path)
    write_rows(path, [row for row in restored if row is not None], schema)
    return f"restored, the damaged file is {aside.name}"


def _known(home: Home, key: str) -> dict[str, Row]:
    """What the shard's own tables say of its captions, by id, in the order of the shard."""
    texts = ("source_caption", "target_caption", "source_object", "target_object", "filled")
    known: dict[str, Row] = {}
    for row in _rows(home, "prompt_pairs", key, {name: pa.string() for name in ("caption_id", *texts)}):
        known.setdefault(row["caption_id"], {"caption": row["source_caption"], **row})
    of_pair = {given_pair_id(identity): row for identity, row in known.items()}
    sizes = {"width": pa.int32(), "height": pa.int32()}
    for row in _rows(home, "image_pairs", key, {name: pa.string() for name in ("pair_id", *HASH_COLUMNS)} | sizes):
        of_pair.get(row["pair_id"], {}).update(row)
    return known


def _rows(home: Home, asset: str, key: str, columns: Mapping[str, pa.DataType]) -> list[Row]:
    """Some columns of a shard's table; no rows where it cannot be read."""
    try:
        rows: list[Row] = Ledger(home.ledger).read(asset, key, pa.schema(columns.items())).to_pylist()
    except (DamagedTable, FileNotFoundError):
        return []
    return rows


def _restored(row: Row, known: Mapping[str, Row], pairs: bool) -> Row | None:
    """A caption's row with what was lost of it; None where its caption cannot be found."""
    identity = row.get("caption_id")
    if identity is None and pairs and row.get("source_hash") and row.get("target_hash"):
        identity = content_id("given_image_pair", row["source_hash"], row["target_hash"])
    if identity is None and not pairs and row.get("caption") is not None:
        identity = caption_id(row["caption"])
    if identity is None:
        return None
    present = {name: value for name, value in row.items() if value is not None}
    restored = {**known.get(identity, {}), **present, "caption_id": identity}
    caption = restored.get("caption")
    return restored if caption is not None and (pairs or caption_id(caption) == identity) else None


def restore_images(home: Home, key: str) -> str:
    """Write a damaged file of given images anew from `image_pairs`, which has them too; returns what was done."""
    path, ledger = pair_images_path(home, key), Ledger(home.ledger)
    if held_by(home, key) == PICTURES:  # tables have them scaled and cropped
        return NOT_RESTORED
    try:
        hashes = {given_pair_id(row["caption_id"]): row for row in read_captions(home, key).to_pylist()}
        with closing(PairImages(ledger, key)) as images:
            lost = _lost_rows(path, len(hashes))
            references = []
            for number, (identity, row) in enumerate(hashes.items()):
                if lost[number]:
                    if [pixel_hash(image) for image in images(identity)] != [row[name] for name in HASH_COLUMNS]:
                        return NOT_RESTORED
                    references.append(images.reference(identity))
                else:
                    references.append(CellReference(path, number))
        aside = copy_aside(path)
        write_table(path, IMAGES_SCHEMA, pa.table({"pair_id": list(hashes)}), references)
    except (ShardError, DamagedTable, DamagedImage, FileNotFoundError, KeyError):
        return NOT_RESTORED
    return f"restored, the damaged file is {aside.name}"


def _lost_rows(path: PurePath, count: int) -> Booleans:
    """Which rows of a file of images are lost, all of one of which nothing can be read."""
    try:
        lost = read_undamaged(path, IMAGES_SCHEMA)[1]
    except DamagedTable:
        return np.ones(count, dtype=bool)
    found = np.any([lost[field.name] for field in IMAGES_SCHEMA if is_image(field)], axis=0)
    return found if len(found) == count else np.ones(count, dtype=bool)
