"""Verdicts as a table of comma-separated values, for spreadsheets: out, filled in, and in again."""

import csv
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from imgdiff_assets.common.plain_text import printable
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import CHOSEN, Review, ReviewError, read_reviews
from imgdiff_assets.round_trips.reviewable import reviewable
from imgdiff_assets.round_trips.taking import Taken, Taking

SAID = ("sample_id", "reviewer", "verdict", "reason", "note", "queue", "score", "first", "at")
SHOWN = ("shard", "pair_id", "task", "question", "answer")
"""For the eye, or a spreadsheet's filters: they are not read again."""

NEEDED = ("sample_id", "verdict")
FORMULA = "=+-@\t\r"
"""A cell that begins so is computed by spreadsheets; one that begins with `'` is text."""


def write_reviews(home: Home, file: Path, unreviewed: bool = False) -> int:
    """Write the verdicts that count, by sample and reviewer; returns how many rows there are.

    With `unreviewed`, also a row without a verdict for each sample that nobody has judged. Raises DamagedTable,
    OSError.
    """
    samples, reviews = reviewable(Ledger(home.ledger)), read_reviews(home).by_sample
    names = sorted({*reviews, *(samples if unreviewed else ())})
    count = 0
    with atomic_file(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow((*SAID, *SHOWN))
        for name in names:
            sample = samples.get(name)
            shown = [getattr(sample, column) if sample else "" for column in SHOWN]
            of_sample = reviews.get(name, {}).values() or [Review(name, "", "", "", at="")]
            for review in of_sample:
                told = [getattr(review, column) for column in SAID]
                writer.writerow([*map(_text, told), *(_text(printable(text)) for text in shown)])
                count += 1
    return count


def take_reviews(home: Home, file: Path, reviewer: str = "", token: str | None = None, dry_run: bool = False) -> Taken:
    """Record the verdicts of a table. A row without one says nothing, one that stands already changes nothing.

    `reviewer` is who speaks in rows that name nobody. Raises ReviewError for a file that is no such table or for a
    token, DamagedTable, OSError.
    """
    taking = Taking(home, file.name, token)
    for number, row in _rows(file):
        verdict = row["verdict"].strip().lower()
        if not verdict:
            taking.taken.empty += 1
            continue
        said = Review(
            sample_id=row["sample_id"].strip(),
            shard="",
            reviewer=row.get("reviewer", "").strip() or reviewer,
            verdict=verdict,
            note=row.get("note", ""),
            queue=row.get("queue", "").strip() or CHOSEN,
            score=row.get("score", "").strip(),
            at=row.get("at", "").strip(),
            first=row.get("first", "").strip(),
            reason=row.get("reason", "").strip(),
        )
        taking.attempt(number, row, lambda said=said: taking.review(said))  # type: ignore[misc]
    return taking.end(dry_run)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Raises ReviewError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise ReviewError(
                    f"{file}: has no column {', '.join(missing)}; `imgdiff reviews export` writes a table to fill in"
                )
            for number, row in zip(itertools.count(1), reader, strict=False):
                yield number, {str(name): _read(text) for name, text in row.items() if isinstance(text, str | None)}
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReviewError(f"{file}: is no table of comma-separated values in UTF-8: {error}") from error


def _text(value: str) -> str:
    return f"'{value}" if value[:1] in FORMULA + "'" and value else value


def _read(text: str | None) -> str:
    text = text or ""
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA + "'" and text[1:] else text
