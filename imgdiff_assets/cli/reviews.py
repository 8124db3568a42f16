"""`imgdiff reviews`: what people say of samples, out to other tools and in again."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.options import NewPath, as_json_option, dry_run_option, recipe_option
from imgdiff_assets.cli.terminal import ProgressBars, echo_json
from imgdiff_assets.common.plain_text import counted, listed
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from imgdiff_assets.round_trips.taking import Taken

LISTED = 20
given_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
reviewer_option = click.option("--reviewer", default="", metavar="NAME", help="Who speaks where nobody is named.")
token_option = click.option(
    "--token", envvar="IMGDIFF_REVIEWER_TOKEN", help="Yours, where reviewers have one. [env: IMGDIFF_REVIEWER_TOKEN]"
)


@click.group(short_help="Verdicts as a table, and to and from Label Studio.")
def reviews() -> None:
    """What people say of samples, out to spreadsheets and Label Studio, and in again.

    \b
    imgdiff reviews export reviews.csv --unreviewed    a table to fill in
    imgdiff reviews import reviews.csv                 takes what is new in it
    imgdiff reviews to-label-studio tasks/             tasks with boxes and texts to correct
    imgdiff reviews from-label-studio project.json     annotations, as verdicts and corrections
    """


@reviews.command(short_help="Write the verdicts that count as CSV.")
@click.argument("file", type=NewPath(), metavar="FILE")
@click.option("--unreviewed", is_flag=True, help="Also a row for each sample without a verdict, to be filled in.")
@as_json_option
def export(file: Path, unreviewed: bool, as_json: bool) -> None:
    """Write the verdicts that count as CSV, a row for each sample and reviewer, with question and answer.

    A cell that a spreadsheet would compute begins with an apostrophe, which the import takes away.

    \b
    imgdiff reviews export reviews.csv
    imgdiff reviews export reviews.csv --unreviewed
    """
    from imgdiff_assets.round_trips.review_table import write_reviews

    rows = write_reviews(Home.from_environment(), file, unreviewed)
    if as_json:
        echo_json({"file": str(file), "rows": rows})
    else:
        click.echo(f"{file}: {counted(rows, 'row')}")


@reviews.command("import", short_help="Take the verdicts of such a table.")
@given_file
@reviewer_option
@token_option
@dry_run_option
@as_json_option
def import_(file: Path, reviewer: str, token: str | None, dry_run: bool, as_json: bool) -> None:
    """Take the verdicts of a CSV file with the columns sample_id and verdict (accept, reject, withdrawn), and, where
    it has them, reviewer, reason, note, queue, score, first and at.

    A row without a verdict says nothing, one that stands already changes nothing: the same file may be given again. A
    row that cannot be taken is told with its reason, and kept in journals/refused.jsonl of IMGDIFF_HOME.

    \b
    imgdiff reviews import reviews.csv --dry-run
    imgdiff reviews import reviews.csv --reviewer Ann
    """
    from imgdiff_assets.round_trips.review_table import take_reviews

    _show(take_reviews(Home.from_environment(), file, reviewer, token, dry_run), dry_run, as_json)


@reviews.command("to-label-studio", short_help="Write samples as tasks of Label Studio.")
@click.argument("folder", type=NewPath(), metavar="FOLDER")
@click.option("--again", is_flag=True, help="Also those that were written before, under the same ids.")
@click.option(
    "--images-at",
    metavar="PREFIX",
    help="What stands before the path of each picture.  [default: /data/local-files/?d=<name of FOLDER>/]",
)
@recipe_option
@as_json_option
def to_label_studio(folder: Path, again: bool, images_at: str | None, recipe: str | None, as_json: bool) -> None:
    """Write the kept samples as tasks of Label Studio: both images, question and answer, and as predictions the boxes
    and texts that can be corrected. FOLDER gets config.xml (the labelling interface), tasks-1.json, and images/.

    A sample is written once: given again, the command writes those that came since into tasks-2.json, and so on.

    \b
    imgdiff reviews to-label-studio tasks/
    imgdiff reviews to-label-studio tasks/ --images-at https://pictures.example.org/tasks/
    """
    from imgdiff_assets.recipe.chosen_recipe import load_recipe
    from imgdiff_assets.round_trips.label_studio import write_tasks

    home, values = Home.from_environment(), load_recipe(recipe)
    with ProgressBars("sample") as progress:
        written = write_tasks(home, values.review.reasons, folder, images_at, again, progress)
    if as_json:
        echo_json(written)
    elif written["tasks"]:
        click.echo(f"{written['file']}: {counted(written['tasks'], 'task')}; the interface is {folder / 'config.xml'}")
    else:
        click.echo("Nothing new: every sample has been written before (--again writes them again).")


@reviews.command("from-label-studio", short_help="Take annotations as verdicts and corrections.")
@given_file
@reviewer_option
@token_option
@dry_run_option
@as_json_option
def from_label_studio(file: Path, reviewer: str, token: str | None, dry_run: bool, as_json: bool) -> None:
    """Take the annotations of tasks that `imgdiff reviews to-label-studio` wrote, from Label Studio's export as JSON.

    A choice is a verdict; a box that was dragged and a text that was changed are corrections, for the next
    `imgdiff run`. Who annotated is who speaks, unless --reviewer or --token says otherwise. Skipped tasks say nothing.
    The same export may be given again, and a task may be in it twice: of one person, the latest annotation counts.

    \b
    imgdiff reviews from-label-studio project-1.json --dry-run
    imgdiff reviews from-label-studio project-1.json --reviewer Ann
    """
    from imgdiff_assets.round_trips.annotations import take_annotations

    _show(take_annotations(Home.from_environment(), file, reviewer, token, dry_run), dry_run, as_json)


def _show(taken: "Taken", dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        echo_json({**asdict(taken), "dry_run": dry_run})
        return
    parts = [counted(taken.reviews, "new verdict"), counted(taken.corrections, "new correction")]
    parts += [f"{taken.known:,} known already"] if taken.known else []
    parts += [f"{taken.empty:,} that say nothing"] if taken.empty else []
    parts += [f"{len(taken.refused):,} refused"] if taken.refused else []
    click.echo(("Dry run, nothing was written: " if dry_run else "") + "; ".join(parts))
    for line in listed(taken.refused, LISTED):
        click.echo(f"  refused {line}")
    if taken.reviews + taken.corrections and not dry_run:
        click.echo("Next: imgdiff run")
