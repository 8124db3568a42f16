"""The key of a server, which is sent to no server but those that the user has named."""

import os

from resources.loading.failures import ModelUnavailable

API_KEY = "IMGDIFF_API_KEY"
SERVERS = "IMGDIFF_API_KEY_URLS"

_named: set[str] = set()


def name_server(base_url: str) -> None:
    """Let the key be sent there from now on: the recipe on disk or the command line says so."""
    _named.add(_plain(base_url))


def key_for(base_url: str) -> str:
    """The key that the environment variable IMGDIFF_API_KEY holds; "none" where there is none.

    Raises ModelUnavailable for a server that neither the user nor the list IMGDIFF_API_KEY_URLS (base URLs with
    spaces or commas between them) has named: the configuration of a run brought it in, or a table.
    """
    key = os.environ.get(API_KEY)
    if not key:
        return "none"
    listed = os.environ.get(SERVERS, "").replace(",", " ").split()
    if _plain(base_url) not in _named | {_plain(url) for url in listed}:
        raise ModelUnavailable(
            f"{API_KEY} is not sent to {base_url}, which neither the recipe nor `--set` names as a `base_url`: write "
            f"it there, or add it to the environment variable {SERVERS} if the key is meant for it; else unset "
            f"{API_KEY}."
        )
    return key


def _plain(base_url: str) -> str:
    return base_url.strip().rstrip("/")
