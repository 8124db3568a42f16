"""`imgdiff evaluate`: what a model has learnt of differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.options import NewPath, SeveralValues, as_json_option
from imgdiff_assets.cli.terminal import ProgressBars, begin, echo_json
from imgdiff_assets.home import Home

if TYPE_CHECKING:
    from resources.captioner import CaptionerSettings


@click.command(cls=SeveralValues, short_help="Ask a model the questions that are held out, and score its answers.")
@click.option("--model", metavar="PATH|NAME", help="A folder or hub id of a model, or what it is served as.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server; without --model, its only model.")
@click.option("--on", "place", required=True, metavar="RELEASE|FOLDER", help="A release, or an export `--format hf`.")
@click.option("--split", default="validation", show_default=True, help="Which rows of it.")
@click.option("--task", "tasks", multiple=True, metavar="TASK...", help="Only these tasks.  [default: all there are]")
@click.option("--limit", type=click.IntRange(1), help="No more questions than these, always the same.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Questions at once.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=64, show_default=True, help="Of an answer.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), default="float32", show_default=True)
@click.option("--out", type=NewPath(), default=Path("evaluation"), show_default=True, help="A folder for the results.")
@click.option("--lmms-eval", is_flag=True, help="Ask nothing: write the questions as a task of lmms-eval to --out.")
@as_json_option
def evaluate(
    model: str | None,
    base_url: str | None,
    place: str,
    split: str,
    tasks: Sequence[str],
    limit: int | None,
    batch_size: int,
    max_new_tokens: int,
    dtype: str,
    out: Path,
    lmms_eval: bool,
    as_json: bool,
) -> None:
    """Ask a model the questions that are held out, and score its answers.

    Choices are scored exactly (same or different by d' too), boxes by intersection over union, differences by their
    agreement with what both sides show, other texts by F1 of their words. --out gets evaluation.json, a page
    evaluation.html, and answers.jsonl, from which a stopped evaluation goes on.

    \b
    imgdiff evaluate --model miniature:captioner --on exports/hf --split train --limit 20
    imgdiff evaluate --base-url http://localhost:8000/v1 --on 1 --out evaluation_served
    imgdiff evaluate --lmms-eval --on 1 --out lmms_task
    """
    begin(f"Reading {place}", as_json)
    from imgdiff_assets.training.evaluating import evaluate as evaluate_items
    from imgdiff_assets.training.held_out import read_items
    from imgdiff_assets.training.lmms_task import command_of, write_task

    folder = folder_of(place)
    items = read_items(folder, split, tasks, limit)
    if lmms_eval:
        click.echo(f"{write_task(items, max_new_tokens, out)}: {command_of(out)}")
        return
    if model is None and base_url is None:
        raise click.UsageError("name what is evaluated: --model PATH, or --base-url URL of a server.")
    settings = _settings(model, base_url, batch_size, max_new_tokens, dtype)
    from resources.backends.choice import backend_of, identity_of

    about = {"model": settings.model, "on": place, "split": split, "identity": identity_of(settings)}
    captioner = backend_of(settings).load(settings)
    with ProgressBars() as progress:
        result = evaluate_items(items, captioner.answer, about, out, progress)
    if as_json:
        echo_json({name: value for name, value in result.items() if name != "items"})
        return
    for task, told in result["tasks"].items():
        low, high = told["right_95"]
        more = f", d' {told['d_prime']:.2f}" if told.get("d_prime") is not None else ""
        click.echo(
            f"{task:18} {told['count']:6,} questions  score {told['score']:.3f}  "
            f"right {told['right']:.3f} ({low:.3f} to {high:.3f}){more}"
        )
    click.echo(out / "evaluation.html")


def folder_of(place: str) -> Path:
    """A folder by its path, or that of a release of the home by its version. Raises ClickException."""
    from imgdiff_assets.release.versions import releases

    home = Home.from_environment()
    for folder in (Path(place), home.releases / place):
        if folder.is_dir():
            return folder
    there = ", ".join(release.name for release in releases(home)) or "none: `imgdiff release` makes one"
    raise click.ClickException(f"--on {place}: is no folder and no release; releases in {home.root}: {there}.")


def _settings(
    model: str | None, base_url: str | None, batch_size: int, max_new_tokens: int, dtype: str
) -> "CaptionerSettings":
    from resources.captioner import CaptionerSettings
    from resources.chat_server import only_model

    name = model or only_model(str(base_url))
    values = {"batch_size": batch_size, "max_new_tokens": max_new_tokens, "dtype": dtype, "base_url": base_url}
    return CaptionerSettings(model=name, **{key: value for key, value in values.items() if value is not None})
