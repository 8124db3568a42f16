"""`imgdiff release`: all fresh shards as one folder to publish."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdiff_assets.cli.options import Number, SeveralValues, as_json_option, recipe_option, recipe_words
from imgdiff_assets.cli.run import all_missing_models_told
from imgdiff_assets.cli.terminal import ProgressBars, begin, echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.recipe.recipe import Recipe
    from imgdiff_assets.recipe.release_settings import ReleaseSettings
    from imgdiff_assets.release.safety import Safety

SHOWN_FILES = 20


@click.command(cls=SeveralValues, short_help="Gather all fresh shards into a release with a dataset card.")
@click.option("--version", help="Letters, digits, '.' and '-'.  [default: the next number, none twice]")
@click.option(
    "--compare-with",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER...",
    help="Look for its pictures and captions in these evaluation sets, and tell in the card.",
)
@click.option("--push", "repo", metavar="OWNER/NAME", help="Then publish it as this dataset of the Hugging Face Hub.")
@click.option("--yes", is_flag=True, help="Publish without asking.")
@click.option("--private", is_flag=True, help="Make the dataset a private one, where it is not there yet.")
@click.option(
    "--unsafe-words",
    multiple=True,
    metavar="WORDS...",
    help="What pictures must not show, other than the recipe's release.unsafe_words.",
)
@click.option(
    "--max-unsafe",
    type=Number(-1, 1),
    metavar="COSINE",
    help="Block publishing at such a score or a higher one.  [default: release.max_unsafe]",
)
@click.option(
    "--min-safe",
    type=Number(0, 1),
    help="Block it below such a score of the recipe's verifier, where it names one.  [default: release.min_safe]",
)
@click.option(
    "--safety", is_flag=True, help="Tell what the safety filter says of the pictures, without publishing anything."
)
@recipe_option
@as_json_option
def release(
    version: str | None,
    compare_with: Sequence[Path],
    repo: str | None,
    yes: bool,
    private: bool,
    unsafe_words: Sequence[str],
    max_unsafe: float | None,
    min_safe: float | None,
    safety: bool,
    recipe: str | None,
    as_json: bool,
) -> None:
    """Gather all shards that are up to date into IMGDIFF_HOME/releases/VERSION.

    The folder is what Hugging Face `datasets` reads, with a dataset card (funnel, scores, models and licences,
    thresholds, examples, diversity, cost), checksums for `sha256sum --check`, Croissant metadata, and what is added,
    gone or changed since the release before, each with its reason. When nothing has changed none is made. It is the
    asset `release` of the web UI. With --compare-with, the card tells of evaluation sets that hold the same pictures
    or texts: folders of pictures, texts, Parquet or Arrow files, as in the cache of Hugging Face.

    With --push it is then published: which files would go, and what the safety filter says of the pictures, is shown
    before, and asked. What it goes by is in the recipe (`release.unsafe_words`, `release.max_unsafe`,
    `release.min_safe`). It goes in one commit or not at all; stopped, the same command goes on.

    \b
    imgdiff release
    imgdiff release --version 1.0 --json
    imgdiff release --safety --unsafe-words "a naked person" gore --max-unsafe 0.27
    imgdiff release --push me/differences
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
    published = None
    otherwise = {"unsafe_words": list(unsafe_words) or None, "max_unsafe": max_unsafe, "min_safe": min_safe}
    limits = values.release.model_copy(update={name: each for name, each in otherwise.items() if each is not None})
    if safety and repo is None:
        _passed(_look(made.folder, values, limits))
    if repo is not None:
        if as_json and not yes:
            raise click.UsageError("with --json nobody is asked: say --yes, too")
        published = _publish(made.folder, repo, values, yes, private, limits)
    if as_json:
        echo_json({**made.to_json(), **({"published": published} if published is not None else {})})
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


def _look(folder: Path, recipe: "Recipe", limits: "ReleaseSettings") -> "Safety":
    """What the safety filter says of a release, which is shown."""
    from imgdiff_assets.release.safety import look_at, safety_text

    with ProgressBars("picture") as progress:
        found = look_at(folder, recipe, limits.unsafe_words, limits.max_unsafe, limits.min_safe, progress)
    click.echo(f"{safety_text(found)}\n", err=True)
    return found


def _passed(found: "Safety") -> None:
    """Raises ClickException where some did not."""
    if found.blocked:
        raise click.ClickException(
            f"Not published: {counted(len(found.blocked), 'sample')} did not pass the safety filter "
            f"({', '.join(found.blocked[:5])}). `imgdiff browse` shows them: reject them, or take another limit."
        )


def _publish(
    folder: Path,
    repo: str,
    recipe: "Recipe",
    yes: bool,
    private: bool,
    limits: "ReleaseSettings",
) -> dict[str, Any]:
    """Show what would go and what the safety filter says, ask, and publish; returns what was done, for JSON."""
    from imgdiff_assets.release.pushing import plan_push, push

    planned = plan_push(folder, repo)
    if planned.changes_nothing:
        click.echo(f"{repo} has release {planned.version} already.", err=True)
        return {**planned.to_json(), "commit": None}
    safety = _look(folder, recipe, limits)
    place = "" if planned.exists else f" (a new {'private' if private else 'public'} dataset)"
    what = f"{counted(len(planned.new), 'file')}, {planned.bytes_to_go / 1e6:,.1f} MB"
    click.echo(f"Release {planned.version} to {repo}{place}: {what}", err=True)
    for name in planned.new[:SHOWN_FILES]:
        click.echo(f"  {planned.files[name] / 1e6:10,.2f} MB  {name}", err=True)
    if len(planned.new) > SHOWN_FILES:
        click.echo(f"  ... and {len(planned.new) - SHOWN_FILES:,} more", err=True)
    for name in planned.gone[:SHOWN_FILES]:
        click.echo(f"  taken away: {name}", err=True)
    _passed(safety)
    if not yes and not click.confirm("Publish this?", err=True):
        raise click.ClickException("Nothing was published.")
    commit = push(planned, private)
    click.echo(f"Published: {commit}", err=True)
    return {**planned.to_json(), "commit": commit, "safety": safety.to_json()}
