"""A home goes on with the shipped recipe that it was begun with, though a later release may ship another.

`<home>/recipes.json` says by recipe of which release that is. What an earlier release shipped lies in a folder of its
name beside today's recipes, from where alone values come: a home that somebody gives you says nothing but a number.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath

from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import read_bytes, store_of
from imgdiff_assets.stages.graph import STAGE_NAMES

SHIPPED = Path(__file__).parent / "shipped"
RELEASE = "0.2.0"
"""The release that today's recipes are of. Who changes one after a release copies it first into `shipped/<release>/`,
writes defaults that change into the copies, and raises this."""

BEFORE = "0.1.0"
"""The release of homes that have tables and do not tell."""

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)*")


class UnreadableEditions(ImgDiffError, ValueError):
    """A `recipes.json` that says nothing."""


def shipped_recipes() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def shipped_file(home: Home, name: str) -> Path:
    """The file of a shipped recipe as this home goes on with it; today's, unless it was begun with another.

    Raises UnreadableEditions.
    """
    begun = _order(_told(home).get(name, RELEASE))
    folders = sorted((path for path in SHIPPED.iterdir() if path.is_dir()), key=lambda path: _order(path.name))
    kept = (path / f"{name}.yaml" for path in folders if _order(path.name) >= begun)
    return next((path for path in kept if path.exists()), SHIPPED / f"{name}.yaml")


def note_edition(home: Home, name: str, anew: bool = False) -> None:
    """Write down with which release's recipe the home is begun; `anew`: that from now on it is today's.

    Recipes of your own are not noted. Raises UnreadableEditions, NotWritten.
    """
    told, store = _told(home), store_of(_file(home))
    noted = name in told and store.version(_file(home)) is not None
    if name not in shipped_recipes() or (noted and not anew):
        return
    release = RELEASE if anew else told.get(name, RELEASE)
    with store.writing(_file(home), shared=True) as temporary:
        temporary.write_text(json.dumps({**told, name: release}, indent=2) + "\n", encoding="utf-8")


def _told(home: Home) -> Mapping[str, str]:
    """The release by recipe; of a home without the file, by what its tables say."""
    try:
        told = json.loads(read_bytes(_file(home)))
    except (FileNotFoundError, NotADirectoryError):
        ledger = Ledger(home.ledger)
        first = ((stage, shard) for stage in STAGE_NAMES for shard in ledger.shards(stage)[:1])
        return {record["recipe"]: BEFORE for table in first if (record := ledger.record(*table)) is not None}
    except ValueError:
        told = None
    if not isinstance(told, dict) or not all(NUMBER.fullmatch(str(release)) for release in told.values()):
        raise UnreadableEditions(
            f"{_file(home)} does not say which release's recipes this home was begun with: mend it "
            f'(as in {{"modern": "{BEFORE}"}}), or remove it to go on with those of this release.'
        )
    return told


def _file(home: Home) -> PurePath:
    return home.root / "recipes.json"


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
