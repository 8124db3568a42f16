"""Images of pairs as the browser shows them: single ones as they lie in the ledger, thumbnails from a cache."""

import io
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from imgdiff_assets.browser.index import Index

SIDES = ("source", "target")
THUMBNAIL = 192
"""Longest side of one image of a thumbnail, in pixels; smaller images stay as they are."""

GAP = 1 / 32
"""Space between the two images of a thumbnail, as a share of the width of one."""

KEPT_GROUPS = 4
KEPT_THUMBNAILS = 4096
QUALITY = 85
VERSION_LENGTH = 12


class NoImage(LookupError):
    """A pair without images, or with one that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes, their media type, and a name for exactly this content."""

    data: bytes
    media_type: str
    etag: str


def version_of(row: Mapping[str, Any]) -> str:
    """A name for the content of both images, from their hashes: a thumbnail's address has it."""
    return f"{row['source_hash'][:VERSION_LENGTH]}-{row['target_hash'][:VERSION_LENGTH]}"


class Pictures:
    """Reads image cells by row group; keeps the latest groups, and thumbnails in memory and in `cache` on disk.

    Safe to use from several threads. The disk cache may be deleted at any time.
    """

    def __init__(self, index: Index, cache: Path) -> None:
        self._index, self._cache = index, cache
        self._groups: OrderedDict[tuple[Any, ...], pa.Table] = OrderedDict()
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, pair_id: str, side: str) -> Picture:
        """One image as the ledger holds it. Raises NoImage."""
        row, cells = self._cells(pair_id)
        data = cells[f"{side}_image"]["bytes"]
        with _decoding(pair_id), Image.open(io.BytesIO(data)) as image:
            media_type = Image.MIME.get(image.format or "", "application/octet-stream")
        if not media_type.startswith("image/"):
            raise NoImage(f"{pair_id}: is not an image")
        return Picture(data, media_type, row[f"{side}_hash"])

    def thumbnail(self, pair_id: str) -> Picture:
        """Both images side by side as WebP. Raises NoImage."""
        row = self._row(pair_id)
        name = f"{version_of(row)}-{THUMBNAIL}"
        with self._lock:
            data = self._thumbnails.get(name)
        if data is None:
            data = self._read_cached(name) or self._draw(pair_id, name)
            with self._lock:
                self._thumbnails[name] = data
                if len(self._thumbnails) > KEPT_THUMBNAILS:
                    self._thumbnails.popitem(last=False)
        return Picture(data, "image/webp", name)

    def _row(self, pair_id: str) -> dict[str, Any]:
        found = self._index.rows(
            "SELECT shard, row, source_hash, target_hash FROM image_pairs "
            "WHERE pair_id = ? AND source_hash IS NOT NULL AND target_hash IS NOT NULL",
            [pair_id],
        )
        if not found:
            raise NoImage(f"{pair_id}: no images of this pair were drawn")
        return found[0]

    def _cells(self, pair_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The pair's row of the index, and its cells. A table that was replaced just now is looked at once more."""
        for _ in range(2):
            row = self._row(pair_id)
            try:
                cells = self._read_row(self._index.ledger.table_path("image_pairs", row["shard"]), row["row"])
            except (pa.ArrowException, OSError, IndexError):
                cells = {}
            if cells.get("pair_id") == pair_id and cells["source_image"] and cells["target_image"]:
                return row, cells
            self._index.refresh(at_once=True)
        raise NoImage(f"{pair_id}: its images cannot be read just now")

    def _read_row(self, path: Path, row: int) -> dict[str, Any]:
        state = os.stat(path)
        with self._lock, pq.ParquetFile(path) as file:
            first = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if row < first + size:
                    key = (path, state.st_mtime_ns, state.st_ino, group)
                    if key not in self._groups:
                        self._groups[key] = file.read_row_group(group, ["pair_id", "source_image", "target_image"])
                        if len(self._groups) > KEPT_GROUPS:
                            self._groups.popitem(last=False)
                    cells: dict[str, Any] = self._groups[key].slice(row - first, 1).to_pylist()[0]
                    return cells
                first += size
        raise IndexError(row)

    def _draw(self, pair_id: str, name: str) -> bytes:
        _, cells = self._cells(pair_id)
        with _decoding(pair_id):
            source, target = (Image.open(io.BytesIO(cells[f"{side}_image"]["bytes"])).convert("RGB") for side in SIDES)
        source.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        target = target.resize(source.size, Image.Resampling.LANCZOS)
        width, height = source.size
        sheet = Image.new("RGBA", (2 * width + round(width * GAP), height))
        sheet.paste(source, (0, 0))
        sheet.paste(target, (sheet.width - width, 0))
        buffer = io.BytesIO()
        sheet.save(buffer, format="WEBP", quality=QUALITY)
        with suppress(OSError):
            self._write_cached(name, buffer.getvalue())
        return buffer.getvalue()

    def _cached(self, name: str) -> Path:
        return self._cache / name[:2] / f"{name}.webp"

    def _read_cached(self, name: str) -> bytes | None:
        try:
            return self._cached(name).read_bytes()
        except OSError:
            return None

    def _write_cached(self, name: str, data: bytes) -> None:
        path = self._cached(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(data)
        os.replace(file.name, path)


@contextmanager
def _decoding(pair_id: str) -> Iterator[None]:
    """Turns what Pillow raises for damaged data into NoImage."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise NoImage(f"{pair_id}: an image of this pair cannot be decoded ({error})") from error
