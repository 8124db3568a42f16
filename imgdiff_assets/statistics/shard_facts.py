"""What there is to know of each shard at a glance: what it holds, what was made of it, what it takes on the disk."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imgdiff_assets.common.plain_text import bytes_text, counted, printable, shortened
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import caption_path, held_by, pair_images_path, read_captions
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import size_of
from imgdiff_assets.ledger.trash import bytes_of
from imgdiff_assets.stages.graph import COMMON_STAGES, SAMPLES, STAGES

SHOWN_CAPTIONS = 5
SHOWN_FILES = 20
SHOWN_PATH = 38


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table: its rows, how many are kept, when it was made, by which recipe and run, in how many seconds."""

    rows: int
    kept: int
    errors: int
    finished_at: str
    recipe: str
    run_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard. `holds` is `captions`, `pairs` or `pictures`, `rows` how many; `samples` is None before they
    are made.

    `files` counts the rows by the file they came from, where that is known: of captions that were restored from the
    tables made of them it is not. `bytes` is what captions, images and tables take.
    """

    key: str
    holds: str
    rows: int
    samples: int | None
    bytes: int
    files: dict[str, int] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    tables: dict[str, TableFacts] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def shard_facts(home: Home, key: str) -> ShardFacts:
    """The facts of one shard. Raises ShardError."""
    captions, ledger = read_captions(home, key), Ledger(home.ledger)
    tables = {}
    for stage in STAGES:
        record = ledger.record(stage.name, key)
        if record is not None:
            tables[stage.name] = TableFacts(**{name: record[name] for name in TableFacts.__dataclass_fields__})
    files = (caption_path(home, key), pair_images_path(home, key))
    return ShardFacts(
        key=key,
        holds=held_by(home, key),
        rows=len(captions),
        samples=tables[SAMPLES].kept if SAMPLES in tables else None,
        bytes=sum(map(size_of, files)) + bytes_of(home.ledger, key),
        files=dict(Counter(name for name in captions["source"].to_pylist() if name).most_common()),
        first=[text for text in captions["caption"].to_pylist()[:SHOWN_CAPTIONS] if text],
        tables=tables,
    )


def list_text(shards: Sequence[ShardFacts], removed: Sequence[str]) -> str:
    """A line per shard; below, those in the trash."""
    lines = [f"{'shard':<14}{'holds':<18}{'tables':>7}{'samples':>9}{'on disk':>10}   from"]
    for shard in shards:
        noun = shard.holds.removesuffix("s")
        file = printable(next(iter(shard.files), ""))
        # The end of a path tells more than its beginning.
        source = (file if len(file) <= SHOWN_PATH else f"...{file[-SHOWN_PATH:]}") + " ..." * (len(shard.files) > 1)
        samples = "" if shard.samples is None else f"{shard.samples:,}"
        made, holds, size = (
            f"{len(shard.tables)}/{max(len(COMMON_STAGES), len(shard.tables))}",
            counted(shard.rows, noun),
            bytes_text(shard.bytes),
        )
        lines.append(f"{shard.key:<14}{holds:<18}{made:>7}{samples:>9}{size:>10}   {source}".rstrip())
    if removed:
        lines.append(f"In the trash (`imgdiff shards restore KEY`): {', '.join(removed)}")
    return "\n".join(lines)


def facts_text(shard: ShardFacts) -> str:
    """All that is known of one shard."""
    noun = shard.holds.removesuffix("s")
    samples = "" if shard.samples is None else f", {counted(shard.samples, 'sample')}"
    lines = [f"{shard.key}: {counted(shard.rows, noun)}{samples}, {bytes_text(shard.bytes)}"]
    for file, count in list(shard.files.items())[:SHOWN_FILES]:
        lines.append(f"  {count:>9,} from {printable(file)}")
    lines += [f"  {shortened(printable(text), 90)}" for text in shard.first]
    if shard.tables:
        lines.append(f"{'table':<18}{'rows':>8}{'kept':>8}{'failed':>8}{'seconds':>9}  made, UTC         recipe, run")
    for name, table in shard.tables.items():
        numbers = f"{table.rows:>8,}{table.kept:>8,}{table.errors:>8,}{table.seconds:>9,.1f}"
        lines.append(f"{name:<18}{numbers}  {table.finished_at[:16]}  {table.recipe}, {table.run_id[:8]}")
    return "\n".join(lines)
