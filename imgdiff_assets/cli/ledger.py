"""`imgdiff ledger`."""

import sys

import click

from imgdiff_assets.cli.options import Number, as_json_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.common.plain_text import bytes_text, counted
from imgdiff_assets.home import Home


@click.group(short_help="Look after what is on disk.")
def ledger() -> None:
    """Look after what is on disk: the tables, captions, images and verdicts in IMGDIFF_HOME."""


@ledger.command()
@click.option("--add", is_flag=True, help="Give checksums to whole files of releases that wrote none.")
@click.option(
    "--rate",
    type=Number(0, min_open=True),
    metavar="MB",
    help="Read at most so many megabytes a second.  [default: no limit]",
)
@as_json_option
def verify(add: bool, rate: float | None, as_json: bool) -> None:
    """Read every byte and compare it with its checksum.

    A damaged table is moved aside, and the next run measures again what is lost of it; captions and given images are
    restored from the tables that were made of them. Exit status 1 if anything was damaged.

    \b
    imgdiff ledger verify
    imgdiff ledger verify --rate 50 --json
    """
    from imgdiff_assets.defs.verified_home import verify_home

    home = Home.from_environment()
    result = verify_home(home, None if rate is None else rate * 1e6, add, lambda text: click.echo(text, err=True))
    if as_json:
        echo_json(result.to_json())
    else:
        click.echo(f"{counted(result.files, 'file')} read, {bytes_text(result.bytes)}: as they were written")
        if missing := result.without_checksums - result.given_checksums:
            click.echo(f"{counted(missing, 'file')} without checksums, which `imgdiff ledger verify --add` gives them")
        if result.given_checksums:
            click.echo(f"{counted(result.given_checksums, 'file')} given checksums")
        for file, numbers in result.unreadable.items():
            lines = counted(len(numbers), "line")
            click.echo(f"{file}: {lines} cannot be read and passed over, the first is {numbers[0]}")
        for finding in result.findings:
            click.echo(str(finding))
        if result.findings:
            click.echo("`imgdiff run` makes again what is lost.")
    if result.findings:
        sys.exit(1)
