"""`imgdiff lineage`."""

import click

from imgdiff_assets.cli.options import as_json_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(short_help="Tell where a row came from and what became of it.")
@click.argument("identity", metavar="ID")
@recipe_option
@as_json_option
def lineage(identity: str, recipe: str | None, as_json: bool) -> None:
    """Where a row came from and what became of it: ID is any id of any table, or its first six digits.

    The tree leads from the caption down through the row (marked ◀) to all that was made of it: scores beside the
    thresholds of the recipe, why a row was rejected, seed, models, run, recipe and code version.

    \b
    imgdiff lineage 3ea21c9dc2f218e3
    imgdiff lineage 3ea21c --json
    """
    from imgdiff_assets.lineage.lineage import lineage as find_lineage
    from imgdiff_assets.lineage.lineage_text import to_text
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    tree = find_lineage(Home.from_environment(), load_recipe(recipe), identity)
    if as_json:
        echo_json(tree.to_json())
    else:
        click.echo(to_text(tree))
