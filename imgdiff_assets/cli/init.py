"""`imgdiff init`."""

from pathlib import Path
from typing import Any

import click

from imgdiff_assets.cli.options import as_json_option
from imgdiff_assets.cli.terminal import echo_json
from imgdiff_assets.home import Home, expanded

HAVE = click.Choice(["captions", "pairs", "photographs"])
ON = click.Choice(["miniature", "card", "server"])


@click.command(short_help="Begin a home with a recipe that fits what you have.")
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--have", type=HAVE, help="Captions to draw, pairs of images, or pairs of photographs.")
@click.option("--on", type=ON, help="The miniature's models, this machine's card, or a server and what is here.")
@click.option("--url", help="Of the server: its base URL, such as http://gpu:8000/v1.")
@click.option("--model", help="The model that the server runs, which reads images.")
@click.option("--from", "source", metavar="FILE|FOLDER", help="Your captions or pairs, for the commands to come.")
@as_json_option
def init(folder: Path | None, as_json: bool, source: str | None, **answers: Any) -> None:
    """Begin a home with a commented recipe of its own, and tell what to type next. What no option says is asked.

    FOLDER is the new home (default: IMGDIFF_HOME). Nothing is fetched, and no home that has a recipe is touched.

    \b
    imgdiff init ~/my_pairs
    imgdiff init ~/my_captions --have captions --on card --from coco.txt
    imgdiff init ~/my_photos --have photographs --on server --url http://gpu:8000/v1 --model Qwen/Qwen3-VL-8B-Instruct
    """
    from imgdiff_assets.ledger.files import atomic_file
    from imgdiff_assets.setup.new_home import Wish, next_steps, recipe_text, warning

    home = Home(expanded(folder).absolute()) if folder is not None else Home.from_environment()
    if home.recipe.exists():
        raise click.ClickException(f"{home.recipe}: is there already; edit it, or name another folder.")
    have = answers["have"] or click.prompt("What do you have", type=HAVE)
    on = answers["on"] or click.prompt("What runs the models", type=ON)
    url = model = ""
    if on == "server":
        url = (answers["url"] or click.prompt("Its base URL, such as http://gpu:8000/v1")).strip()
        model = (answers["model"] or click.prompt("The model it runs, as it calls it")).strip()
    wish = Wish(have, on, url, model)
    text = recipe_text(wish, home)
    home.create()
    with atomic_file(home.recipe) as temporary:
        temporary.write_text(text, encoding="utf-8")
    steps, caution = next_steps(wish, home, source), warning(wish)
    if as_json:
        told = [{"command": command, "purpose": purpose} for command, purpose in steps]
        echo_json({"home": str(home.root), "recipe": str(home.recipe), "warning": caution, "next": told})
        return
    click.echo(f"{home.recipe}: begun as the shipped recipe {wish.recipe}, to be edited")
    if caution is not None:
        click.echo(f"Warning: {caution}", err=True)
    width = max(len(command) for command, _ in steps)
    click.echo("\nNext")
    for command, purpose in steps:
        click.echo(f"  {command:<{width}}  # {purpose}")
