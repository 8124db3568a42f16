"""Who may review, each with a token of their own: of a token, the home holds the hash alone.

Where nobody has one, names are taken on trust. Once somebody had, none is, also when all are taken away again. A line
that cannot be read may have taken a token away: none that was given before it is accepted.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.journal import Journal, JournalError, now
from imgdiff_assets.ledger.lines import numbered_lines
from imgdiff_assets.ledger.reviews import LONGEST_NAME, is_line

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Given:
    """A token (its SHA-256) that a reviewer has from now on; empty where the reviewer has none any more."""

    name: str
    token: str
    at: str
    whole: str
    """Hash of the rest: of a line with another letter in it, it is not."""

    @classmethod
    def now(cls, name: str, token: str) -> "Given":
        at = now()
        return cls(name, token, at, content_hash(name, token, at))

    @property
    def is_whole(self) -> bool:
        return self.whole == content_hash(self.name, self.token, self.at)


def _is_somebody(said: Given) -> None:
    if not is_line(said.name, LONGEST_NAME) or " ".join(said.name.split()) != said.name:
        raise ValueError(f"a reviewer's name has 1 to {LONGEST_NAME} printable characters, and no space twice")


REVIEWERS: Journal[Given] = Journal("reviewers", TypeAdapter(Given), _is_somebody)


@dataclass(frozen=True, slots=True)
class Reviewers:
    """The tokens' hashes by name; `asked_for` says whether a name needs one.

    `distrusted` had theirs before a damaged line; `unreadable` are the numbers of such lines.
    """

    tokens: Mapping[str, str] = field(default_factory=dict)
    asked_for: bool = False
    distrusted: tuple[str, ...] = ()
    unreadable: tuple[int, ...] = ()

    def named(self, token: str) -> str | None:
        """Whose token it is."""
        given = _hash(token)
        names = [name for name, known in self.tokens.items() if hmac.compare_digest(known, given)]
        return names[0] if names else None


def read_reviewers(home: Home) -> Reviewers:
    """Who has a token now. Raises OSError."""
    tokens: dict[str, str] = {}
    distrusted: set[str] = set()
    unreadable = []
    number = 0
    for number, said in numbered_lines(REVIEWERS.address(home), REVIEWERS.line):
        if said is None or not said.is_whole:
            unreadable.append(number)
            distrusted |= tokens.keys()
            tokens.clear()
        elif said.token:
            tokens[said.name] = said.token
            distrusted.discard(said.name)
        else:
            tokens.pop(said.name, None)
            distrusted.discard(said.name)
    return Reviewers(tokens, number > 0, tuple(sorted(distrusted)), tuple(unreadable))


def add_reviewer(home: Home, name: str) -> str:
    """Give a reviewer a token, in the place of an earlier one; returns it, and nothing else ever does.

    Raises JournalError, OSError.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    REVIEWERS.add(home, [Given.now(" ".join(name.split()), _hash(token))])
    return token


def remove_reviewer(home: Home, name: str) -> None:
    """Take a reviewer's token away; what was said with it stays. Raises JournalError, OSError."""
    name = " ".join(name.split())
    known = read_reviewers(home)
    if name not in {*known.tokens, *known.distrusted}:
        raise JournalError(f"{name} has no token; who has one: {', '.join(sorted(known.tokens)) or 'nobody'}")
    REVIEWERS.add(home, [Given.now(name, "")])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
