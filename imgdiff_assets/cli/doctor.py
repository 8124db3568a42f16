"""`imgdiff doctor`."""

import sys
from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option, recipe_words
from imgdiff_assets.cli.terminal import begin, echo_json


@click.command(cls=SeveralValues, short_help="Tell whether this machine can run a recipe.")
@recipe_option
@overrides_option
@as_json_option
def doctor(recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Devices, free memory, versions, weights, and which recipe fits; each problem with what to do about it.

    Loads no model and fetches nothing. Exit status 1 if the chosen recipe does not run here.

    \b
    imgdiff doctor
    imgdiff doctor --recipe modern
    imgdiff doctor --recipe paper --set captioner.base_url=http://gpu:8000/v1
    """
    begin("Looking at this machine", as_json)
    from imgdiff_assets.engine.needed_roles import needed_roles
    from imgdiff_assets.home import Home
    from imgdiff_assets.ingest.shards import shard_keys
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.doctor import examine
    from imgdiff_assets.setup.doctor_text import to_text

    values = load_recipe(recipe, overrides)
    home = Home.from_environment()
    needed = needed_roles(home, values, shard_keys(home))
    report = examine(home, values, recipe_words(recipe, overrides), needed)
    if as_json:
        echo_json(report.to_json())
    else:
        from imgdiff_assets.statistics.served import served_text

        click.echo(f"{to_text(report)}\n\n{served_text()}")
    if report.recipes[0].problems:
        sys.exit(1)
