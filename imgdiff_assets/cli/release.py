"""`imgdiff release`: all fresh shards as one folder to publish."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, recipe_option, recipe_words
from imgdiff_assets.cli.run import all_missing_models_told
from imgdiff_assets.cli.terminal import ProgressBars, begin, echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home


@click.command(cls=SeveralValues, short_help="Gather all fresh shards into a release with a dataset card.")
@click.option("--version", help="Letters, digits, '.' and '-'.  [default: the next number, none twice]")
@click.option(
    "--compare-with",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER...",
    help="Look for its pictures and captions in these evaluation sets, and tell in the card.",
)
@recipe_option
@as_json_option
def release(version: str | None, compare_with: Sequence[Path], recipe: str | None, as_json: bool) -> None:
    """Gather all shards that are up to date into IMGDIFF_HOME/releases/VERSION.

    The folder is what Hugging Face `datasets` reads, with a dataset card (funnel, scores, models and licences,
    thresholds, examples, diversity, cost), checksums for `sha256sum --check`, Croissant metadata, and what is added,
    gone or changed since the release before, each with its reason. When nothing has changed none is made. It is the
    asset `release` of the web UI. With --compare-with, the card tells of evaluation sets that hold the same pictures
    or texts: folders of pictures, texts, Parquet or Arrow files, as in the cache of Hugging Face.

    \b
    imgdiff release
    imgdiff release --version 1.0 --json
    imgdiff release --compare-with benchmarks/ ~/.cache/huggingface/hub/datasets--MMVP--MMVP
    """
    home = Home.from_environment()
    begin(f"Gathering the fresh shards of {home.root}", as_json)
    import dagster as dg

    from imgdiff_assets.defs.dagster_instance import dagster_instance
    from imgdiff_assets.defs.release_metadata import metadata_of
    from imgdiff_assets.ingest.shards import shard_keys
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.release.making import make_release

    values = load_recipe(recipe)
    told = all_missing_models_told(home, values, shard_keys(home), (), recipe_words(recipe))
    with told, ProgressBars() as progress:
        made = make_release(home, values, version, progress, lambda text: click.echo(text, err=True), compare_with)
    if made.made:
        with dagster_instance(home) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("release", metadata=metadata_of(made)))
    if as_json:
        echo_json(made.to_json())
        return
    if not made.made:
        click.echo(f"Nothing has changed since {made.folder}.")
        return
    samples = ", ".join(f"{count:,} {split}" for split, count in made.samples.items())
    click.echo(f"{made.folder}: {samples} samples from {counted(len(made.shards), 'shard')}")
    if made.not_fresh:
        click.echo(f"  left out, not up to date: {', '.join(made.not_fresh[:5])} (`imgdiff run` brings them in)")
    if made.failed_rows:
        click.echo(f"  {counted(made.failed_rows, 'row')} could not be measured (`imgdiff run --retry-failed`)")
    for kind, reasons in made.changed.items():
        for why, count in reasons.items():
            click.echo(f"  {kind} {count:,}: {why}")
