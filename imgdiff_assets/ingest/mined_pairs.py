"""Pairs found among given pictures: alike but not the same, laid on each other, and ingested as given pairs are."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.progress import Progress
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.decoding import SMALLEST_SIDE, UnusableImage
from imgdiff_assets.ingest.given_rows import GivenRow, GivenSource, UnusableField, text_of
from imgdiff_assets.ingest.ingest_pairs import PairIngestion
from imgdiff_assets.ingest.ingest_report import IngestReport
from imgdiff_assets.ingest.ingestion import DEFAULT_SHARD_SIZE, check_shard_size
from imgdiff_assets.ingest.photograph import PictureReader, align
from imgdiff_assets.ingest.picture_sources import CAPTION, IMAGE, open_pictures
from imgdiff_assets.ingest.shards import adding_shards
from imgdiff_assets.ingest.video_frames import FAST, SUFFIXES, open_frames
from imgdiff_assets.ledger.images import encode_png, pixel_hash
from imgdiff_assets.method.common_view import laid_together
from imgdiff_assets.method.mining import alike

AT_ONCE = 64
"""Pictures that are encoded together."""

Encode = Callable[[Sequence[Pixels]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Mining:
    """How pairs are found: cosines from `low` to `high`, each picture in at most `most`; `fit` as `ingest_pairs`.

    `encode` gives vectors of length 1, `fitted` a picture as the recipe has it, or raises UnusableImage.
    """

    encode: Encode
    fitted: Callable[[Pixels], Pixels]
    low: float
    high: float
    most: int = 1
    fit: str = "refuse"
    frame_seconds: float = 1.0


@dataclass(slots=True)
class _Seen:
    """The pictures that were looked at: where each lies, fitted, its caption, where it came from, its vector."""

    rows: dict[str, GivenRow] = field(default_factory=dict)
    captions: dict[str, str | None] = field(default_factory=dict)
    vectors: list[npt.NDArray[np.float32]] = field(default_factory=list)


def ingest_mined(
    sources: Sequence[PurePath],
    home: Home,
    mining: Mining,
    columns: Mapping[str, str] | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    progress: Progress = lambda what, done, total: None,
    root: PurePath | None = None,
    dry_run: bool = False,
) -> IngestReport:
    """Add the pairs found among all pictures of `sources` (folders, tables, films), which are compared together.

    The fitted pictures lie in a temporary folder meanwhile. Raises as `ingest_pairs` does.
    """
    check_shard_size(shard_size, "pair")
    with (
        nullcontext() if dry_run else adding_shards(home),
        PictureReader() as reader,
        tempfile.TemporaryDirectory(prefix="imgdiff-pictures-") as folder,
    ):
        ingestion = _MinedPairs(home, reader, mining, shard_size, dry_run, Path(folder))
        for source in sources:
            opened = partial(_open, source, columns or {}, root, mining.frame_seconds)
            ingestion.add(source, opened, progress)
        ingestion.pair_up(progress)
        return ingestion.end()


def _open(source: PurePath, columns: Mapping[str, str], root: PurePath | None, frame_seconds: float) -> GivenSource:
    if isinstance(source, Path) and source.suffix.lower() in SUFFIXES:
        return open_frames(source, frame_seconds)
    return open_pictures(source, columns, root)


class _MinedPairs(PairIngestion):
    """Looks at pictures, one after the other, and ingests the pairs among them at the end."""

    noun = "picture"

    def __init__(
        self, home: Home, reader: PictureReader, mining: Mining, shard_size: int, dry_run: bool, folder: Path
    ) -> None:
        super().__init__(home, reader, mining.fit, shard_size, dry_run)
        self._mining, self._folder, self._seen = mining, folder, _Seen()
        self._waiting: list[Pixels] = []

    def take(self, row: GivenRow) -> None:
        """Look at a picture; see `GivenIngestion`."""
        caption, data = text_of(row, CAPTION), row.image(IMAGE)
        picture = self.decoded(data, IMAGE).pixels
        known, whole = hashlib.sha256(data).hexdigest(), pixel_hash(picture)
        if reason := self.removed.reason([], [whole, known]):
            raise UnusableField(IMAGE, reason)
        try:
            fitted = self._mining.fitted(picture)
        except UnusableImage as error:
            raise UnusableField(IMAGE, str(error)) from None
        identity = pixel_hash(fitted)
        if identity in self._seen.rows:
            return
        (self._folder / identity).write_bytes(encode_png(fitted, FAST))
        # What a table holds of it is on disk now.
        self._seen.rows[identity] = replace(row, values={IMAGE: row.path(IMAGE)})
        self._seen.captions[identity] = caption
        self._waiting.append(fitted)
        if len(self._waiting) == AT_ONCE:
            self._encode()

    def _encode(self) -> None:
        if self._waiting:
            self._seen.vectors.append(self._mining.encode(self._waiting))
            self._waiting = []

    def pair_up(self, progress: Progress) -> None:
        """Find the pairs among the pictures that were looked at, and ingest them."""
        self._encode()
        mining, names = self._mining, list(self._seen.rows)
        if len(names) < 2:
            return
        vectors = np.concatenate(self._seen.vectors)
        found = alike(vectors, names, mining.low, mining.high, mining.most, partial(progress, "compare pictures"))
        for done, (first, second, _) in enumerate(found, 1):
            self.attempt(self._given(names[first], names[second]), super().take)
            progress("align pairs", done, len(found))

    def _given(self, first: str, second: str) -> GivenRow:
        """The two pictures as a given pair, laid on each other."""
        rows = [self._seen.rows[name] for name in (first, second)]
        captions = [self._seen.captions[name] for name in (first, second)]
        values: dict[str, Any] = {}
        if all(captions):
            values = dict(zip(("source_caption", "target_caption"), captions, strict=True))
        file = f"{rows[0].file} and {rows[1].file}"
        if rows[0].file == rows[1].file:
            file = f"{rows[0].file}:{rows[0].line} and {rows[1].line}"
        try:
            pictures = [self._read_back(name) for name in (first, second)]
            source, target, _ = laid_together(*align(pictures[0], pictures[1], self._mining.fit))
        except UnusableImage as error:
            return GivenRow(file, rows[0].line, problem=UnusableField("target_image", str(error)))
        if min(source.shape[:2]) < SMALLEST_SIDE:
            too_little = UnusableField("target_image", "shows too little of what the source image shows")
            return GivenRow(file, rows[0].line, problem=too_little)
        images = {"source_image": encode_png(source, FAST), "target_image": encode_png(target, FAST)}
        return GivenRow(file, rows[0].line, values | images)

    def _read_back(self, name: str) -> Pixels:
        return self.decoded((self._folder / name).read_bytes(), IMAGE).pixels
