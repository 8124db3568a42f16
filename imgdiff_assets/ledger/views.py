"""Addresses of pages that people gave a name: what a page was asked is in its address, so an address is a view."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.journal import Journal
from imgdiff_assets.ledger.reviews import is_line

LONGEST_NAME = 60
LONGEST_ADDRESS = 2000
PAGES = ("/gallery", "/map", "/threshold", "/releases")
"""Those that a view may be of."""


@dataclass(frozen=True, slots=True)
class View:
    """A name for an address (path and query); one without an address is taken away."""

    name: str
    address: str
    by: str = ""
    at: str = ""


def _leads_to_a_page(view: View) -> None:
    if not is_line(view.name, LONGEST_NAME):
        raise ValueError(f"a view's name has 1 to {LONGEST_NAME} printable characters")
    path = view.address.partition("?")[0]
    if view.address and (path not in PAGES or len(view.address) > LONGEST_ADDRESS or not view.address.isprintable()):
        raise ValueError(f"a view is an address of {', '.join(PAGES)}, of at most {LONGEST_ADDRESS:,} characters")


VIEWS: Journal[View] = Journal("views", TypeAdapter(View), _leads_to_a_page)


def views(home: Home) -> dict[str, str]:
    """The addresses by name, in order."""
    found = {view.name: view.address for view in VIEWS.read(home).values}
    return {name: address for name, address in sorted(found.items()) if address}
