"""The keys of servers. One is sent to no server but that which it is for, by the user's own word.

| environment variable | holds | is sent to |
|---|---|---|
| IMGDIFF_API_KEYS | `URL=KEY`, several with spaces between them | the base URL before each |
| IMGDIFF_API_KEY | one key | base URLs that the recipe, `--set` or IMGDIFF_API_KEY_URLS names |
| OPENAI_API_KEY | the key of OpenAI | https://api.openai.com/v1, or OPENAI_BASE_URL where that is set |

The first that is for a server is taken.
"""

import os

from resources.loading.failures import ModelUnavailable

API_KEYS = "IMGDIFF_API_KEYS"
API_KEY = "IMGDIFF_API_KEY"
SERVERS = "IMGDIFF_API_KEY_URLS"
OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_SERVER = "OPENAI_BASE_URL"
OPENAI = "https://api.openai.com/v1"

_named: set[str] = set()


def name_server(base_url: str) -> None:
    """Let the key IMGDIFF_API_KEY be sent there from now on: the recipe on disk or the command line says so."""
    _named.add(_plain(base_url))


def key_for(base_url: str) -> str:
    """The key of a server, by the table above; "none" where there is none.

    Raises ModelUnavailable for a server that IMGDIFF_API_KEY is not meant for, as far as is known: the configuration
    of a run brought it in, or a table; and for entries of IMGDIFF_API_KEYS that are none.
    """
    server, key = _plain(base_url), os.environ.get(API_KEY)
    listed = os.environ.get(SERVERS, "").replace(",", " ").split()
    if server in (own := _keys()):
        return own[server]
    if key and server in _named | {_plain(url) for url in listed}:
        return key
    if os.environ.get(OPENAI_KEY) and server == _plain(os.environ.get(OPENAI_SERVER) or OPENAI):
        return os.environ[OPENAI_KEY]
    if key:
        raise ModelUnavailable(
            f"{API_KEY} is not sent to {base_url}, which neither the recipe that --recipe or IMGDIFF_RECIPE names nor "
            f"`--set` has as a `base_url`: set {API_KEYS} to {server}=KEY, or add the address to the environment "
            f"variable {SERVERS} if the key is meant for it; else unset {API_KEY}."
        )
    return "none"


def _keys() -> dict[str, str]:
    """What IMGDIFF_API_KEYS says, by base URL."""
    entries = [entry.partition("=") for entry in os.environ.get(API_KEYS, "").split()]
    for number, (url, _, key) in enumerate(entries, 1):
        if not key or not url.startswith(("http://", "https://")):
            # Without what it holds, which may be a key.
            raise ModelUnavailable(f"{API_KEYS}: entry {number} is not of the form https://server/v1=KEY.")
    return {_plain(url): key for url, _, key in entries}


def _plain(base_url: str) -> str:
    return base_url.strip().rstrip("/")
