"""`imgdiff map`."""

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import begin, echo_json
from imgdiff_assets.home import Home


@click.command("map", short_help="Place all pairs in a plane, alike ones near each other, for the page Map.")
@click.option("--by", type=click.Choice(["umap", "pca"]), help="How. umap where it is installed (the extra `map`).")
@as_json_option
def map_(by: str | None, as_json: bool) -> None:
    """Place all pairs in a plane, alike ones near each other: from the image vectors in the ledger, without a model.

    Once, into map.parquet of IMGDIFF_HOME, for the page Map of `imgdiff browse`; again when there are more pairs.
    Vectors of one model alone are placed: of the one that most pairs have.

    \b
    imgdiff map
    imgdiff map --by pca --json
    """
    from imgdiff_assets.browser.index import Index
    from imgdiff_assets.browser.plane import make_plane, plane_path

    home = Home.from_environment()
    begin(f"Placing the pairs of {home.root}", as_json)
    plane = make_plane(Index(home), by)
    if as_json:
        echo_json({"pairs": len(plane.pairs), "file": str(plane_path(home)), **plane.about})
    else:
        click.echo(f"{len(plane.pairs):,} pairs placed by {plane.about['method']}: {plane_path(home)}")
