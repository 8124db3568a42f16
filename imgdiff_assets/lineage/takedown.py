"""Taking a source down: all that came of it leaves every table, batch and file of a home, and the trash.

Of each shard the captions that stay are known; a row stays where the rows above it lead to one of them. What cannot be
told apart by row goes whole, and is measured again: unfinished batches, files that were set aside, damaged tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.engine.record import output_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.removed_shards import CAPTIONS, TABLES
from imgdiff_assets.ingest.removed_sources import CAPTION, FILE, PICTURE, read_removed
from imgdiff_assets.ingest.shards import ALL_COLUMNS, removed_keys, respelt, shard_keys
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.compaction import keep_rows, sweep
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.ledger.tables import read_table, write_again
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import origins
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import CAPTION_FILE, Stage

SHORTEST = 6
"""Digits of an id that are enough to name it."""

IMAGE_HASHES = ("source_hash", "target_hash", "erased_hash", "picture_hash", "file_hash")


class TakedownError(ImgDiffError, ValueError):
    """A source that cannot be named so."""


@dataclass(frozen=True, slots=True)
class TablePart:
    """Of one table, which rows stay, and the ids and the hashes of images of those that go."""

    stays: Booleans
    ids: list[str]
    images: set[str]


@dataclass(slots=True)
class ShardPart:
    """What goes of one shard, in its place or in the trash: `captions` by id, and of `tables`, None for all of one."""

    key: str
    file: PurePath
    ledger: Ledger
    stays: Booleans
    captions: list[str]
    spellings: list[str]
    sources: list[str]
    tables: dict[str, TablePart | None] = field(default_factory=dict)

    @property
    def is_all(self) -> bool:
        """Whether nothing of the shard is left."""
        return not self.stays.any()

    @property
    def images_file(self) -> PurePath:
        """Where the images of given pairs are."""
        return self.file.with_name(f"{self.key}.images.parquet")


def find_parts(home: Home, by: str, name: str) -> list[ShardPart]:
    """What there is of a source, in every shard; what an earlier removal did not come to is part of it.

    `by` says how it is named: by the id of a caption or pair or its beginning, by the SHA-256 of a picture, or by the
    file that it came from or a folder around it. Raises TakedownError, and ShardError for damaged captions.
    """
    wanted = {CAPTION: _with_id, PICTURE: _with_picture, FILE: _from_file}[by](name)
    begun = pa.array(list(read_removed(home).captions), pa.string())
    parts, found = [], set()
    for key, file, ledger in _shards(home):
        captions = read_table(file, ALL_COLUMNS)
        named = wanted(captions, ledger, key)
        found |= set(captions.filter(pa.array(named))["caption_id"].to_pylist())
        goes = named | np.asarray(pc.is_in(captions["caption_id"], value_set=begun))
        if goes.any():
            gone = captions.filter(pa.array(goes))
            ids, sources = gone["caption_id"].to_pylist(), pc.unique(gone["source"]).drop_null().to_pylist()
            part = ShardPart(key, file, ledger, ~goes, ids, list(respelt(gone["caption"])), sources)
            part.tables = _tables(ledger, key, captions.filter(pa.array(~goes))["caption_id"])
            parts.append(part)
    if by == CAPTION and len(found) > 1:
        raise TakedownError(f"{name}: {len(found)} captions have ids that begin so; give more digits.")
    return parts


def _shards(home: Home) -> Iterator[tuple[str, PurePath, Ledger]]:
    for key in shard_keys(home):
        yield key, home.captions / f"{key}.parquet", Ledger(home.ledger)
    for key in removed_keys(home):
        file = home.trash / key / CAPTIONS / f"{key}.parquet"
        if store_of(file).version(file) is not None:
            yield key, file, Ledger(home.trash / key / TABLES)


Wanted = Callable[[pa.Table, Ledger, str], Booleans]
"""Which captions of a shard are meant."""


def _with_id(name: str) -> Wanted:
    if not SHORTEST <= len(name) <= ID_LENGTH or not set(name) <= set("0123456789abcdef"):
        raise TakedownError(f"{name!r} is no id: give {SHORTEST} to {ID_LENGTH} hexadecimal digits.")
    return lambda captions, ledger, key: np.asarray(pc.starts_with(captions["caption_id"], name))


def _with_picture(name: str) -> Wanted:
    """Of given pairs by their own; of what was drawn, the caption that it was drawn for."""
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise TakedownError(
            f"{name!r} is no SHA-256 of a picture: 64 hexadecimal digits, as pages and tables have it."
        )

    def wanted(captions: pa.Table, ledger: Ledger, key: str) -> Booleans:
        found = _having(captions, name)
        for table in ("image_pairs", "derived_pairs", "removed_pairs"):
            try:
                rows = ledger.read(table, key)
                prompts = scan_pairs(ledger, "prompt_pairs", ["pair_id", "caption_id"], shards=[key])
            except (FileNotFoundError, DamagedTable):
                continue
            pairs = rows.filter(pa.array(_having(rows, name)))["pair_id"].combine_chunks()
            above = prompts.filter(pc.is_in(prompts["pair_id"], value_set=pairs))["caption_id"].combine_chunks()
            found |= np.asarray(pc.is_in(captions["caption_id"], value_set=above))
        return found

    return wanted


def _having(table: pa.Table, picture: str) -> Booleans:
    found = np.zeros(len(table), dtype=bool)
    for column in IMAGE_HASHES:
        if column in table.column_names:
            found |= np.asarray(pc.fill_null(pc.equal(table[column], picture), False))
    return found


def _from_file(name: str) -> Wanted:
    return lambda captions, ledger, key: np.array(
        [is_of_file(source, name) for source in captions["source"].to_pylist()], dtype=bool
    )


def is_of_file(source: str | None, name: str) -> bool:
    """Whether a row with this source came from a file of this name, with or without its folders, or from a folder."""
    return source is not None and f"/{name.strip('/')}/" in f"/{source}/"


def _tables(ledger: Ledger, key: str, captions: pa.ChunkedArray) -> dict[str, TablePart | None]:
    """Of each table of a shard, the part that goes where these captions stay."""
    staying: dict[str, pa.Array] = {CAPTION_FILE: captions.combine_chunks()}
    parts: dict[str, TablePart | None] = {}
    for stage in STAGES:
        staying[stage.name] = pa.array([], pa.string())
        try:
            table = ledger.read(stage.name, key)
            stays = _rows_that_stay(stage, table, staying)
        except FileNotFoundError:
            continue
        except (DamagedTable, KeyError):  # one so old that it does not say what its rows are made of
            parts[stage.name] = None
            continue
        staying[stage.name] = table.filter(pa.array(stays))[stage.id_column].combine_chunks()
        gone = table.filter(pa.array(~stays))
        names = [name for name in IMAGE_HASHES if name in gone.column_names]
        images = {value for name in names for value in gone[name].to_pylist() if value is not None}
        parts[stage.name] = TablePart(stays, gone[stage.id_column].to_pylist(), images)
    return parts


def _rows_that_stay(stage: Stage, table: pa.Table, staying: Mapping[str, pa.Array]) -> Booleans:
    numbers = origins(stage, table)
    stays = np.zeros(len(table), dtype=bool)
    for number, origin in enumerate(stage.above):
        there = np.asarray(pc.is_in(table[origin.id_column], value_set=staying[origin.table]))
        stays |= (numbers == number) & there
    return stays


def take_down(parts: Sequence[ShardPart]) -> None:
    """Let all of it go, for whoever knows that nobody is at work on these shards; captions last.

    Stopped in the middle, it goes on where `find_parts` finds the captions again.
    """
    for part in parts:
        store = store_of(part.file)
        for stage in STAGES:
            path = part.ledger.table_path(stage.name, part.key)
            part.ledger.drop_staged(stage.name, part.key, and_notes=part.is_all)
            _delete_beside(path)
            table = part.tables.get(stage.name)
            if part.is_all:
                store.delete(path.parent)
            elif table is not None:
                keep_rows(part.ledger, stage.name, part.key, table.stays, _record(part, stage, table))
            else:
                store.delete(path)
            sweep(part.ledger, stage.name, part.key)
        for file in (part.images_file, part.file):
            _delete_beside(file)
            if part.is_all:
                store.delete(file)
            elif store.version(file) is not None:
                write_again(file, part.stays)


def _delete_beside(path: PurePath) -> None:
    """What was set aside of a file lies beside it, under its name with an end."""
    for entry in store_of(path).find(path.parent, f"{path.name}.*"):
        if entry.address.parent == path.parent:
            store_of(path).delete(entry.address)


def _record(part: ShardPart, stage: Stage, table: TablePart) -> dict[str, object] | None:
    """The table's record with what is left of it; the rest tells of the run that made it."""
    record = part.ledger.record(stage.name, part.key)
    if record is None:
        return None
    rows = part.ledger.read(stage.name, part.key).filter(pa.array(table.stays))
    reasons = [name for name in rows["rejected_by"].to_pylist() if name is not None]
    counts = {name: reasons.count(name) for name in sorted(set(reasons))}
    kept = pc.sum(rows["kept"]).as_py() or 0
    return {**record, "rows": len(rows), "kept": kept, "rejections": counts, "output_hash": output_hash(rows)}
