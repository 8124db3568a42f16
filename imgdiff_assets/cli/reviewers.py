"""`imgdiff reviewers`."""

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.group(short_help="Give reviewers a token each, so that nobody reviews under another's name.")
def reviewers() -> None:
    """Give reviewers a token each. Where nobody has one, names are taken on trust.

    \b
    imgdiff reviewers add Ann
    imgdiff reviewers list
    imgdiff reviewers remove Ann
    """


@reviewers.command()
@click.argument("name")
@as_json_option
def add(name: str, as_json: bool) -> None:
    """Give NAME a token, in the place of an earlier one. It is shown once; the home keeps its hash alone.

    \b
    imgdiff reviewers add Ann
    """
    from imgdiff_assets.ledger.reviewers import add_reviewer

    home = Home.from_environment()
    token = add_reviewer(home, name)
    if as_json:
        echo_json({"name": name, "token": token})
        return
    click.echo(token)
    click.echo(f"{name} gives it on the page Review of `imgdiff browse`. It is not shown again.", err=True)


@reviewers.command()
@click.argument("name")
def remove(name: str) -> None:
    """Take the token of NAME away; the verdicts given with it stay.

    Names are not taken on trust again: once somebody had a token, whoever reviews
    needs one.

    \b
    imgdiff reviewers remove Ann
    """
    from imgdiff_assets.ledger.reviewers import remove_reviewer

    remove_reviewer(Home.from_environment(), name)
    click.echo(f"{name} has no token any more. Names are not taken on trust again.")


@reviewers.command("list")
@as_json_option
def list_(as_json: bool) -> None:
    """Who has a token, and whose is not accepted since a line was damaged.

    \b
    imgdiff reviewers list --json
    """
    from imgdiff_assets.ledger.reviewers import REVIEWERS, read_reviewers

    home = Home.from_environment()
    known = read_reviewers(home)
    if as_json:
        unreadable = list(known.unreadable)
        echo_json({"reviewers": sorted(known.tokens), "distrusted": list(known.distrusted), "unreadable": unreadable})
        return
    if not known.asked_for:
        click.echo("Nobody has a token: names are taken on trust.")
    for name in sorted(known.tokens):
        click.echo(name)
    if known.unreadable:
        lines = ", ".join(map(str, known.unreadable))
        click.echo(
            f"{REVIEWERS.address(home)} is damaged in lines {lines}, which may have taken tokens away. Not accepted "
            f"until they are given anew: {', '.join(known.distrusted) or 'none'}.",
            err=True,
        )
