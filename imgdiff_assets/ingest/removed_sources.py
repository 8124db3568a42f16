"""What was taken down, in `<home>/removed.jsonl`: ids and hashes, no content. It is not taken again.

A line is there before the first file is changed: what a kill interrupts is known, and the next removal ends it.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.lines import read_lines
from imgdiff_assets.ledger.store.store import store_of

CAPTION, PICTURE, FILE = "caption", "picture", "file"
"""What a source is named by."""


class Removal(TypedDict):
    """One takedown: when, named by what, which captions or pairs, and by table the ids of the rows that went.

    `pictures` are the hashes that were named: no pair with such a picture is taken again. `images` are the hashes of
    all images that went, `shards` those of which nothing was left.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    at: str
    by: str
    captions: list[str]
    pictures: list[str]
    images: list[str]
    shards: list[str]
    rows: dict[str, list[str]]


LINE: TypeAdapter[Removal] = TypeAdapter(Removal)


@dataclass(frozen=True, slots=True)
class Removed:
    """All that was taken down: when, by the id of a caption or pair, and by the hash of a picture."""

    captions: Mapping[str, str]
    pictures: Mapping[str, str]
    shards: frozenset[str]

    def reason(self, identities: Sequence[str], pictures: Sequence[str] = ()) -> str | None:
        """Why what is known by these is not taken; None where it may be."""
        days = [self.captions[identity] for identity in identities if identity in self.captions]
        if days:
            return f"was removed on {days[0][:10]}"
        days = [self.pictures[picture] for picture in pictures if picture in self.pictures]
        return f"shows a picture that was removed on {days[0][:10]}" if days else None


def read_removed(home: Home) -> Removed:
    """What was taken down of a home. Raises OSError."""
    lines = read_lines(home.removed, LINE).values
    return Removed(
        {identity: line["at"] for line in lines for identity in line["captions"]},
        {picture: line["at"] for line in lines for picture in line["pictures"]},
        frozenset(key for line in lines for key in line["shards"]),
    )


def note_removal(
    home: Home,
    by: str,
    captions: Sequence[str],
    pictures: Sequence[str],
    images: Sequence[str],
    shards: Sequence[str],
    rows: Mapping[str, Sequence[str]],
) -> None:
    """Write down what is about to go, durably."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = {
        "at": now,
        "by": by,
        "captions": list(captions),
        "pictures": list(pictures),
        "images": list(images),
        "shards": list(shards),
        "rows": {table: list(ids) for table, ids in rows.items()},
    }
    store_of(home.removed).append(home.removed, [json.dumps(line)])
