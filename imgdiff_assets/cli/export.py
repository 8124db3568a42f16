"""`imgdiff export`: the kept samples as a trainer reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.options import NewPath, SeveralValues, as_json_option, recipe_option, shards_option
from imgdiff_assets.cli.terminal import ProgressBars, begin, echo_json
from imgdiff_assets.common.plain_text import counted
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.export.format import Format


class ExportCommand(SeveralValues):
    """Its help lists the formats and the tasks, each by what it says of itself."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from imgdiff_assets.method.tasks import TASKS

        super().format_help_text(ctx, formatter)
        with formatter.section("Formats"):
            formatter.write_dl([(form.name, form.described) for form in _formats().values()])
        with formatter.section("Tasks"):
            formatter.write_text(", ".join(TASKS))
            formatter.write_text("preference: a chosen and a rejected answer to each question, of any of them")


def _formats() -> "dict[str, Format]":
    from imgdiff_assets.export.formats import formats
    from resources.installed import BrokenPart

    try:
        return formats()
    except BrokenPart as error:
        raise click.ClickException(str(error)) from error


def _format_named(ctx: click.Context, param: click.Parameter, name: str) -> "Format":
    """The formats there are, are looked for when one is asked for: other commands start without them."""
    known = _formats()
    return known[click.Choice(list(known)).convert(name, param, ctx)]


@click.command(cls=ExportCommand, short_help="Write the kept samples as a trainer reads them.")
@click.option(
    "--format",
    "form",
    callback=_format_named,
    shell_complete=lambda ctx, param, begun: [name for name in _formats() if name.startswith(begun)],
    required=True,
    metavar="FORMAT",
    help="What the trainer reads.",
)
@click.option("--out", type=NewPath(), required=True, help="A new or empty folder, or an older export.")
@click.option(
    "--task", "tasks", multiple=True, metavar="TASK...", help="Only these tasks.  [default: all that have samples]"
)
@click.option("--clean", is_flag=True, help="Leave the images clean: the question says where to look, in numbers.")
@click.option(
    "--single-image", is_flag=True, help="Both images in one picture, a 20 pixel bar between: for single-image models."
)
@shards_option
@recipe_option
@as_json_option
def export(
    form: "Format",
    out: Path,
    tasks: Sequence[str],
    clean: bool,
    single_image: bool,
    shards: Sequence[str],
    recipe: str | None,
    as_json: bool,
) -> None:
    """Write the kept samples as a trainer reads them, the regions they are about in red boxes.

    Training samples that are near-duplicates of validation samples of another shard are left out, and named in
    export.json. The folder is there whole or not at all: what was stopped goes on when the command is given again, and
    the same samples give the same bytes. What was made with other values than the recipe's is told.

    \b
    imgdiff export --format llava --out exports/llava
    imgdiff export --format llava --single-image --task difference which_image --out exports/one_picture
    imgdiff export --format hf --clean --out exports/hf
    imgdiff export --format hf --task preference --out exports/preferences   chosen and rejected answers
    """
    home = Home.from_environment()
    begin(f"Gathering the samples of {home.root}", as_json)
    from imgdiff_assets.engine.changed_values import changed_text, changed_values
    from imgdiff_assets.export.exporting import export as export_samples
    from imgdiff_assets.export.options import Options
    from imgdiff_assets.export.preferences import PREFERENCE
    from imgdiff_assets.ingest.shards import known_shards
    from imgdiff_assets.ledger.ledger import Ledger
    from imgdiff_assets.method.tasks import task_named
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    ledger = Ledger(home.ledger)
    chosen = set(known_shards(home, shards)) if shards else set(ledger.shards("fine_tune_set"))
    asked = tuple(sorted({task_named(name).name for name in tasks if name != PREFERENCE})) or None
    options = Options(asked, not clean, single_image, PREFERENCE in tasks)
    values = load_recipe(recipe)
    otherwise = changed_values(home, values, chosen)
    if otherwise:
        lines = "\n".join(changed_text(otherwise))
        told = f"made with other values than the {values.name} recipe has, and exported as they are"
        click.echo(f"Warning: samples were {told} (`imgdiff run` makes them anew):\n{lines}", err=True)
    with ProgressBars() as progress:
        report = export_samples(ledger, sorted(chosen), form, out, options, progress)
    if as_json:
        made_otherwise = {change: sorted(keys) for change, keys in otherwise.items()}
        echo_json({"out": str(out), **report, "made_otherwise": made_otherwise})
        return
    click.echo(
        f"{out}: " + ", ".join(f"{counted(count, f'{split} sample')}" for split, count in report["samples"].items())
    )
    if len(report["tasks"]) > 1:
        click.echo("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(report["tasks"].items())))
    if left_out := report["near_duplicates_left_out"]:
        click.echo(
            f"  {counted(len(left_out), 'near-duplicate')} of validation samples left out; export.json names them"
        )
    click.echo(f"For {form.reads}. In Python:\n\n{form.loading_from(str(out))}")
