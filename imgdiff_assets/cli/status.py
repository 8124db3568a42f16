"""`imgdiff status`."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Tell on one screen how a home stands.")
@recipe_option
@overrides_option
@as_json_option
def status(recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """How a home stands: shards fresh, stale and failing, what works, what is next, room on the disk, the budget.

    Loads no model and no Dagster, and changes nothing.

    \b
    imgdiff status
    watch -n 60 imgdiff status
    """
    from imgdiff_assets.recipe.chosen_recipe import changed_since, load_recipe
    from imgdiff_assets.statistics.status import status as look

    found = look(Home.from_environment(), load_recipe(recipe, overrides))
    if changed := changed_since(recipe):
        found.notes.append(changed)
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(found.to_text())
