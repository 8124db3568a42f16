"""Who is at the page: somebody with a reviewer's token, or a name that is taken on trust."""

from dataclasses import dataclass

from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.reviewers import Reviewers, read_reviewers
from imgdiff_assets.ledger.reviews import LONGEST_NAME, is_line

COOKIE = "imgdiff_reviewer"


class NotYou(ImgDiffError):
    """A name that is not that of the token."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """`name` is known by the token that the browser has; empty without one. `known` are all who have one."""

    name: str
    known: Reviewers

    @property
    def on_trust(self) -> bool:
        """Whether any name will do."""
        return not self.known.asked_for

    @property
    def may_say(self) -> bool:
        return self.on_trust or bool(self.name)

    def speaks_as(self, claimed: str) -> str:
        """The name to write down. Raises NotYou, BadQuestion."""
        if self.on_trust:
            name = " ".join(claimed.split())
            if name and not is_line(name, LONGEST_NAME):
                raise BadQuestion(f"a reviewer's name has 1 to {LONGEST_NAME} printable characters")
            return name
        if not self.name:
            raise NotYou("Reviewers have tokens here: give yours on the page Review (`imgdiff reviewers add NAME`).")
        if claimed and " ".join(claimed.split()) != self.name:
            raise NotYou(f"The token is {self.name}'s; nobody reviews under another's name.")
        return self.name


def visitor(home: Home, token: str | None) -> Visitor:
    """Who has this token. Raises OSError."""
    known = read_reviewers(home)
    return Visitor(known.named(token) or "" if token else "", known)
