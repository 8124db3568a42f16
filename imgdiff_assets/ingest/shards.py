"""Caption files in, shards out: the partitions of the graph.

A shard is an append-only group of captions, `<home>/captions/<key>.parquet`, with keys `shard-000000`, `shard-000001`
and so on. A caption is ingested once, whatever file it comes from; a line that cannot be used is kept in
`<home>/captions/rejected.jsonl` with its reason.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import append_lines, atomic_file

SHARD_KEY = re.compile(r"shard-[0-9]{6}")
MAX_CHARACTERS = 2_000
KEPT_TEXT = 200
LONGEST_CSV_FIELD = 2**31 - 1
DEFAULT_COLUMN = "caption"
DEFAULT_SHARD_SIZE = 1_000
LARGEST_SHARD = 1_000_000
SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")
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


class IngestError(ImgDiffError, ValueError):
    """A file that cannot be ingested at all; the message is one sentence."""


class ShardError(ImgDiffError, ValueError):
    """A shard that does not exist, or a key that is not one."""


@dataclass(frozen=True, slots=True)
class RejectedCaption:
    """A line that cannot be used: where it stood and why."""

    file: str
    line: int
    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of some files: new shards, captions accepted, duplicates dropped, lines rejected, files refused."""

    shards: list[str] = field(default_factory=list)
    accepted: int = 0
    duplicates: int = 0
    rejected: list[RejectedCaption] = field(default_factory=list)
    files_failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A line that holds no value, with the reason."""

    reason: str
    text: str

    def __str__(self) -> str:
        return self.text


def caption_id(caption: str) -> str:
    """The content hash that identifies a caption in every shard."""
    return content_id("caption", caption)


def check_key(key: str) -> str:
    """Return the key. Raises ShardError for anything but `shard-000123`, above all for a path."""
    if not SHARD_KEY.fullmatch(key):
        raise ShardError(f"{key!r} is not a shard key: keys look like shard-000123 (`imgdiff stats` lists them).")
    return key


def shard_keys(home: Home) -> list[str]:
    """The keys of all shards, in order."""
    return sorted(path.stem for path in home.captions.glob("shard-*.parquet") if SHARD_KEY.fullmatch(path.stem))


def known_shards(home: Home, keys: Sequence[str]) -> list[str]:
    """The shards meant: `keys`, or all. Raises ShardError for one that does not exist, or when there are none."""
    for key in keys:
        read_captions(home, key)
    known = sorted(set(keys)) or shard_keys(home)
    if not known:
        raise ShardError(f"There are no shards in {home.captions}: ingest captions first (`imgdiff ingest FILE`).")
    return known


def caption_path(home: Home, key: str) -> Path:
    """The file of one shard's captions. Raises ShardError when there is no such shard."""
    path = home.captions / f"{check_key(key)}.parquet"
    if not path.exists():
        keys = shard_keys(home)
        known = f"there are {keys[0]} to {keys[-1]}" if keys else "there are none yet: ingest captions first"
        raise ShardError(f"{key}: no such shard in {home.captions}; {known}.")
    return path


