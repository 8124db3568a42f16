"""Images of pairs as the browser shows them: single ones as they lie in the ledger, thumbnails from a cache."""

import io
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from imgdiff_assets.browser.index import Index
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ledger.cells import GroupedFile, RowGroup, is_place
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.images import ImagesDropped
from imgdiff_assets.ledger.places import part_path
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.reading.shown import ERASED, ShownImage, shown_images

THUMBNAIL = 192
"""Longest side of one image of a thumbnail, in pixels; smaller images stay as they are."""

GAP = 1 / 32
"""Space between the two images of a thumbnail, as a share of the width of one."""

PLACES = {
    **dict.fromkeys(SIDES, (("image_pairs", "derived_pairs"), "pair_id")),
    ERASED: (("removed_pairs",), "region_id"),
}
"""Where the image of a name is: one of some tables, and the id of its row."""

KEPT_GROUPS = 8
KEPT_THUMBNAILS = 4096
QUALITY = 85
VERSION_LENGTH = 12


class NoImage(ImgDiffError, LookupError):
    """A pair without images, or with one that cannot be decoded."""


class NoLongerKept(NoImage):
    """An image that was dropped, as the recipe says, and can be made again."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded bytes, their media type, and a name for exactly this content."""

    data: bytes
    media_type: str
    etag: str


def version_of(row: Mapping[str, Any], images: Sequence[ShownImage]) -> str:
    """A name for the content of two images in order, from the row's hashes: a thumbnail's address has it."""
    return "-".join((row.get(f"{image.name}_hash") or "")[:VERSION_LENGTH] for image in images)


class Pictures:
    """Reads image cells by row group; keeps the latest groups, and thumbnails in memory and in `cache` on disk.

    Safe to use from several threads. The disk cache may be deleted at any time.
    """

    def __init__(self, index: Index, cache: Path) -> None:
        self._index, self._cache = index, cache
        self._groups: deque[tuple[tuple[PurePath, str | None], RowGroup]] = deque(maxlen=KEPT_GROUPS)
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, identity: str, side: str) -> Picture:
        """One image as the ledger holds it: `source` or `target` of a pair, a region `erased`. Raises NoImage."""
        row, cell = self._cell(identity, side)
        with _decoding(identity), Image.open(io.BytesIO(cell)) as image:
            media_type = Image.MIME.get(image.format or "", "application/octet-stream")
        return Picture(cell, media_type, row[f"{side}_hash"])

    def thumbnail(self, pair_id: str, erased: str | None = None, first: str | None = None) -> Picture:
        """Two images side by side as WebP: source and target, or one of them and the same with the region `erased`.

        The other way round when `first` is `target`. Raises NoImage.
        """
        row = self._row(pair_id, "source")
        if erased is not None:
            row |= self._row(erased, ERASED)
        images = shown_images(pair_id, erased, row.get("found_in"), first)
        name = f"{version_of(row, images)}-{THUMBNAIL}"
        with self._lock:
            data = self._thumbnails.get(name)
        if data is None:
            data = self._read_cached(name) or self._draw(images, name)
            with self._lock:
                self._thumbnails[name] = data
                if len(self._thumbnails) > KEPT_THUMBNAILS:
                    self._thumbnails.popitem(last=False)
        return Picture(data, "image/webp", name)

    def not_kept(self, images: Sequence[ShownImage]) -> list[str]:
        """Of those of the images that are not kept any more, how they can be made again."""
        told = []
        for image in images:
            try:
                self._cell(image.row_id, image.name)
            except NoLongerKept as error:
                told.append(str(error))
            except NoImage:
                continue
        return list(dict.fromkeys(told))

    def _row(self, identity: str, side: str) -> dict[str, Any]:
        """What the index knows of an image's row. Raises NoImage."""
        tables, column = PLACES[side]
        hashes = "found_in, erased_hash" if side == ERASED else "source_hash, target_hash"
        for table in tables:
            if found := self._index.rows(
                f"SELECT '{table}' AS asset, shard, row, {hashes} FROM {table} "
                f"WHERE {column} = ? AND {side}_hash IS NOT NULL",
                [identity],
            ):
                return found[0]
        raise NoImage(f"{identity}: no such image was made")

    def _cell(self, identity: str, side: str) -> tuple[dict[str, Any], bytes]:
        """An image's row of the index, and its bytes. A table that was replaced just now is looked at once more."""
        place = PLACES[side]
        column = place[1]
        images = [f"{name}_image" for name, other in PLACES.items() if other == place]
        for _ in range(2):
            row = self._row(identity, side)
            path = self._index.ledger.table_path(row["asset"], row["shard"])
            try:
                cells = self._read_row(path, row["row"], [column, *images])
            except (OSError, IndexError):
                cells = {}
            if cells.get(column) == identity and f"{side}_image" in cells:
                if (cell := cells[f"{side}_image"]) is None:
                    raise NoLongerKept(str(ImagesDropped(identity, path)))
                return row, cell["bytes"]
            self._index.refresh(at_once=True)
        raise NoImage(f"{identity}: its image cannot be read just now")

    def _read_row(self, path: PurePath, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Some columns of a row. Raises IndexError for a row that is not there."""
        cells = self._read_group(path, row, columns).cells(row)
        for name, cell in cells.items():
            if isinstance(cell, dict) and is_place(cell):
                part = part_path(path, cell["part"])
                cells[name] = self._read_group(part, cell["row"], ["image"]).cells(cell["row"])["image"]
        return cells

    def _read_group(self, path: PurePath, row: int, columns: Sequence[str]) -> RowGroup:
        """The row group around a row."""
        version = path, store_of(path).version(path)
        with self._lock:
            group = next((group for known, group in self._groups if known == version and row in group), None)
            if group is None:
                # Closed at once: a table that is about to be replaced must not stay open.
                with closing(GroupedFile(path, columns)) as file:
                    group = file.group_of(row)
                self._groups.append((version, group))
        return group

    def _draw(self, images: Sequence[ShownImage], name: str) -> bytes:
        cells = [self._cell(image.row_id, image.name)[1] for image in images]
        with _decoding(images[0].row_id):
            left, right = (Image.open(io.BytesIO(cell)).convert("RGB") for cell in cells)
        left.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        right = right.resize(left.size, Image.Resampling.LANCZOS)
        width, height = left.size
        sheet = Image.new("RGBA", (2 * width + round(width * GAP), height))
        sheet.paste(left, (0, 0))
        sheet.paste(right, (sheet.width - width, 0))
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
        with atomic_file(self._cached(name), durable=False, shared=True) as temporary:
            temporary.write_bytes(data)


@contextmanager
def _decoding(pair_id: str) -> Iterator[None]:
    """Turns what Pillow raises for damaged data into NoImage."""
    try:
        yield
    except Exception as error:  # whatever a decoder raises, the image is at fault
        raise NoImage(f"{pair_id}: an image of this pair cannot be decoded ({error})") from error
