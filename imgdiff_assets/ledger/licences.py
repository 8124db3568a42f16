"""The licences that people say their captions and pictures have: a line for each shard, kept with the home."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.journal import Journal, now
from imgdiff_assets.ledger.reviews import is_line

LONGEST_LICENCE = 200


@dataclass(frozen=True, slots=True)
class Licensed:
    """What is in `shard` came under `licence`, as said by whoever brought it in; `at` in UTC."""

    shard: str
    licence: str
    at: str = ""


def _says_something(said: Licensed) -> None:
    if not said.shard or not is_line(said.licence, LONGEST_LICENCE):
        raise ValueError(f"--licence: a licence has 1 to {LONGEST_LICENCE} printable characters")


LICENCES: Journal[Licensed] = Journal("licences", TypeAdapter(Licensed), _says_something)


def check_licence(licence: str) -> str:
    """The licence as it is written. Raises ValueError for what is none."""
    licence = " ".join(licence.split())
    _says_something(Licensed("-", licence))
    return licence


def licence_shards(home: Home, shards: Sequence[str], licence: str) -> None:
    """Say under which licence came what is in some shards. Raises JournalError, OSError."""
    at = now()
    LICENCES.add(home, [Licensed(shard, check_licence(licence), at) for shard in shards])


def licences(home: Home) -> dict[str, str]:
    """The licence of each shard of which one was told."""
    return {said.shard: said.licence for said in LICENCES.read(home).values}