def read_captions(home: Home, key: str) -> pa.Table:
    """The captions of one shard; of given pairs, with all that is known of them. Raises ShardError."""
    path = caption_path(home, key)
    try:
        schema = PAIR_SCHEMA if has_pairs(home, key) else SCHEMA
        if FILLED.name in pq.read_schema(path).names:
            schema = schema.append(FILLED)
        return pq.read_table(path, schema=schema, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise ShardError(f"{path}: is not a readable caption table ({' '.join(str(error).split())}).") from error


def has_pairs(home: Home, key: str) -> bool:
    """Whether the shard's image pairs were given. Raises ShardError."""
    path = caption_path(home, key)
    try:
        return bool(PAIR_SCHEMA.names == pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False


def given_pair_id(caption_id: str) -> str:
    """The `pair_id` of a given pair."""
    return content_id("given_pair", caption_id)


def pair_images_path(home: Home, key: str) -> Path:
    """Where the images of a shard of given pairs are."""
    return home.captions / f"{key}.images.parquet"


def next_key(home: Home) -> str:
    """The key of the next new shard; for whoever holds the lock."""
    keys = shard_keys(home)
    return f"shard-{int(keys[-1].removeprefix('shard-')) + 1 if keys else 0:06d}"


def rejected_path(home: Home) -> Path:
    """Where lines and rows that cannot be used are kept."""
    return home.captions / "rejected.jsonl"


def ingest(
    files: Sequence[Path],
    home: Home,
    column: str | None = None,
    shard_size: int = DEFAULT_SHARD_SIZE,
    filled: Callable[[str], str] | None = None,
) -> IngestReport:
    """Add the captions of `files` as new shards of at most `shard_size` captions, each with what `filled` says of it.

    A file that cannot be read is reported and the others are ingested. Two ingestions wait for each other. Raises
    IngestError when `shard_size` is out of bounds, PermissionError when the home cannot be written.
    """
    if not 1 <= shard_size <= LARGEST_SHARD:
        raise IngestError(
            f"--shard-size {shard_size}: a shard holds 1 to {LARGEST_SHARD:,} captions, for a run has the columns of "
            "all its rows in memory; some thousands are handiest."
        )
    home.create()
    with FileLock(home.captions / ".lock"):
        return _ingest(files, home, column, shard_size, filled)


def _ingest(
    files: Sequence[Path], home: Home, column: str | None, shard_size: int, filled: Callable[[str], str] | None
) -> IngestReport:
    keys = shard_keys(home)
    seen = {identity for key in keys for identity in read_captions(home, key)["caption_id"].to_pylist()}
    rows: list[dict[str, object]] = []
    duplicates = 0
    rejected: list[RejectedCaption] = []
    files_failed = []
    for file in files:
        before = len(rows), duplicates, len(rejected)
        source = printable(str(file))
        try:
            # The whole file first: one that breaks off in the middle contributes nothing, and can be ingested again.
            for line, name, value in list(_read(file, column)):
                reason, caption = clean(value)
                if reason is not None:
                    rejected.append(RejectedCaption(source, line, name, reason, str(value)[:KEPT_TEXT]))
                    continue
                identity = caption_id(caption)
                if identity in seen:
                    duplicates += 1
                    continue
                seen.add(identity)
                rows.append({"caption_id": identity, "caption": caption, "source": source, "line": line})
        except IngestError as error:
            files_failed.append(printable(str(error)))
        else:
            if before == (len(rows), duplicates, len(rejected)):
                files_failed.append(f"{source}: holds no captions; nothing was ingested from it.")
    first = int(keys[-1].removeprefix("shard-")) + 1 if keys else 0
    new = []
    for number, start in enumerate(range(0, len(rows), shard_size)):
        key = f"shard-{first + number:06d}"
        table = pa.Table.from_pylist(rows[start : start + shard_size], schema=SCHEMA)
        if filled is not None:
            cells = [filled(caption) for caption in table["caption"].to_pylist()]
            table = table.append_column(FILLED, pa.array(cells, FILLED.type))
        with atomic_file(home.captions / f"{key}.parquet") as temporary:
            pq.write_table(table, temporary)
        new.append(key)
    if rejected:
        lines = [json.dumps(asdict(rejection)) for rejection in rejected]
        append_lines(rejected_path(home), lines)
    return IngestReport(new, len(rows), duplicates, rejected, files_failed)


def printable(text: str) -> str:
    """A path whose name is not UTF-8 can be neither stored nor printed as it is."""
    return text.encode("utf-8", "backslashreplace").decode()


def clean(value: object) -> tuple[str | None, str]:
    """Why a value is no caption (None if it is one), and the caption with its white space normalised."""
    if isinstance(value, _Unreadable):
        return value.reason, ""
    if value is None:
        return "is missing", ""
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not text", ""
    caption = " ".join(unicodedata.normalize("NFC", value).split())
    if not caption:
        return "is empty", ""
    if len(caption) > MAX_CHARACTERS:
        return f"has {len(caption):,} characters; captions have at most {MAX_CHARACTERS:,}", ""
    for character in caption:
        if unicodedata.category(character) in ("Cc", "Cs"):
            return f"has the control character U+{ord(character):04X}", ""
    return None, caption


def _read(file: Path, column: str | None) -> Iterator[tuple[int, str, object]]:
    """(line, field, value) of every row that is not blank. Raises IngestError."""
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise IngestError(f"{file}: unknown kind of file; captions come as {', '.join(SUFFIXES)}.")
    if suffix == ".txt" and column is not None:
        raise IngestError(f"{file}: --column {column} means nothing for a .txt file, which has one caption a line.")
    if suffix == ".parquet":
        return _read_parquet(file, column or DEFAULT_COLUMN)
    text = _text(file)
    if suffix == ".txt":
        return ((line, "caption", value) for line, value in enumerate(text.split("\n"), 1) if value.strip())
    return (_read_jsonl if suffix == ".jsonl" else _read_csv)(file, text, column or DEFAULT_COLUMN)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise IngestError(f"{file}: cannot be read: {error.strerror}.") from error
    try:
        # Not by "utf-8-sig", whose errors count bytes from behind the mark.
        return data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise IngestError(f"{file}:{line}: is not UTF-8 (byte {error.start}); save the file as UTF-8.") from None


def _no_column(file: Path, column: str, known: Sequence[str]) -> IngestError:
    return IngestError(f"{file}: has no column {column!r}; name one of {', '.join(known) or '(none)'} with --column.")


def _read_jsonl(file: Path, text: str, column: str) -> Iterator[tuple[int, str, object]]:
    found = False
    names: dict[str, None] = {}
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except (ValueError, RecursionError) as error:
            detail = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, column, _Unreadable(f"is not JSON ({detail})", source)
            continue
        if not isinstance(row, dict):
            yield line, column, _Unreadable("is not a JSON object", source)
            continue
        names.update(dict.fromkeys(row))
        found = found or column in row
        yield line, column, row.get(column)
    if names and not found:
        raise _no_column(file, column, list(names))


def _read_csv(file: Path, text: str, column: str) -> Iterator[tuple[int, str, object]]:
    # With the usual limit, one long field would cost all the others of its file.
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.reader(io.StringIO(text), strict=True)
    names: list[str] = []
    line = 1
    try:
        for cells in reader:
            if cells and not names:
                names = cells
                if column not in names:
                    raise _no_column(file, column, names)
            elif cells:
                position = names.index(column)
                yield line, column, cells[position] if position < len(cells) else None
            # A quoted field may go over several lines; the row is where it begins.
            line = reader.line_num + 1
    except csv.Error as error:
        raise IngestError(f"{file}:{line}: is not CSV ({error}).") from None


def _read_parquet(file: Path, column: str) -> Iterator[tuple[int, str, object]]:
    try:
        with pq.ParquetFile(file) as parquet:
            if column not in parquet.schema_arrow.names:
                raise _no_column(file, column, parquet.schema_arrow.names)
            line = 0
            for batch in parquet.iter_batches(columns=[column]):
                for value in batch.column(0).to_pylist():
                    line += 1
                    yield line, column, value
    except (pa.ArrowException, OSError) as error:
        raise IngestError(f"{file}: is not a readable Parquet file ({' '.join(str(error).split())}).") from None
