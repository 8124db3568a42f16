"""A picture of the ledger: kept samples, then rejected candidates with their reasons."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.pictures.sheet_drawing import Card, Section, draw_page
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.reading.verdicts import in_words
from imgdiff_assets.stages.graph import STAGES
from imgdiff_assets.stages.stage import UPSTREAM, Stage
from imgdiff_assets.statistics.funnel import funnel

KEPT_CARDS = 12
REJECTED_CARDS = 12
MOST_SHARDS = 8
"""A sheet shows a few dozen rows: it need not read a ledger of thousands of shards."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """What the cards of one shard are made from: captions by pair, the pairs that have images, and those images."""

    key: str
    captions: Mapping[str, Row]
    drawn: frozenset[str]
    images: SampleImages | None

    def pair(self, pair_id: str) -> tuple[Pixels, Pixels] | None:
        """The two images, or None where none were drawn."""
        return self.images.pairs(pair_id) if self.images is not None and pair_id in self.drawn else None


def write_contact_sheet(ledger: Ledger, path: Path, shards: Sequence[str] | None = None) -> int:
    """Draw the sheet as a PNG at `path`; returns how many kept samples it shows.

    Of each pair at most one sample is shown while there are others, and rejected candidates of every filter in turn.
    Which ones is a function of the rows' ids. Raises DamagedTable, StaleSample, OSError.
    """
    counts = funnel(ledger, shards)
    kept: list[Card] = []
    rejected: list[Card] = []
    for key in counts.shards[:MOST_SHARDS]:
        with _opened(ledger, key) as shard:
            kept += islice(_kept_cards(ledger, shard), KEPT_CARDS - len(kept))
            rejected += islice(_rejected_cards(ledger, shard), REJECTED_CARDS - len(rejected))
    dropped = sum(sum(stage.rejected.values()) + sum(stage.errors.values()) for stage in counts.stages)
    page = draw_page(
        [
            Section(
                f"{len(kept)} of {counts.samples:,} samples",
                f"Made from {counts.captions:,} captions. In the order in which a model is shown them; "
                "beneath them the answer that it is trained to give, and the question.",
                kept,
            ),
            Section(
                f"{len(rejected)} of {dropped:,} rejected candidates",
                "Each with the filter that dropped it. They stay in the ledger with all their scores.",
                rejected,
            ),
        ]
    )
    with atomic_file(path) as temporary:
        page.save(temporary, format="PNG")
    return len(kept)


@contextmanager
def _opened(ledger: Ledger, key: str) -> Iterator[_Shard]:
    names = ["pair_id", "source_caption", "target_caption"]
    pairs = scan_pairs(ledger, "image_pairs", names, pc.field("source_hash").is_valid(), [key]).to_pylist()
    prompts = scan_pairs(ledger, "prompt_pairs", names, shards=[key]).to_pylist()
    images = SampleImages(ledger, key) if pairs else None
    try:
        captions = {row["pair_id"]: row for row in [*prompts, *pairs]}
        yield _Shard(key, captions, frozenset(row["pair_id"] for row in pairs), images)
    finally:
        if images is not None:
            images.close()


def _kept_cards(ledger: Ledger, shard: _Shard) -> Iterator[Card]:
    samples = sorted(read_samples(ledger, shard.key), key=lambda sample: sample.sample_id)
    first = {sample.pair_id: sample.sample_id for sample in reversed(samples)}
    for sample in sorted(samples, key=lambda sample: first[sample.pair_id] != sample.sample_id):
        captions = shard.captions[sample.pair_id]
        said = {side: captions[f"{side}_caption"] for side in SIDES}
        if sample.erased_from is not None:
            said = {"source": said[sample.erased_from], "target": f"without {sample.subject}"}
        left, right = sample.shown.images
        yield Card(
            said[left.side],
            said[right.side],
            (shard.images(left), shard.images(right)) if shard.images is not None else None,
            sample.shown.box,
            label="",
            text=sample.shown.answer,
            note=sample.shown.question,
        )


def _rejected_cards(ledger: Ledger, shard: _Shard) -> Iterator[Card]:
    """One candidate of each reason, then a second of each, and so on."""
    by_reason: dict[tuple[str, str], list[tuple[Stage, Row]]] = {}
    for stage in (stage for stage in STAGES if "pair_id" in stage.schema.names):
        where = ~pc.field("kept") & (pc.field("rejected_by") != UPSTREAM)
        for row in scan(ledger, stage.name, _columns(stage), where, [shard.key]).to_pylist():
            by_reason.setdefault((stage.name, row["rejected_by"]), []).append((stage, row))
    columns = [sorted(rows, key=lambda entry: str(entry[1][entry[0].id_column])) for rows in by_reason.values()]
    for stage, row in filter(None, chain.from_iterable(zip_longest(*columns))):
        yield _rejected_card(shard, stage, row, _score_note(ledger.record(stage.name, shard.key) or {}, stage, row))


def _columns(stage: Stage) -> list[str]:
    scores = [step.score for step in stage.filters if step.score]
    boxes = [name for name in BOX_COLUMNS if name in stage.schema.names]
    return list(dict.fromkeys([stage.id_column, "pair_id", "kept", "rejected_by", "error", *scores, *boxes]))


def _rejected_card(shard: _Shard, stage: Stage, row: Row, note: str) -> Card:
    captions = shard.captions.get(row["pair_id"], {})
    x1, y1, x2, y2 = (row.get(name) for name in BOX_COLUMNS)
    return Card(
        captions.get("source_caption") or "",
        captions.get("target_caption") or "(no caption)",
        shard.pair(row["pair_id"]),
        None if x1 is None or y1 is None or x2 is None or y2 is None else (x1, y1, x2, y2),
        label=f"{stage.name}: {row['rejected_by']}",
        text=in_words(stage, row).partition(": ")[2],
        note=note,
    )


def _score_note(record: Mapping[str, Any], stage: Stage, row: Row) -> str:
    """The score that the rejecting filter looked at, and its limit."""
    thresholds = {statistic["filter"]: statistic["threshold"] for statistic in record.get("filters", ())}
    for step in stage.filters:
        if step.name == row["rejected_by"] and step.score and row[step.score] is not None:
            return f"{step.score} {row[step.score]:.3f}, {step.threshold} {thresholds.get(step.name)}"
    return ""
