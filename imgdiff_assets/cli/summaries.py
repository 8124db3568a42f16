"""What the commands say of an ingestion and of a run, as text and as JSON values."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from imgdiff_assets.common.plain_text import counted, listed

if TYPE_CHECKING:
    from imgdiff_assets.cli.run import RunReport
    from imgdiff_assets.ingest.ingest_report import IngestReport

LISTED_SHARDS = 3


def ingest_text(report: "IngestReport", noun: str = "caption") -> str:
    """One line: captions (or pairs) accepted, known already, rejected."""
    parts = [counted(report.accepted, f"new {noun}")]
    if report.shards:
        parts[0] += f" in {counted(len(report.shards), 'shard')} ({', '.join(listed(report.shards, LISTED_SHARDS))})"
    if report.duplicates:
        parts.append(f"{report.duplicates:,} known already")
    if report.rejected:
        parts.append(f"{len(report.rejected):,} rejected")
    return "; ".join(parts)


def ingest_json(report: "IngestReport") -> dict[str, Any]:
    """All that the report holds."""
    return asdict(report)


def run_text(report: "RunReport") -> str:
    """What was written and measured by which runs, and what was up to date."""
    lines = []
    if report.run_ids:
        measured = sum(sum(record["calls"].values()) for record in report.materializations)
        tables = counted(len(report.materializations), "table")
        lines.append(f"{tables} written, {counted(measured, 'measurement')} made; run {', '.join(report.run_ids)}")
    if report.fresh:
        lines.append(f"up to date already: {', '.join(listed(report.fresh, LISTED_SHARDS))}")
    return "\n".join(lines)


def run_json(report: "RunReport") -> dict[str, Any]:
    """All that the report holds."""
    return {"succeeded": report.succeeded, **asdict(report)}
