"""Existing image pairs in, shards out: filtered, boxed, captioned, reviewed and exported as drawn ones are.

A shard of given pairs is a caption file with more columns (what the images are known by, and the given texts), and
`<home>/captions/<key>.images.parquet` with the images, losslessly encoded, in the Hugging Face layout. A pair is known
by the pixels of its two images: it is ingested once, whatever file it comes from and whatever is said of it there. A
row that cannot be used is kept in `<home>/captions/rejected.jsonl` with its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.decoding import UnusableImage
from imgdiff_assets.ingest.given_rows import GivenRow, UnusableField, text_of
from imgdiff_assets.ingest.ingest_report import IngestReport, storable
from imgdiff_assets.ingest.ingestion import COMPRESSION, DEFAULT_SHARD_SIZE, GivenIngestion, check_shard_size
from imgdiff_assets.ingest.pair_sources import IMAGE_FIELDS, TEXT_FIELDS, open_source
from imgdiff_assets.ingest.photograph import Photograph, PictureReader, align
from imgdiff_assets.ingest.shards import (
    COLOURS_SCHEMA,
    PAIR_SCHEMA,
    adding_shards,
    given_pair_id,
    pairs_of_before_profiles,
)
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.method.caption_edit import edits

IMAGES_SCHEMA = pa.schema([pa.field("pair_id", pa.string()), *(pa.field(name, IMAGE) for name in IMAGE_FIELDS)])


def ingest_pairs(
    sources: Sequence[PurePath],
    home: Home,
    columns: Mapping[str, str] | None = None,
    suffixes: Sequence[str] | None = None,
    fit: str = "refuse",
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = lambda what, done, total: None,
    root: PurePath | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Add the pairs of `sources` (folders, tables) as new shards of at most `shard_size` pairs.

    Images that are named by paths lie in the folder of their table, or in `root`. A shard is there whole or not at
    all, so that a kill costs the shard under way; the same call then goes on. A source that cannot be read is reported
    and the others are ingested. With `dry_run` all is read and reported, and nothing written. Raises IngestError when
    `shard_size` is not positive, PermissionError when the home cannot be written.
    """
    check_shard_size(shard_size, PairIngestion.noun)
    with nullcontext() if dry_run else adding_shards(home), PictureReader() as reader:
        ingestion = PairIngestion(home, reader, fit, shard_size, dry_run)
        for source in sources:
            ingestion.add(source, partial(open_source, source, columns or {}, suffixes, root), progress)
        return ingestion.end()


class PairIngestion(GivenIngestion):
    """Pairs, known by the pixels of their two images."""

    noun = "pair"
    schema = pa.schema([*PAIR_SCHEMA, *COLOURS_SCHEMA])
    images_schema = IMAGES_SCHEMA

    def __init__(self, home: Home, reader: PictureReader, fit: str, shard_size: int, dry_run: bool) -> None:
        super().__init__(home, reader, shard_size, dry_run)
        self._fit = fit
        self._before_profiles = pairs_of_before_profiles(home)

    def take(self, pair: GivenRow) -> None:
        """See `GivenIngestion`."""
        texts = _texts(pair)
        images = [self.read(pair, name) for name in IMAGE_FIELDS]
        pixels = _aligned([image.pixels for image in images], self._fit)
        hashes = [pixel_hash(picture) for picture in pixels]
        identity, former = content_id("given_image_pair", *hashes), self._former(images)
        seen = [*hashes, *(self._as_given(images) if self.removed.pictures else ())]
        if reason := self.removed.reason([identity, *former], seen):
            raise UnusableField(IMAGE_FIELDS[0], reason)
        if any(known in self._before_profiles for known in former) or not self.known.add(identity):
            self.duplicates += 1
            return
        self.keep(_row(pair, identity, texts, images, pixels, hashes), IMAGE_FIELDS)

    def _as_given(self, images: Sequence[Photograph]) -> Iterator[str]:
        """The hashes of pictures before they were made to fit each other, and as an earlier release saw them."""
        for image in images:
            yield from (pixel_hash(picture) for picture in (image.pixels, image.former) if picture is not None)

    def _former(self, images: Sequence[Photograph]) -> list[str]:
        """The id that the pair has if it came in before colour profiles were looked at, where that is another."""
        if all(image.former is None for image in images):
            return []
        former = _aligned([image.pixels if image.former is None else image.former for image in images], self._fit)
        return [content_id("given_image_pair", *map(pixel_hash, former))]


def _aligned(pictures: Sequence[Pixels], fit: str) -> tuple[Pixels, Pixels]:
    try:
        return align(pictures[0], pictures[1], fit)
    except UnusableImage as error:
        raise UnusableField("target_image", str(error)) from None


def _row(
    pair: GivenRow,
    identity: str,
    texts: Mapping[str, str | None],
    images: Sequence[Photograph],
    pixels: Sequence[Pixels],
    hashes: Sequence[str],
) -> dict[str, Any]:
    """All columns of a pair's row in both files."""
    height, width, _ = pixels[0].shape
    cells = {
        name: {"bytes": encode_png(picture, COMPRESSION), "path": f"{identity}_{name}.png"}
        for name, picture in zip(IMAGE_FIELDS, pixels, strict=True)
    }
    return {
        "caption_id": identity,
        "pair_id": given_pair_id(identity),
        "caption": texts["source_caption"] or "",
        "source": storable(pair.file),
        "line": pair.line,
        "target_caption": texts["target_caption"] or "",
        **{name: texts[name] for name in ("source_object", "target_object")},
        "width": width,
        "height": height,
        **dict(zip(("source_hash", "target_hash"), hashes, strict=True)),
        **dict(zip(COLOURS_SCHEMA.names, (image.colours for image in images), strict=True)),
        **cells,
    }


def _texts(pair: GivenRow) -> dict[str, str | None]:
    """The given texts; objects that are not named are taken from captions that differ in one place."""
    texts = {name: text_of(pair, name) for name in TEXT_FIELDS}
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
