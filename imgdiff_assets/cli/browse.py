"""`imgdiff browse`."""

import importlib.util
from contextlib import suppress

import click

from imgdiff_assets.cli.options import recipe_option
from imgdiff_assets.cli.serving import address_of, listen, serving_options
from imgdiff_assets.home import Home

NEEDED = ("jinja2", "starlette", "uvicorn")


@click.command(short_help="Look at samples and rejected candidates in a web browser.")
@serving_options(port=8080)
@click.option(
    "--dagster-url",
    default="http://127.0.0.1:3000",
    show_default=True,
    metavar="URL",
    help="Where `imgdiff ui` is, for links to runs; empty for no links.",
)
@recipe_option
def browse(host: str, port: int, allow_remote: bool, token: str | None, dagster_url: str, recipe: str | None) -> None:
    """Look at every sample and every rejected candidate in a web browser: funnel, gallery, lineage, review,
    thresholds that are tried out by dragging a line, and two releases beside each other.

    Reads the ledger, also while a run writes it; writes nothing but reviews.jsonl, journals/, and thumbnails
    (IMGDIFF_HOME/cache, which may be deleted); with a token also a threshold into a recipe of your own, when you say
    so. The recipe gives the thresholds that are drawn. `imgdiff ui` has the same pages under /samples/. Ctrl-C stops
    it.

    \b
    imgdiff browse
    imgdiff browse --port 0 --recipe my_recipe.yaml
    ssh -L 8080:localhost:8080 gpu-box              # to look from another machine
    IMGDIFF_BROWSE_TOKEN=$(openssl rand -hex 16) imgdiff browse --host 0.0.0.0 --allow-remote
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{', '.join(missing)} not installed: pip install 'imgdiff-assets[ui]', then try again."
        )
    import uvicorn

    from imgdiff_assets.browser.app import create_app
    from imgdiff_assets.browser.site import Site
    from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
    from imgdiff_assets.workbench.pages import PAGES

    if dagster_url and not dagster_url.startswith(("http://", "https://")):
        raise click.ClickException(f"--dagster-url {dagster_url}: an address begins with http:// or https://.")
    with listen(host, port, allow_remote, token) as listener:
        home = Home.from_environment()
        chosen = chosen_recipe(recipe)
        own = chosen.path if token and not chosen.is_shipped else None
        site = Site(home, load_recipe(recipe), dagster_url.rstrip("/") or None, more=PAGES, recipe_file=own)
        click.echo(f"Reading {home.ledger} ...", err=True)
        site.index.refresh()
        query = f"/?token={token}" if token else "/"
        click.echo(f"{address_of(listener, host)}{query}  (Ctrl-C stops it)")
        config = uvicorn.Config(create_app(site, token), log_level="warning", server_header=False)
        with suppress(KeyboardInterrupt):  # how it is meant to end
            uvicorn.Server(config).run(sockets=[listener])
