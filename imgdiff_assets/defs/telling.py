"""Sending a text to whoever the recipe on disk or the environment names: a command, a web address, or both.

Never what the configuration of a run names: whoever may launch one could run any program.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.recipe.automation_settings import TellSettings

COMMAND, URL = "IMGDIFF_TELL_COMMAND", "IMGDIFF_TELL_URL"
SECONDS = 20.0
HIDDEN = "***"
SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|_URL$|_DSN$")
SHORTEST_SECRET = 6
USER_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")
LONGEST_TEXT = 4_000


class NotTaken(ImgDiffError, RuntimeError):
    """Nobody took the text; says who was to, and why not, without what may be secret."""


def anybody(settings: TellSettings) -> bool:
    """Whether there is somebody to tell."""
    return bool(_takers(settings))


def tell(settings: TellSettings, text: str) -> list[str]:
    """Send the text, without secrets, to all that are named; returns a sentence for each that did not take it.

    Raises NotTaken when none did.
    """
    text = without_secrets(text)[:LONGEST_TEXT]
    takers, refused = _takers(settings), list[str]()
    for take in takers:
        try:
            take(text)
        except NotTaken as error:
            refused.append(str(error))
    if len(refused) == len(takers):
        raise NotTaken(" ".join(refused) or "Nobody is named.")
    return refused


def without_secrets(text: str) -> str:
    """The text without values of environment variables whose names say that they are secret, and users in URLs."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST_SECRET and SECRET_NAMES.search(name.upper()):
            text = text.replace(value, HIDDEN)
    return USER_IN_URL.sub(HIDDEN, text)


def _takers(settings: TellSettings) -> list[Callable[[str], None]]:
    command = shlex.split(os.environ.get(COMMAND, "")) or settings.command
    url = os.environ.get(URL) or settings.url
    takers: list[Callable[[str], None]] = []
    if command:
        takers.append(lambda text: _run(command, text))
    if url:
        takers.append(lambda text: _post(url, text))
    return takers


def _run(command: list[str], text: str) -> None:
    try:
        done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotTaken(f"{command[0]} could not be run ({type(error).__name__}).") from None
    if done.returncode != 0:
        raise NotTaken(f"{command[0]} ended with status {done.returncode}.")


def _post(url: str, text: str) -> None:
    import httpx2

    try:
        status = httpx2.post(url, json={"text": text}, timeout=SECONDS, follow_redirects=False).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NotTaken(f"The web address could not be reached ({type(error).__name__}).") from None
    if not 200 <= status < 300:
        raise NotTaken(f"The web address answered with status {status}.")
