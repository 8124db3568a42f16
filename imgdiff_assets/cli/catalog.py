"""`imgdiff catalog`."""

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home


@click.group(short_help="The DuckDB file that tracks every materialisation.")
def catalog() -> None:
    """The DuckDB file that tracks every materialisation: `catalog.duckdb` in IMGDIFF_HOME.

    It holds the tables `materializations` and `filter_statistics`, and a view of every table of the ledger.
    """


@catalog.command()
@as_json_option
def rebuild(as_json: bool) -> None:
    """Make the catalog anew from the ledger, of which it is only an index.

    \b
    imgdiff catalog rebuild
    """
    from imgdiff_assets.defs.catalog_index import rebuild as rebuild_catalog

    home = Home.from_environment()
    known = rebuild_catalog(home)
    if as_json:
        echo_json({"catalog": str(home.catalog), "materializations": known})
    else:
        click.echo(f"{home.catalog}: {counted(known, 'materialisation')}")
