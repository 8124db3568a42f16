"""`imgdiff models`: the weights that a recipe needs."""

import sys
from collections.abc import Sequence

import click

from imgdiff_assets.cli.options import SeveralValues, as_json_option, overrides_option, recipe_option, recipe_words
from imgdiff_assets.cli.terminal import begin, echo_json
from imgdiff_assets.common.plain_text import bytes_text

roles_option = click.option(
    "--roles",
    multiple=True,
    metavar="ROLE...",
    help="Only these, such as captioner.  [default: all that are needed]",
)


@click.group(short_help="List, fetch and check the models of a recipe.")
def models() -> None:
    """The models of a recipe: what they are, fetching them, and whether they work.

    \b
    imgdiff models list --recipe modern
    imgdiff models pull --recipe modern
    imgdiff models check --recipe modern

    A run fetches nothing: what is missing is named before it starts.
    """


@models.command("list", cls=SeveralValues, short_help="What a recipe needs, and what of it is here.")
@recipe_option
@overrides_option
@as_json_option
def list_models(recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Role, model, revision, size, licence, and where the weights are on this machine.

    The size of a model that is missing is what fetching it will take. Exit status 1 if any is missing.

    \b
    imgdiff models list --recipe paper
    imgdiff models list --recipe modern --json
    """
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.model_list import model_states, states_text

    states = model_states(load_recipe(recipe, overrides))
    if as_json:
        echo_json([state.to_json() for state in states])
    else:
        click.echo(states_text(states, recipe_words(recipe, overrides)))
    if not all(state.present for state in states):
        sys.exit(1)


@models.command(cls=SeveralValues, short_help="Fetch the weights that are missing.")
@roles_option
@recipe_option
@overrides_option
@as_json_option
def pull(roles: Sequence[str], recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Fetch the weights that a recipe names and this machine lacks, and print which commits they are.

    They go to the caches of Hugging Face (HF_HOME) and PyTorch (TORCH_HOME). Only what is loaded is fetched: one set
    of weights, as safetensors where there are any. A broken connection goes on where it broke; a command that was
    stopped goes on after the last whole file. A branch such as `main` moves: put the commit that is printed into the
    recipe, and everyone who has the recipe has the same models. HF_ENDPOINT names a mirror.

    \b
    imgdiff models pull --recipe modern
    imgdiff models pull --recipe paper --roles segmenter captioner
    """
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.model_list import pull as pull_models

    def log(text: str) -> None:
        click.echo(text, err=True)

    commits = pull_models(load_recipe(recipe, overrides), roles, log)
    if as_json:
        echo_json(commits)
    elif any(commits.values()):
        click.echo("# To keep exactly these models, put the commits into the recipe:\nmodels:")
        for role, commit in commits.items():
            if commit is not None:
                click.echo(f"  {role}:\n    revision: {commit}")


@models.command(cls=SeveralValues, short_help="Load each model and have it answer.")
@roles_option
@recipe_option
@overrides_option
@as_json_option
def check(roles: Sequence[str], recipe: str | None, overrides: Sequence[str], as_json: bool) -> None:
    """Load each model of the recipe, alone, and have it answer something: seconds, and the peak of memory.

    The memory is that of the accelerator; on a CPU, of the whole process. Exit status 1 if any fails.

    \b
    imgdiff models check
    imgdiff models check --recipe modern --roles pair_generator
    """
    begin("Loading the models, one after the other", as_json)
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.setup.model_check import check as check_models

    results = []
    for result in check_models(load_recipe(recipe, overrides), roles):
        results.append(result)
        if as_json:
            continue
        if result.failure is not None:
            click.echo(f"{result.role:<19} FAILED  {result.failure}")
            continue
        memory = "" if result.peak_memory is None else f"peak {bytes_text(result.peak_memory)}, "
        click.echo(
            f"{result.role:<19} loaded in {result.load_seconds:.1f} s, answered in {result.answer_seconds:.1f} s, "
            f"{memory}on {result.device}: {result.answer}"
        )
    if as_json:
        echo_json([result.to_json() for result in results])
    if any(result.failure is not None for result in results):
        sys.exit(1)
