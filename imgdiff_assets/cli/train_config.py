"""`imgdiff train-config`: what a trainer is given."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgdiff_assets.cli.evaluate import folder_of
from imgdiff_assets.cli.options import NewPath, Number, as_json_option
from imgdiff_assets.cli.terminal import echo_json

if TYPE_CHECKING:
    from imgdiff_assets.training.config import Trainer


def _trainer_named(ctx: click.Context, param: click.Parameter, name: str) -> "Trainer":
    from imgdiff_assets.training.config import TRAINERS

    return TRAINERS[click.Choice(list(TRAINERS)).convert(name, param, ctx)]


@click.command(short_help="Write the configuration by which a trainer trains a model on an export.")
@click.option(
    "--for",
    "trainer",
    required=True,
    callback=_trainer_named,
    metavar="TRAINER",
    help="llama-factory, ms-swift or trl.",
)
@click.option("--model", required=True, metavar="NAME", help="A hub id or folder of the model that is trained.")
@click.option("--on", "place", required=True, metavar="RELEASE|FOLDER", help="An export that the trainer reads.")
@click.option("--full", is_flag=True, help="Train all weights but the vision tower's.  [default: LoRA]")
@click.option("--cards", type=click.IntRange(1), default=1, show_default=True, help="On so many cards of one machine.")
@click.option(
    "--epochs", type=Number(min=0, min_open=True), default=1.0, show_default=True, help="How often all is read."
)
@click.option("--template", help="LLaMA-Factory's name of the chat template, where the model's name does not tell it.")
@click.option("--out", type=NewPath(), required=True, help="The folder for the configuration, and the trained model.")
@as_json_option
def train_config(
    trainer: "Trainer",
    model: str,
    place: str,
    full: bool,
    cards: int,
    epochs: float,
    template: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write the configuration by which a trainer trains a model on an exported folder, and say how it is started.

    TRL reads a release, or `--format hf`; the others the formats that `imgdiff export --help` names them with.

    \b
    imgdiff train-config --for trl --model Qwen/Qwen2.5-VL-3B-Instruct --on 1 --out training
    imgdiff train-config --for trl --model Qwen/Qwen2.5-VL-7B-Instruct --full --cards 8 --on exports/hf --out training
    """
    from imgdiff_assets.training.config import write_config
    from imgdiff_assets.training.wish import Wish

    wish = Wish(
        model, folder_of(place).absolute(), out.absolute(), full=full, cards=cards, epochs=epochs, template=template
    )
    files = write_config(trainer.name, wish)
    command = trainer.command(wish)
    if as_json:
        echo_json({"files": [str(file) for file in files], "command": command})
        return
    for file in files:
        click.echo(file)
    click.echo(f"Start it with: {command}")
    trained = shlex.quote(str(wish.out / "model"))
    first = "" if full else " merge what LoRA has learnt into the model, and"
    click.echo(f"Then{first}: imgdiff evaluate --model {trained} --on {shlex.quote(place)}")
