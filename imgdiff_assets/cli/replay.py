"""`imgdiff replay`."""

import sys

import click

from imgdiff_assets.cli.options import as_json_option, recipe_option
from imgdiff_assets.cli.terminal import begin, echo_json
from imgdiff_assets.home import Home


@click.command(short_help="Make a sample again, and compare.")
@click.argument("identity", metavar="ID")
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often a served model is asked: its answers may hang on what else it is asked.",
)
@recipe_option
@as_json_option
def replay(identity: str, times: int, recipe: str | None, as_json: bool) -> None:
    """Make a sample again from its lineage alone, and say what differs. ID is of a sample, a region or a pair.

    Every measurement above it is made again as recorded: prompts, seed, settings and models, known by the content of
    their weights. Only the devices are the recipe's. Exit status 0 when all is the same, or the same within the
    rounding of another batch or device; 1 when something differs. What a server answered is asked for several times,
    and how often it agrees is told: it counts as the same where one answer does.

    \b
    imgdiff replay 3ea21c9dc2f218e3
    imgdiff replay 3ea21c --json
    """
    begin(f"Making {identity} again", as_json)
    from imgdiff_assets.lineage.compare import Verdict
    from imgdiff_assets.lineage.replay import replay as make_again
    from imgdiff_assets.lineage.replay_text import to_text
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    result = make_again(Home.from_environment(), load_recipe(recipe), identity, times=times)
    if as_json:
        echo_json(result.to_json())
    else:
        click.echo(to_text(result))
    if result.verdict == Verdict.DIFFERS:
        sys.exit(1)
