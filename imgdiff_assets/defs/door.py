"""The one door: Dagster's web server and the pages of samples on one port, in one process, behind one guard.

Dagster's own server executes a mutation that any page sends by GET, for any name that leads here; so nothing of it
listens but behind the guard. It keeps `/` and `/graphql`, and the samples are under `/samples/`.
"""

import os
import re
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.schema import runs
from dagster_shared.yaml_utils import DagsterYamlLoader
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.security import HEADERS, POLICY, READING, Guard
from imgdiff_assets.browser.site import Site
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.home_resource import SAMPLES_ROOT
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
from imgdiff_assets.workbench.pages import PAGES

TOKEN = "IMGDIFF_BROWSE_TOKEN"
LARGEST_QUERY = 4 * 2**20
"""Bytes; the configuration of a run has every value of the recipe in it."""

STOP_SECONDS = 3
POLL_MILLISECONDS = 2000
# Dagster's pages write their styles into themselves, and GraphiQL's its script; a nonce, which Dagster's own policy
# asks of the scripts of all others, holds beside this.
DAGSTER_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
    "object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class GraphWebserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's web server, in which reading changes nothing: GraphQL is executed when it is sent by POST."""

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Where GraphQL is asked for; by GET there is a page to write it in, and nothing else."""
        if request.method in READING and "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("GraphQL is executed when it is sent by POST.", 405, {"allow": "POST"})
        answer: Response = await super().graphql_http_endpoint(request)
        return answer


class LaunchpadLoader(DagsterYamlLoader):
    """YAML as the launchpad's editor understands it, that of 1.2: `on`, `off`, `yes` and `no` are words."""


BOOLEAN = "tag:yaml.org,2002:bool"
LaunchpadLoader.remove_implicit_resolver(BOOLEAN)  # type: ignore[no-untyped-call]
LaunchpadLoader.add_implicit_resolver(BOOLEAN, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def read_launchpad(text: str) -> Any:
    """The values in a launchpad; `known_words: [on]` is a list of a word."""
    return yaml.load(text, LaunchpadLoader)


def create_door(dagster: ASGIApp, site: Site, token: str | None = None) -> ASGIApp:
    """Both behind the guard: the samples, whose addresses begin with `site.root`, and Dagster. Nobody else answers."""
    samples = create_app(site, token)
    graph = Guard(dagster, token, {**HEADERS, POLICY: DAGSTER_POLICY}, LARGEST_QUERY)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if f"{scope.get('path', '')}/".startswith(f"{site.root}/"):
            await samples({**scope, "root_path": site.root}, receive, send)
        else:
            await graph(scope, receive, send)

    return door


def main(workspace: str, listener: int, ready: Path) -> None:
    """Serve until SIGINT or SIGTERM; the file `ready` is made once the door is open.

    `workspace` is the YAML file that says where the code server is, `listener` the descriptor of a listening socket.
    """
    home = Home.from_environment()
    setattr(runs, "load_run_config_yaml", read_launchpad)  # noqa: B010
    with dagster_instance(home) as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget([workspace])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            dagster = GraphWebserver(context, live_data_poll_rate=POLL_MILLISECONDS).create_asgi_app()
            chosen, token = chosen_recipe(), os.environ.get(TOKEN)
            own = chosen.path if token and not chosen.is_shipped else None
            site = Site(home, load_recipe(), dagster_url="", root=SAMPLES_ROOT, more=PAGES, recipe_file=own)
            config = uvicorn.Config(
                create_door(dagster, site, token),
                lifespan="off",
                log_level="warning",
                server_header=False,
                # A page that is open keeps its web socket.
                timeout_graceful_shutdown=STOP_SECONDS,
            )
            ready.touch()
            with suppress(KeyboardInterrupt):  # how it is meant to end
                uvicorn.Server(config).run(sockets=[socket.socket(fileno=listener)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
