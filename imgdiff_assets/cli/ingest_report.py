"""What an ingestion did, shown to who gave the command: of captions and of pairs."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.options import recipe_words
from imgdiff_assets.cli.terminal import echo_json, this_command
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.ingest.ingest_report import IngestReport

LISTED_SHARDS = 3
LISTED_REJECTIONS = 20


def end_ingest(
    home: Home,
    report: "IngestReport",
    noun: str,
    licence: str | None,
    dry_run: bool,
    as_json: bool,
    recipe: str | None,
    remark: str | None,
) -> None:
    """Keep the licence with the shards that are new, and print all of it and what the models make of it.

    Exits with status 1 when nothing came in that was not there already.
    """
    if licence is not None and report.shards and not dry_run:
        from imgdiff_assets.ledger.licences import licence_shards

        licence_shards(home, report.shards, licence)
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
            run = f"{this_command()} run{recipe_words(recipe)}"
            click.echo(f"Next: {'the same without --dry-run' if dry_run else run}")
    if not report.accepted and not report.duplicates:
        sys.exit(1)


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
