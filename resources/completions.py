"""One question to a chat model behind a server, in the words that the server takes for where an answer ends."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import OpenAI

LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"

_newer: set[tuple[str, str]] = set()
"""The base URLs and models that were found to want the newer name."""


def complete(client: "OpenAI", request: Mapping[str, Any]) -> Any:
    """Return the server's completion of `request`, whose limit is called `max_tokens`.

    A server that refuses that name is told `max_completion_tokens` from then on. Raises what `openai` raises.
    """
    import openai

    server = str(client.base_url), str(request["model"])
    if server not in _newer:
        try:
            return client.chat.completions.create(**request)
        except openai.BadRequestError as error:
            if NEWER_LIMIT not in str(error):
                raise
            _newer.add(server)
    return client.chat.completions.create(**as_the_server_takes_it(client, request))


def wants_newer_limit(client: "OpenAI", model: str) -> None:
    """Note that a server refuses the older name."""
    _newer.add((str(client.base_url), model))


def as_the_server_takes_it(client: "OpenAI", request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request with its limit called as the server is known to call it."""
    newer = (str(client.base_url), str(request["model"])) in _newer
    return {NEWER_LIMIT if newer and name == LIMIT else name: value for name, value in request.items()}
