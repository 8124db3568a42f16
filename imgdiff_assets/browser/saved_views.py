"""Giving an address a name, and taking it away."""

from imgdiff_assets.browser.correcting import NotKept
from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.site import Site
from imgdiff_assets.common.errors import sentence
from imgdiff_assets.ledger.journal import JournalError, now
from imgdiff_assets.ledger.views import VIEWS, View


def take_view(site: Site, who: Visitor, form: Form) -> str:
    """Keep the form's `address` under its `name`, or take the name away where it is `forgotten`; returns the page.

    Raises BadQuestion, NotYou, NotKept.
    """
    address = "" if form.one("forgotten") else form.one("address")
    if not address and not form.one("forgotten"):
        raise BadQuestion("a view has an address")
    try:
        VIEWS.add(site.home, [View(form.one("name"), address, who.speaks_as(form.one("reviewer")), now())])
    except JournalError as error:
        raise BadQuestion(str(error)) from None
    except OSError as error:
        raise NotKept(f"The view was not kept, for the home cannot be written. {sentence(error)}") from error
    return form.back("/gallery")
