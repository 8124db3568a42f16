"""`imgdiff estimate`."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import Count, SeveralValues, as_json_option, overrides_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Tell the hours, the disk and the cost of so many captions.")
@click.option("--captions", type=Count(), help="How many captions, as in 10000 or 1e6.")
@click.option("--samples", type=click.IntRange(1), help="How many samples, instead.  [default: 1000]")
@click.option(
    "--card",
    type=click.Choice(["H100", "A100", "L4"]),
    default="H100",
    show_default=True,
    help="Whose published rates are taken where nothing better is known.",
)
@click.option("--gpus", type=click.IntRange(1), help="How many cards, each with a worker of one run.")
@click.option("--price", type=click.FloatRange(0), help="What an hour costs, in whatever currency.")
@recipe_option
@overrides_option
@as_json_option
def estimate(
    captions: int | None,
    samples: int | None,
    card: str,
    gpus: int | None,
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
    imgdiff estimate --captions 1e6 --gpus 64 --recipe modern
    imgdiff estimate --samples 1000 --recipe modern --card H100 --price 2.5
    """
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.statistics.estimate import estimate as reckon
    from imgdiff_assets.statistics.estimate import estimate_text, published_rates
    from imgdiff_assets.statistics.many_cards import many_cards_lines, spread

    if captions is None and samples is None:
        samples = 1000
    home, values = Home.from_environment(), load_recipe(recipe, overrides)
    found = reckon(home, values, captions, samples, card, price)
    if as_json:
        echo_json({**found.to_json(), **({"many_cards": spread(found, gpus).to_json()} if gpus else {})})
        return
    click.echo(estimate_text(found))
    if gpus:
        as_the_paper = reckon(home, values, published_rates()["paper"]["captions"], card=card)
        click.echo("\n".join(["", *many_cards_lines(found, gpus, as_the_paper)]))
