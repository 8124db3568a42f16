"""`imgdiff what-if`."""

from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, recipe_option, shards_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home


@click.command("what-if", cls=SeveralValues, short_help="Tell what other thresholds would keep.")
@click.option("--set", "overrides", multiple=True, metavar="STAGE.KEY=VALUE...", help="The values to try.")
@click.option(
    "--sweep", "sweep_text", metavar="STAGE.KEY=A:B:N", help="Try N values from A to B: a table and a picture."
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Propose thresholds for the recipe's encoder from a sample that another one measured: this loads it.",
)
@click.option("--sample", type=click.IntRange(min=20), default=300, show_default=True, help="Rows for --calibrate.")
@shards_option
@recipe_option
@as_json_option
def what_if(
    overrides: Sequence[str],
    sweep_text: str | None,
    calibrate: bool,
    sample: int,
    shards: Sequence[str],
    recipe: str | None,
    as_json: bool,
) -> None:
    """What other thresholds would keep, from the stored scores alone: no model is loaded, nothing is changed.

    Prints the funnel now and then, the first rows that would enter or leave (all of them with --json), and how many
    rows would need measuring: let in by the new values, they have no scores for the filters that follow.

    \b
    imgdiff what-if --set filtered_pairs.min_similarity=0.85
    imgdiff what-if --set bounding_boxes.min_match=0.4 captions.min_match=0.45
    imgdiff what-if --sweep filtered_pairs.min_similarity=0.7:0.99:30
    imgdiff what-if --calibrate --set image_encoder.model=dinov3/
    """
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.what_if.sweep import draw_sweep, sweep
    from imgdiff_assets.what_if.what_if import what_if as ask

    home = Home.from_environment()
    keys, values = known_shards(home, shards), load_recipe(recipe, overrides)
    if calibrate:
        from imgdiff_assets.what_if.calibration import calibrate as propose

        proposed = propose(home, values, keys, sample)
        if as_json:
            echo_json(proposed.to_json())
        else:
            click.echo(proposed.to_text())
        return
    if sweep_text is None:
        answer = ask(home, values, keys)
        if as_json:
            echo_json(answer.to_json())
        else:
            click.echo(answer.to_text())
        return
    curve = sweep(home, values, keys, sweep_text)
    picture = home.local / f"what_if_{curve.stage}.{curve.key}.png"
    draw_sweep(curve).save(picture)
    if as_json:
        echo_json({**curve.to_json(), "picture": str(picture)})
    else:
        click.echo(f"{curve.to_text()}\n\nLook at {picture}")
