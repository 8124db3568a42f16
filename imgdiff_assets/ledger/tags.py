"""Words that people put on rows, to find them again: a tag is on a row while the latest line about it says so."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.journal import Journal
from imgdiff_assets.ledger.reviews import is_line

LONGEST_TAG = 40


@dataclass(frozen=True, slots=True)
class Tagged:
    """`tag` is put on a row, or taken off; `pair_id` is the row's pair, which stays when the row's own id does not."""

    row_id: str
    tag: str
    by: str
    on: bool = True
    pair_id: str = ""
    at: str = ""


def _says_something(said: Tagged) -> None:
    if not said.row_id:
        raise ValueError("a tag is on a row")
    if not is_line(said.tag, LONGEST_TAG):
        raise ValueError(f"a tag has 1 to {LONGEST_TAG} printable characters")


TAGS: Journal[Tagged] = Journal("tags", TypeAdapter(Tagged), _says_something)


def tags_by_row(home: Home) -> dict[str, list[str]]:
    """The tags of every row that has any, in order."""
    on = {(said.row_id, said.tag): said.on for said in TAGS.read(home).values}
    found: dict[str, list[str]] = {}
    for (row_id, tag), is_on in sorted(on.items()):
        if is_on:
            found.setdefault(row_id, []).append(tag)
    return found
