"""`imgdiff estimate`."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Tell the hours, the disk and the cost of so many captions.")
@click.option("--captions", type=click.IntRange(1), help="How many captions.")
@click.option("--samples", type=click.IntRange(1), help="How many samples, instead.  [default: 1000]")
@click.option(
    "--card",
    type=click.Choice(["A100", "H100", "L4"]),
    default="A100",
    show_default=True,
    help="Whose published rates are taken where nothing better is known.",
)
@click.option("--price", type=click.FloatRange(0), help="What an hour costs, in whatever currency.")
@recipe_option
@overrides_option
@as_json_option
def estimate(
    captions: int | None,
    samples: int | None,
    card: str,
    price: float | None,
    recipe: str | None,
    overrides: Sequence[str],
    as_json: bool,
) -> None:
    """How long it will take, what it will take on the disk, and what it will cost. Loads nothing.

    Rates and shares are those that this home has measured by the recipe's own models; else those recorded by this
    project, of the miniature; else those that others published of models of the kind. Each line says which.

    \b
    imgdiff estimate --captions 10000 --recipe modern
    imgdiff estimate --samples 1000 --recipe modern --card H100 --price 2.5
    """
    from imgdiff_assets.recipe.recipe import load_recipe
    from imgdiff_assets.statistics.estimate import estimate as reckon
    from imgdiff_assets.statistics.estimate import estimate_text

    if captions is None and samples is None:
        samples = 1000
    found = reckon(Home.from_environment(), load_recipe(recipe, overrides), captions, samples, card, price)
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(estimate_text(found))
