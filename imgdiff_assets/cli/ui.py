"""`imgdiff ui`: the graph in the web browser."""

import os
import sys

import click

from imgdiff_assets.cli.serving import address_of, listen, serving_options
from imgdiff_assets.cli.terminal import begin
from imgdiff_assets.home import Home


@click.command(short_help="Open the graph in Dagster's web UI.")
@serving_options(port=3000)
def ui(host: str, port: int, allow_remote: bool, token: str | None) -> None:
    """Open the graph in Dagster's web UI: the same assets, partitions and runs as the command line made.

    The samples are under /samples/, as `imgdiff browse` shows them. Ctrl-C stops it, and all that it started. Its
    state is kept in IMGDIFF_HOME/dagster, with the configuration `dagster.yaml`. While it is open, caption files that
    are moved into IMGDIFF_HOME/inbox become shards and are run.

    \b
    imgdiff ui
    imgdiff ui --port 3001
    ssh -L 3000:localhost:3000 gpu-box              # to look from another machine
    """
    import importlib.util

    if importlib.util.find_spec("dagster_webserver") is None:
        raise click.ClickException("The web UI is not installed: pip install 'imgdiff-assets[ui]', then try again.")
    begin("Opening the web UI")
    from imgdiff_assets.common.plain_text import counted
    from imgdiff_assets.defs.dagster_instance import dagster_instance
    from imgdiff_assets.defs.gpu_places import POOL, set_places
    from imgdiff_assets.defs.instance_files import dagster_folder
    from imgdiff_assets.defs.partitions import register_shards
    from imgdiff_assets.defs.web_ui import serve
    from imgdiff_assets.recipe.chosen_recipe import load_recipe

    with listen(host, port, allow_remote, token) as listener:
        home = Home.from_environment()
        recipe = load_recipe()
        with dagster_instance(home) as instance:
            register_shards(instance, home)
            if (places := set_places(instance, recipe)) > 1:
                click.echo(f"{counted(places, 'card')}: so many runs side by side (places of the pool `{POOL}`).")
        os.environ["IMGDIFF_HOME"] = str(home.root)
        os.environ["DAGSTER_HOME"] = str(dagster_folder(home).absolute())
        log = dagster_folder(home) / "web_ui.log"
        sys.exit(serve(listener, address_of(listener, host), token, log, click.echo))
