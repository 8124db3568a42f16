"""`imgdiff certificate`."""

import click

from imgdiff_assets.cli.options import Number, as_json_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command(short_help="Tell how many of the samples are right, as far as reviewers have looked.")
@click.option("--score", default="captions.match", show_default=True, help="What bands and thresholds are of.")
@click.option("--bands", type=click.IntRange(1, 50), default=5, show_default=True, help="Bands of the score.")
@click.option("--confidence", type=Number(0.5, 0.999), default=0.95, show_default=True, help="Of the intervals.")
@recipe_option
@as_json_option
def certificate(score: str, bands: int, confidence: float, recipe: str | None, as_json: bool) -> None:
    """Precision of the samples with its interval: over all, by band of a score, and by threshold; agreement too.

    From the verdicts of `imgdiff browse` (its page Review). Samples that a reviewer chose by hand are left out, for
    nothing follows from them about the others.

    \b
    imgdiff certificate
    imgdiff certificate --score bounding_boxes.region_similarity --bands 10 --json
    """
    from imgdiff_assets.browser.index import Index
    from imgdiff_assets.browser.samples import certificate as certify
    from imgdiff_assets.browser.samples import judged_scores
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.statistics.certificate_text import to_text

    values = load_recipe(recipe)
    if score not in judged_scores(values):
        raise click.ClickException(f"--score {score}: the scores are {', '.join(judged_scores(values))}.")
    found = certify(Index(Home.from_environment()), values, score, bands, confidence)
    if as_json:
        echo_json(found.to_json())
    else:
        click.echo(to_text(found))
