"""Existing image pairs in, shards out: filtered, boxed, captioned, reviewed and exported as drawn ones are.

A shard of given pairs is a caption file with more columns (what the images are known by, and the given texts), and
`<home>/captions/<key>.images.parquet` with the images, losslessly encoded, in the Hugging Face layout. A pair is known
by the pixels of its two images: it is ingested once, whatever file it comes from and whatever is said of it there. A
row that cannot be used is kept in `<home>/captions/rejected.jsonl` with its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.cleaning import UnusableText, clean
from imgdiff_assets.ingest.decoding import UnusableImage
from imgdiff_assets.ingest.ingest_report import IngestError, IngestReport, Rejections, storable
from imgdiff_assets.ingest.pair_sources import IMAGE_FIELDS, TEXT_FIELDS, GivenPair, UnusableField, open_source
from imgdiff_assets.ingest.photograph import Photograph, PictureReader, align
from imgdiff_assets.ingest.removed_sources import read_removed
from imgdiff_assets.ingest.shards import (
    COLOURS_SCHEMA,
    PAIR_SCHEMA,
    adding_shards,
    given_pair_id,
    known_captions,
    new_keys,
    pair_images_path,
    pairs_of_before_profiles,
)
from imgdiff_assets.ingest.text_lines import Unreadable
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.ledger.store.entry import StoreError
from imgdiff_assets.ledger.tables import write_rows
from imgdiff_assets.method.caption_edit import edits

DEFAULT_SHARD_SIZE = 200
MOST_BYTES_HELD = 2**30
"""Of encoded images that wait for their shard to be full; one with more is written as it is."""

COMPRESSION = 6
SHARD_SCHEMA = pa.schema([*PAIR_SCHEMA, *COLOURS_SCHEMA])
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
    if shard_size < 1:
        raise IngestError(f"--shard-size {shard_size}: a shard holds at least one pair.")
    with nullcontext() if dry_run else adding_shards(home), PictureReader() as reader:
        ingestion = _Ingestion(home, reader, fit, shard_size, dry_run)
        for source in sources:
            ingestion.add(source, columns or {}, suffixes, root, progress)
        return ingestion.end()


class _Ingestion:
    """One call of `ingest_pairs`, which holds the lock."""

    def __init__(self, home: Home, reader: PictureReader, fit: str, shard_size: int, dry_run: bool) -> None:
        self._home, self._reader, self._fit, self._shard_size = home, reader, fit, shard_size
        self._dry_run = dry_run
        self._known, self._keys = known_captions(home), new_keys(home)
        self._before_profiles = pairs_of_before_profiles(home)
        self._rejections, self._removed = Rejections(home, dry_run), read_removed(home)
        self._rows: list[dict[str, Any]] = []
        self._bytes_held = 0
        self._shards: list[str] = []
        self._failed: list[str] = []
        self._not_looked_at: list[str] = []
        self._accepted = self._duplicates = 0

    def add(
        self,
        source: PurePath,
        columns: Mapping[str, str],
        suffixes: Sequence[str] | None,
        root: PurePath | None,
        progress: Progress,
    ) -> None:
        """Take the pairs of one source, up to where it cannot be read further."""
        done = 0
        try:
            opened = open_source(source, columns, suffixes, root)
            self._not_looked_at += map(storable, opened.not_looked_at)
            for pair in opened.pairs:
                self._take(pair)
                done += 1
                # Where the end is not known, this row is not the last.
                progress(f"ingest {source.name}", done, max(opened.total, done) if opened.total else done + 1)
            if done and not opened.total:
                progress(f"ingest {source.name}", done, done)
            if done == 0:
                raise IngestError(f"{source}: holds no pairs; nothing was ingested from it.")
        except (IngestError, StoreError) as error:
            self._failed.append(storable(str(error)))
        except OSError as error:  # of a folder that is looked through
            self._failed.append(storable(f"{source}: cannot be read: {error.strerror}."))

    def end(self) -> IngestReport:
        """Write what is not written yet, and tell."""
        if self._rows:
            self._write()
        self._rejections.write()
        return IngestReport(
            self._shards,
            self._accepted,
            self._duplicates,
            self._rejections.first,
            self._failed,
            self._rejections.count,
            self._not_looked_at,
        )

    def _take(self, pair: GivenPair) -> None:
        try:
            if pair.problem is not None:
                raise pair.problem
            texts = _texts(pair)
            images = [self._read(pair, name) for name in IMAGE_FIELDS]
            pixels = _aligned([image.pixels for image in images], self._fit)
        except UnusableField as error:
            text = str(pair.values.get(error.name) or "") if error.name in TEXT_FIELDS else ""
            self._rejections.add(storable(pair.file), pair.line, error.name, error.reason, text)
            return
        hashes = [pixel_hash(picture) for picture in pixels]
        identity, former = content_id("given_image_pair", *hashes), self._former(images)
        seen = [*hashes, *(self._as_given(images) if self._removed.pictures else ())]
        if reason := self._removed.reason([identity, *former], seen):
            self._rejections.add(storable(pair.file), pair.line, IMAGE_FIELDS[0], reason)
            return
        if any(known in self._before_profiles for known in former) or not self._known.add(identity):
            self._duplicates += 1
            return
        self._rows.append(_row(pair, identity, texts, images, pixels, hashes))
        self._bytes_held += sum(len(self._rows[-1][name]["bytes"]) for name in IMAGE_FIELDS)
        if len(self._rows) == self._shard_size or self._bytes_held >= MOST_BYTES_HELD:
            self._write()

    def _read(self, pair: GivenPair, name: str) -> Photograph:
        try:
            return self._reader.read(pair.image(name))
        except UnusableImage as error:
            raise UnusableField(name, str(error)) from None

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

    def _write(self) -> None:
        """The images first: a shard begins to exist with its caption file."""
        key = next(self._keys)
        if not self._dry_run:
            write_rows(pair_images_path(self._home, key), self._rows, IMAGES_SCHEMA, expected=None)
            write_rows(self._home.captions / f"{key}.parquet", self._rows, SHARD_SCHEMA, expected=None)
        self._shards.append(key)
        self._accepted += len(self._rows)
        self._rows, self._bytes_held = [], 0


def _aligned(pictures: Sequence[Pixels], fit: str) -> tuple[Pixels, Pixels]:
    try:
        return align(pictures[0], pictures[1], fit)
    except UnusableImage as error:
        raise UnusableField("target_image", str(error)) from None


def _row(
    pair: GivenPair,
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


def _texts(pair: GivenPair) -> dict[str, str | None]:
    """The given texts; objects that are not named are taken from captions that differ in one place."""
    texts: dict[str, str | None] = {}
    for name in TEXT_FIELDS:
        value = pair.values.get(name)
        if value is None or value == "":
            texts[name] = None
            continue
        if isinstance(value, Unreadable):
            raise UnusableField(name, value.reason)
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
