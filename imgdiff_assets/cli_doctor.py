"""`imgdiff doctor`."""

import sys

import click

from imgdiff_assets.terminal import as_json_option, echo_json, recipe_option


@click.command(short_help="Tell whether this machine can run a recipe.")
@recipe_option
@as_json_option
def doctor(recipe: str | None, as_json: bool) -> None:
    """Devices, free memory, versions, weights, and which recipe fits; each problem with what to do about it.

    Loads no model and fetches nothing. Exit status 1 if the chosen recipe does not run here.

    \b
    imgdiff doctor
    imgdiff doctor --recipe modern
    """
    from imgdiff_assets.doctor import examine
    from imgdiff_assets.doctor_text import to_text
    from imgdiff_assets.home import Home
    from imgdiff_assets.recipe import load_recipe

    report = examine(Home.from_environment(), load_recipe(recipe))
    if as_json:
        echo_json(report.to_json())
    else:
        click.echo(to_text(report))
    if report.recipes[0].problems:
        sys.exit(1)
