"""Pictures in, shards out: of each a target is made by the recipe's editor, as an instruction says.

A shard of pictures is a caption file with more columns (what the picture and its file are known by) and
`<home>/captions/<key>.images.parquet` with the pictures, losslessly encoded and of the size that they came in: what is
scaled or cropped of them is the recipe's. A picture is known by its pixels: it is ingested once, whatever file it
comes from. One that cannot be used is kept in `<home>/captions/rejected.jsonl` with its reason.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import PurePath

import pyarrow as pa

from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.given_rows import GivenRow, UnusableField, text_of
from imgdiff_assets.ingest.ingest_report import IngestReport, storable
from imgdiff_assets.ingest.ingestion import COMPRESSION, DEFAULT_SHARD_SIZE, GivenIngestion, check_shard_size
from imgdiff_assets.ingest.photograph import PictureReader
from imgdiff_assets.ingest.picture_sources import CAPTION, open_pictures
from imgdiff_assets.ingest.picture_sources import IMAGE as FIELD
from imgdiff_assets.ingest.shards import PICTURE_SCHEMA, adding_shards, picture_id
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash

CELL = "source_image"
IMAGES_SCHEMA = pa.schema([pa.field("caption_id", pa.string()), pa.field(CELL, IMAGE)])


def ingest_pictures(
    sources: Sequence[PurePath],
    home: Home,
    columns: Mapping[str, str] | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = lambda what, done, total: None,
    root: PurePath | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Add the pictures of `sources` (folders, tables) as new shards of at most `shard_size` pictures.

    As `ingest_pairs` does it with pairs, and raises what that raises.
    """
    check_shard_size(shard_size, _Pictures.noun)
    with nullcontext() if dry_run else adding_shards(home), PictureReader() as reader:
        ingestion = _Pictures(home, reader, shard_size, dry_run)
        for source in sources:
            ingestion.add(source, partial(open_pictures, source, columns or {}, root), progress)
        return ingestion.end()


class _Pictures(GivenIngestion):
    """Pictures, known by their pixels."""

    noun = "picture"
    schema = PICTURE_SCHEMA
    images_schema = IMAGES_SCHEMA

    def take(self, row: GivenRow) -> None:
        """See `GivenIngestion`."""
        caption, data = text_of(row, CAPTION), row.image(FIELD)
        picture = self.decoded(data, FIELD)
        known = pixel_hash(picture.pixels)
        identity, file_hash = picture_id(known), hashlib.sha256(data).hexdigest()
        if reason := self.removed.reason([identity], [known, file_hash]):
            raise UnusableField(FIELD, reason)
        if not self.known.add(identity):
            self.duplicates += 1
            return
        height, width, _ = picture.pixels.shape
        name = row.path(FIELD)
        self.keep(
            {
                "caption_id": identity,
                "caption": caption or "",
                "source": storable(row.file),
                "line": row.line,
                "picture_hash": known,
                "file_name": None if name is None else storable(name),
                "file_hash": file_hash,
                "width": width,
                "height": height,
                "source_colours": picture.colours,
                CELL: {"bytes": encode_png(picture.pixels, COMPRESSION), "path": f"{identity}_source.png"},
            },
            [CELL],
        )
