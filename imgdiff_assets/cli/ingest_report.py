"""What an ingestion did, shown to who gave the command: of captions and of pairs."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.terminal import echo_json, this_command
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.ingest.ingest_report import IngestReport

LISTED_SHARDS = 3
LISTED_REJECTIONS = 20


def show_ingest(
    report: "IngestReport", as_json: bool, dry_run: bool, noun: str = "caption", remark: str | None = None
) -> None:
    """Print all of it and what the models make of it.

    Exits with status 1 when nothing came in that was not there already.
    """
    for sentence in report.files_failed:
        click.echo(f"Error: {sentence}", err=True)
    if as_json:
        echo_json({**asdict(report), "dry_run": dry_run, "remark": remark})
    else:
        click.echo(("Dry run, nothing was written: " if dry_run else "") + ingest_text(report, noun))
        for line in listed(report.rejected, LISTED_REJECTIONS, report.rejected_count):
            click.echo(f"  rejected {line}")
        for line in listed(report.not_looked_at, LISTED_REJECTIONS):
            click.echo(f"  not looked at: {line}")
        if remark is not None:
            click.echo(remark)
        if report.accepted:
            click.echo("Next: the same without --dry-run" if dry_run else f"Next: {this_command()} run")
    if not report.accepted and not report.duplicates:
        sys.exit(1)


def note_licence(home: Home, report: "IngestReport", licence: str | None, dry_run: bool) -> None:
    """Keep the licence with the shards that are new."""
    if licence is not None and report.shards and not dry_run:
        from imgdiff_assets.ledger.licences import licence_shards

        licence_shards(home, report.shards, licence)


def ingest_text(report: "IngestReport", noun: str = "caption") -> str:
    """One line: captions (or pairs) accepted, known already, rejected, files not looked at."""
    parts = [counted(report.accepted, f"new {noun}")]
    if report.shards:
        parts[0] += f" in {counted(len(report.shards), 'shard')} ({', '.join(listed(report.shards, LISTED_SHARDS))})"
    if report.duplicates:
        parts.append(f"{report.duplicates:,} known already")
    if report.rejected_count:
        parts.append(f"{report.rejected_count:,} rejected")
    if report.not_looked_at:
        parts.append(f"{counted(len(report.not_looked_at), 'file')} not looked at")
    return "; ".join(parts)
