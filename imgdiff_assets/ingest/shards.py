"""The shards of a home, the partitions of the graph: what they are called, where they lie, what they hold.

A shard is an append-only group of captions, `<home>/captions/<key>.parquet`, with keys `shard-000000`, `shard-000001`
and so on. One of given image pairs has more columns (what the images are known by, and the given texts), and the
images beside it, in `<key>.images.parquet`; so has one of pictures, of which targets are yet to be made.
"""

import os
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import count
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.known_ids import Ids, KnownIds, numbers
from imgdiff_assets.ingest.removed_sources import read_removed
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.ledger.tables import column_names, read_table, read_undamaged

SHARD_KEY = re.compile(r"shard-[0-9]{6}")
SCHEMA = pa.schema(
    [
        pa.field("caption_id", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("source", pa.string()),
        pa.field("line", pa.int64()),
    ]
)

FILLED = pa.field("filled", pa.string())
"""Of captions that were ingested with the replacements there were: see `imgdiff_assets.method.replacement_gaps`."""

PAIR_SCHEMA = pa.schema(
    [
        *SCHEMA,
        *(pa.field(name, pa.string()) for name in ("target_caption", "source_object", "target_object")),
        *(pa.field(name, pa.string()) for name in ("source_hash", "target_hash")),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
    ]
)
"""A shard of given image pairs; the caption is the source image's."""

COLOURS_SCHEMA = pa.schema([pa.field("source_colours", pa.string()), pa.field("target_colours", pa.string())])
"""What became of the colour profile of each image, null where there was nothing to do; shards of before lack it."""

PICTURE_HASH = pa.field("picture_hash", pa.string())
PICTURE_SCHEMA = pa.schema(
    [
        *SCHEMA,
        PICTURE_HASH,
        pa.field("file_name", pa.string()),
        pa.field("file_hash", pa.string()),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
        COLOURS_SCHEMA.field(0),
    ]
)
"""A shard of pictures: `picture_hash` is of its pixels, `file_hash` the SHA-256 of the file, `file_name` what its
source calls it, null where it has no name. The caption is empty where none was given."""

ALL_COLUMNS = pa.schema([*PAIR_SCHEMA, FILLED, *COLOURS_SCHEMA, *list(PICTURE_SCHEMA)[4:7]])
"""What a shard of any kind may have."""

CAPTIONS, PAIRS, PICTURES = "captions", "pairs", "pictures"
"""What a shard holds."""


class ShardError(ImgDiffError, ValueError):
    """A shard that does not exist, or a key that is not one."""


def caption_id(caption: str) -> str:
    """The content hash that identifies a caption in every shard."""
    return content_id("caption", caption)


def given_pair_id(caption_id: str) -> str:
    """The `pair_id` of a given pair."""
    return content_id("given_pair", caption_id)


def check_key(key: str) -> str:
    """Return the key. Raises ShardError for anything but `shard-000123`, above all for a path."""
    if not SHARD_KEY.fullmatch(key):
        raise ShardError(f"{key!r} is not a shard key: keys look like shard-000123 (`imgdiff stats` lists them).")
    return key


def shard_keys(home: Home) -> list[str]:
    """The keys of all shards, in order."""
    names = [entry.address.stem for entry in store_of(home.captions).find(home.captions, "shard-*.parquet")]
    return sorted(name for name in names if SHARD_KEY.fullmatch(name))


def removed_keys(home: Home) -> list[str]:
    """The keys of the shards in the trash, in order: see `imgdiff_assets.ingest.removed_shards`."""
    found = {entry.address.parents[1].name for entry in store_of(home.trash).find(home.trash, "shard-*/*/*")}
    return sorted(name for name in found if SHARD_KEY.fullmatch(name))


def known_shards(home: Home, keys: Sequence[str]) -> list[str]:
    """The shards meant: `keys`, or all. Raises ShardError for one that does not exist, or when there are none."""
    for key in keys:
        read_captions(home, key)
    known = sorted(set(keys)) or shard_keys(home)
    if not known:
        raise ShardError(f"There are no shards in {home.captions}: ingest captions first (`imgdiff ingest FILE`).")
    return known


def ids_of(file: PurePath) -> list[str]:
    """The `caption_id` of each row of a caption file, wherever it lies. Raises DamagedTable."""
    return [str(identity) for identity in read_table(file, SCHEMA)["caption_id"].to_pylist()]


def shard_path(home: Home, key: str) -> PurePath:
    """Where a shard's captions are, if there is such a shard. Raises ShardError for what is no key."""
    return home.captions / f"{check_key(key)}.parquet"


def caption_path(home: Home, key: str) -> PurePath:
    """The file of one shard's captions. Raises ShardError when there is no such shard."""
    path = shard_path(home, key)
    if store_of(path).version(path) is None:
        keys = shard_keys(home)
        known = f"there are {keys[0]} to {keys[-1]}" if keys else "there are none yet: ingest captions first"
        raise ShardError(f"{key}: no such shard in {home.captions}; {known}.")
    return path


def pair_images_path(home: Home, key: str) -> PurePath:
    """Where the images of a shard of given pairs are."""
    return home.captions / f"{key}.images.parquet"


def picture_id(picture_hash: str) -> str:
    """The content hash that identifies a picture in every shard, in the place of a caption's."""
    return content_id("given_picture", picture_hash)


def held_by(home: Home, key: str) -> str:
    """What the shard holds: CAPTIONS, PAIRS whose images were given, or PICTURES. Raises ShardError."""
    try:
        return _held(column_names(caption_path(home, key)))
    except DamagedTable:
        images = pair_images_path(home, key)
        if store_of(home.captions).version(images) is None:
            return CAPTIONS
    try:
        return PAIRS if "pair_id" in column_names(images) else PICTURES
    except DamagedTable:
        return PAIRS


def read_captions(home: Home, key: str) -> pa.Table:
    """The captions of one shard; of given pairs, with all that is known of them. Raises ShardError."""
    path = caption_path(home, key)
    try:
        return read_table(path, schema_of(column_names(path)))
    except DamagedTable as damage:
        raise ShardError(
            f"{path}: is not a readable caption table: {damage.reason}; `imgdiff ledger verify` restores it as far as "
            "the ledger knows the captions."
        ) from damage
    except pa.ArrowException as error:
        raise ShardError(f"{path}: is not a readable caption table ({' '.join(str(error).split())}).") from error


def schema_of(columns: Sequence[str]) -> pa.Schema:
    """The schema of a caption file that has these columns."""
    schema = {CAPTIONS: SCHEMA, PAIRS: PAIR_SCHEMA, PICTURES: PICTURE_SCHEMA}[_held(columns)]
    if schema is PICTURE_SCHEMA:
        return schema
    return pa.schema([*schema, *(field for field in (FILLED, *COLOURS_SCHEMA) if field.name in columns)])


def known_captions(home: Home) -> KnownIds:
    """The `caption_id` of every caption and of every given pair, in whatever shard; of a damaged one, those left.

    A caption that an earlier release spelt otherwise keeps its id, and is known by that of its spelling of today too.
    """
    return KnownIds(known for key in shard_keys(home) for known in _known(home, key)[:2])


def pairs_of_before_profiles(home: Home) -> KnownIds:
    """The given pairs whose images were ingested without a look at their colour profiles."""
    return KnownIds(_known(home, key)[2] for key in shard_keys(home))


def _known(home: Home, key: str) -> tuple[Ids, Ids, Ids]:
    return _read_known(home, key, str(store_of(home.captions).version(caption_path(home, key))))


@lru_cache(maxsize=65_536)
def _read_known(home: Home, key: str, version: str) -> tuple[Ids, Ids, Ids]:
    """Of a shard, which never changes: the ids, those of today's spelling, those from before colour profiles."""
    none = numbers(())
    try:
        table, lost = read_undamaged(caption_path(home, key), ALL_COLUMNS)
    except DamagedTable:
        return none, none, none
    rows = zip(table["caption_id"].to_pylist(), table["caption"].to_pylist(), strict=True)
    ids = numbers(identity or caption_id(caption) for identity, caption in rows if identity or caption)
    held = _held(list(lost))
    if held == CAPTIONS:
        return ids, numbers(respelt(table["caption"].drop_null())), none
    return ids, none, none if held == PICTURES or COLOURS_SCHEMA.names[0] in lost else ids


def respelt(captions: pa.ChunkedArray) -> Iterator[str]:
    """The ids that captions have in today's spelling, where an earlier release spelt them otherwise."""
    # An ASCII caption has one spelling.
    for caption in captions.filter(pc.invert(pc.string_is_ascii(captions))).to_pylist():
        try:
            spelling = clean(caption)
        except UnusableText:
            continue
        if spelling != caption:
            yield caption_id(spelling)


def adding_shards(home: Home) -> AbstractContextManager[Any]:
    """The lock that whoever adds shards holds; another ingestion waits. Raises PermissionError."""
    home.create()
    holder = f"an ingestion (process {os.getpid()} on {platform.node()})"
    return store_of(home.captions).held(home.captions / ".adding", "adding shards", holder)


def new_keys(home: Home) -> Iterator[str]:
    """The keys of the next new shards, without end, those of removed ones left out; for whoever holds the lock."""
    known, store = shard_keys(home), store_of(home.captions)
    for entry in store.find(home.captions, "shard-*.images.parquet"):
        if entry.address.name.partition(".")[0] not in known:  # a kill came before its captions
            store.delete(entry.address)
    keys = [*known, *removed_keys(home), *read_removed(home).shards]
    first = int(max(keys).removeprefix("shard-")) + 1 if keys else 0
    return (f"shard-{number:06d}" for number in count(first))


def _held(columns: Sequence[str]) -> str:
    if list(columns)[: len(PAIR_SCHEMA)] == PAIR_SCHEMA.names:
        return PAIRS
    return PICTURES if PICTURE_HASH.name in columns else CAPTIONS
