"""Where a command that serves pages listens, and who is let in."""

import socket
from collections.abc import Callable
from typing import Any

import click


def serving_options(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--host`, `--port`, `--allow-remote` and `--token`; `port` is the default."""
    options = (
        click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen."),
        click.option(
            "--port", type=click.IntRange(0, 65535), default=port, show_default=True, help="0 takes a free one."
        ),
        click.option("--allow-remote", is_flag=True, help="Let --host be one that others reach; needs a token."),
        click.option(
            "--token",
            envvar="IMGDIFF_BROWSE_TOKEN",
            show_envvar=True,
            help="Let in only who has it. Better put it into the environment: others see a command's options.",
        ),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def listen(host: str, port: int, allow_remote: bool, token: str | None) -> socket.socket:
    """A socket that is bound before anything is read, so that a port in use is told at once.

    Raises NotSafe for a host that others reach, unless that is wished and there is a token; ClickException.
    """
    from imgdiff_assets.browser.security import check_host

    check_host(host, allow_remote, token)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise click.ClickException(
            f"--host {host} --port {port} cannot be used ({reason}): perhaps it is open already; "
            "try another port, or --port 0 for a free one."
        ) from None


def address_of(listener: socket.socket, host: str) -> str:
    """Where a browser finds what listens."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
