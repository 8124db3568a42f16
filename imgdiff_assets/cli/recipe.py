"""`imgdiff recipe`: what a recipe says and why, and recipes of one's own."""

from collections.abc import Sequence
from pathlib import Path

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.common.plain_text import counted


@click.group(short_help="Show, copy and compare recipes.")
def recipe() -> None:
    """What a recipe says, where each value comes from, and how recipes differ.

    The recipe is that of --recipe, else of IMGDIFF_RECIPE, else recipe.yaml in the home, else miniature.

    \b
    imgdiff recipe show
    imgdiff recipe copy --to my_recipe.yaml --recipe modern
    imgdiff recipe diff --with miniature --recipe modern
    """


@recipe.command(cls=SeveralValues, short_help="Each value, and where it comes from.")
@click.option("--all", "everything", is_flag=True, help="Show the values that are defaults, too.")
@recipe_option
@overrides_option
@as_json_option
def show(everything: bool, recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Each value, and where it comes from: shipped, a file, --set, or a default. It is YAML, and a recipe itself.

    \b
    imgdiff recipe show
    imgdiff recipe show --all --set filtered_pairs.min_similarity=0.85
    imgdiff recipe show --recipe modern --json
    """
    from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
    from imgdiff_assets.recipe.sources import show as show_values
    from imgdiff_assets.recipe.sources import values_of

    chosen = chosen_recipe(recipe)
    values = values_of(load_recipe(recipe, overrides), chosen, overrides)
    if as_json:
        told = {".".join(each.path): {"value": each.value, "source": each.source} for each in values}
        echo_json({"recipe": chosen.name, "path": str(chosen.path), "chosen_by": chosen.by, "values": told})
    else:
        click.echo(show_values(chosen, values, everything))


@recipe.command(cls=SeveralValues, short_help="Write it into a file of your own.")
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="The file.  [default: recipe.yaml in IMGDIFF_HOME]"
)
@recipe_option
@overrides_option
@as_json_option
def copy(target: Path | None, recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Write the recipe, with its comments, into a file of your own, with the values of --set in it.

    Without --to it becomes the home's own recipe, which every later command goes by. No file is overwritten.

    \b
    imgdiff recipe copy --recipe modern
    imgdiff recipe copy --to strict.yaml --set filtered_pairs.min_similarity=0.85
    """
    from imgdiff_assets.home import Home, expanded
    from imgdiff_assets.ledger.files import atomic_file
    from imgdiff_assets.recipe.chosen_recipe import chosen_recipe
    from imgdiff_assets.recipe.recipe_text import copy_text

    path = expanded(target or Home.from_environment().recipe).absolute()
    if path.exists():
        raise click.ClickException(f"{path}: is there already; name another file with --to.")
    chosen = chosen_recipe(recipe)
    name = path.parent.name if path.name == "recipe.yaml" else path.stem
    text = copy_text(chosen, overrides, name)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if as_json:
        echo_json({"recipe": str(path), "copy_of": chosen.name})
    elif target is None:
        click.echo(f"{path}: what every command goes by in this home")
    else:
        click.echo(f"{path}: use it by --recipe {path}, or IMGDIFF_RECIPE")


@recipe.command(cls=SeveralValues, short_help="How it differs from another.")
@click.option("--with", "other", metavar="NAME|FILE", help="The other recipe.  [default: what made the tables]")
@recipe_option
@overrides_option
@as_json_option
def diff(other: str | None, recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """The values by which the recipe differs from another, or from what the tables of this home were made with.

    \b
    imgdiff recipe diff                             which values a run would change
    imgdiff recipe diff --with miniature --recipe modern
    """
    from imgdiff_assets.engine.changed_values import changed_values
    from imgdiff_assets.home import Home
    from imgdiff_assets.ingest.shards import shard_keys
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.recipe.sources import differences, flow

    mine = load_recipe(recipe, overrides)
    if other is None:
        home = Home.from_environment()
        changed = changed_values(home, mine, shard_keys(home))
        if as_json:
            echo_json({change: sorted(shards) for change, shards in changed.items()})
        else:
            lines = [f"{change}  ({counted(len(shards), 'shard')})" for change, shards in changed.items()]
            click.echo("\n".join(lines) or f"All tables were made with the values of the {mine.name} recipe.")
        return
    found = differences(load_recipe(other), mine)
    if as_json:
        echo_json({key: {"theirs": theirs, "mine": ours} for key, theirs, ours in found})
    else:
        lines = [f"{key}: {flow(theirs)} → {flow(ours)}" for key, theirs, ours in found]
        click.echo("\n".join(lines) or "They say the same.")
