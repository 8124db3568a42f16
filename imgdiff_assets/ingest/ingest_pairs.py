"""Existing image pairs in, shards out: filtered, boxed, captioned, reviewed and exported as drawn ones are.

A shard of given pairs is a caption file with more columns (what the images are known by, and the given texts), and
`<home>/captions/<key>.images.parquet` with the images, losslessly encoded, in the Hugging Face layout. A pair is known
by the pixels of its two images: it is ingested once, whatever file it comes from and whatever is said of it there. A
row that cannot be used is kept in `<home>/captions/rejected.jsonl` with its reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.ingest_report import (
    KEPT_TEXT,
    IngestError,
    IngestReport,
    RejectedCaption,
    keep_rejected,
    storable,
)
from imgdiff_assets.ingest.pair_sources import (
    IMAGE_FIELDS,
    TEXT_FIELDS,
    GivenPair,
    UnusableField,
    count_pairs,
    read_pairs,
)
from imgdiff_assets.ingest.photograph import UnusableImage, align, read_image
from imgdiff_assets.ingest.shards import (
    PAIR_SCHEMA,
    adding_shards,
    given_pair_id,
    known_captions,
    new_keys,
    pair_images_path,
)
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.ledger.tables import write_rows
from imgdiff_assets.method.caption_edit import edits

DEFAULT_SHARD_SIZE = 200
COMPRESSION = 6
IMAGES_SCHEMA = pa.schema([pa.field("pair_id", pa.string()), *(pa.field(name, IMAGE) for name in IMAGE_FIELDS)])


def ingest_pairs(
    sources: Sequence[Path],
    home: Home,
    columns: Mapping[str, str] | None = None,
    suffixes: Sequence[str] | None = None,
    fit: str = "refuse",
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = lambda what, done, total: None,
) -> IngestReport:
    """Add the pairs of `sources` (folders, .jsonl, .parquet) as new shards of at most `shard_size` pairs.

    A shard is there whole or not at all, so that a kill costs the shard under way; the same call then goes on. A
    source that cannot be read is reported and the others are ingested. Raises IngestError when `shard_size` is not
    positive, PermissionError when the home cannot be written.
    """
    if shard_size < 1:
        raise IngestError(f"--shard-size {shard_size}: a shard holds at least one pair.")
    with adding_shards(home):
        return _Ingestion(home, columns or {}, fit, shard_size).run(sources, suffixes, progress)


class _Ingestion:
    """One call of `ingest_pairs`, which holds the lock."""

    def __init__(self, home: Home, columns: Mapping[str, str], fit: str, shard_size: int) -> None:
        self.home, self.columns, self.fit, self.shard_size = home, columns, fit, shard_size
        self.known, self.keys = known_captions(home), new_keys(home)
        self.shards: list[str] = []
        self.accepted = self.duplicates = 0
        self.rejected: list[RejectedCaption] = []

    def run(self, sources: Sequence[Path], suffixes: Sequence[str] | None, progress: Progress) -> IngestReport:
        failed = []
        rows: list[dict[str, Any]] = []
        for source in sources:
            total, done = count_pairs(source, suffixes), 0
            try:
                for pair in read_pairs(source, self.columns, suffixes):
                    row = self._take(pair)
                    if row is not None:
                        rows.append(row)
                    if len(rows) == self.shard_size:
                        self._write(rows)
                        rows = []
                    done += 1
                    progress(f"ingest {source.name}", done, max(total, done))
                if done == 0:
                    failed.append(f"{storable(str(source))}: holds no pairs; nothing was ingested from it.")
            except IngestError as error:
                failed.append(storable(str(error)))
        if rows:
            self._write(rows)
        keep_rejected(self.home, self.rejected)
        return IngestReport(self.shards, self.accepted, self.duplicates, self.rejected, failed)

    def _take(self, pair: GivenPair) -> dict[str, Any] | None:
        """The row of a new pair; None for one that is known already or cannot be used."""
        try:
            if pair.problem is not None:
                raise pair.problem
            row = _row(pair, self.fit)
        except UnusableField as error:
            text = str(pair.values.get(error.name) or "") if error.name in TEXT_FIELDS else ""
            self.rejected.append(
                RejectedCaption(storable(pair.file), pair.line, error.name, storable(error.reason), text[:KEPT_TEXT])
            )
            return None
        if row["caption_id"] in self.known:
            self.duplicates += 1
            return None
        self.known.add(row["caption_id"])
        return row

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The images first: a shard begins to exist with its caption file."""
        key = next(self.keys)
        write_rows(pair_images_path(self.home, key), rows, IMAGES_SCHEMA)
        write_rows(self.home.captions / f"{key}.parquet", rows, PAIR_SCHEMA)
        self.shards.append(key)
        self.accepted += len(rows)


def _row(pair: GivenPair, fit: str) -> dict[str, Any]:
    """All columns of a pair's row in both files. Raises UnusableField."""
    images = []
    for name in IMAGE_FIELDS:
        try:
            images.append(read_image(pair.image(name)))
        except UnusableImage as error:
            raise UnusableField(name, str(error)) from None
    try:
        source, target = align(images[0], images[1], fit)
    except UnusableImage as error:
        raise UnusableField("target_image", str(error)) from None
    hashes = {"source_hash": pixel_hash(source), "target_hash": pixel_hash(target)}
    identity = content_id("given_image_pair", *hashes.values())
    texts = _texts(pair)
    cells = {
        name: {"bytes": encode_png(pixels, COMPRESSION), "path": f"{identity}_{name}.png"}
        for name, pixels in zip(IMAGE_FIELDS, (source, target), strict=True)
    }
    return {
        "caption_id": identity,
        "pair_id": given_pair_id(identity),
        "caption": texts["source_caption"] or "",
        "source": storable(pair.file),
        "line": pair.line,
        "target_caption": texts["target_caption"] or "",
        **{name: texts[name] for name in ("source_object", "target_object")},
        "width": source.shape[1],
        "height": source.shape[0],
        **hashes,
        **cells,
    }


def _texts(pair: GivenPair) -> dict[str, str | None]:
    """The given texts; objects that are not named are taken from captions that differ in one place."""
    texts: dict[str, str | None] = {}
    for name in TEXT_FIELDS:
        value = pair.values.get(name)
        if value is None or value == "":
            texts[name] = None
            continue
        try:
            texts[name] = clean(value)
        except UnusableText as error:
            raise UnusableField(name, str(error)) from None
    for kind in ("caption", "object"):
        names = [f"{side}_{kind}" for side in ("source", "target")]
        missing = [name for name in names if texts[name] is None]
        if len(missing) == 1:
            raise UnusableField(missing[0], f"is missing, though the other {kind} is there")
    if texts["source_object"] is None and texts["source_caption"] and texts["target_caption"]:
        changes = edits(texts["source_caption"], texts["target_caption"])
        if len(changes) == 1 and changes[0].source and changes[0].target:
            texts["source_object"], texts["target_object"] = changes[0].source, changes[0].target
    return texts
