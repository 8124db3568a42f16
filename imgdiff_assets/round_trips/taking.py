"""Verdicts and corrections from elsewhere, into the home: what is new, once; what cannot be taken, with its reason."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from pydantic import TypeAdapter

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import CORRECTIONS, Correction, Value, counting
from imgdiff_assets.ledger.journal import Journal, now
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviewers import read_reviewers
from imgdiff_assets.ledger.reviews import Review, ReviewError, add_reviews, check_review, read_reviews
from imgdiff_assets.round_trips.reviewable import Region, Reviewable, regions_of, reviewable
from imgdiff_assets.stages.corrected import check_texts, same


class NotSaid(ReviewError):
    """What cannot be taken; `field` names what is wrong of it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of `file` (counted from 1, below the heading), what is wrong with it, and what was given."""

    file: str
    row: int
    field: str
    reason: str
    given: Mapping[str, str] = dataclasses.field(default_factory=dict)
    at: str = ""

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, {self.field}: {self.reason}"


def _names_a_row(refused: Refused) -> None:
    if refused.row < 1 or not refused.reason:
        raise ValueError("what is refused is a row, for a reason")


REFUSED: Journal[Refused] = Journal("refused", TypeAdapter(Refused), _names_a_row)
"""What could not be taken, in `<home>/journals/`: nothing that people wrote is lost."""


@dataclass(slots=True)
class Taken:
    """`known` was said before, `empty` says nothing."""

    reviews: int = 0
    corrections: int = 0
    known: int = 0
    empty: int = 0
    refused: list[Refused] = field(default_factory=list)


class Taking:
    """One call over one file. `token` is a reviewer's; where reviewers have some, nothing is taken without one.

    Raises ReviewError for a token that nobody has, and where one is asked for.
    """

    def __init__(self, home: Home, file: str, token: str | None = None) -> None:
        self._home, self._file, self._ledger = home, file, Ledger(home.ledger)
        known = read_reviewers(home)
        self.speaker = known.named(token) if token else None
        if token and self.speaker is None:
            raise ReviewError("nobody has this token; `imgdiff reviewers list` tells who has one")
        if known.asked_for and self.speaker is None:
            raise ReviewError("reviewers have tokens here: say who you are with --token")
        self._standing = read_reviews(home).by_sample
        self._regions: dict[str, dict[str, Region]] = {}
        self._reviews: dict[tuple[str, str], Review] = {}
        self._corrections: list[Correction] = []
        self.taken = Taken()

    @cached_property
    def samples(self) -> Mapping[str, Reviewable]:
        """All that may be spoken of."""
        return reviewable(self._ledger)

    def attempt(self, row: int, given: Mapping[str, str], take: Callable[[], None]) -> None:
        """Take what a row says; what cannot be taken is kept with its reason."""
        try:
            take()
        except NotSaid as error:
            self.taken.refused.append(Refused(self._file, row, error.field, str(error), given, now()))

    def sample(self, sample_id: str) -> Reviewable:
        """Raises NotSaid for one that there is not."""
        found = self.samples.get(sample_id)
        if found is None:
            raise NotSaid("sample_id", f"there is no sample {sample_id[:80]!r} now; what is made anew has another id")
        return found

    def name(self, given: str) -> str:
        """Who speaks, where `given` is said to. Raises NotSaid for somebody else than the token's owner."""
        name = " ".join(given.split()) or self.speaker or ""
        if not name:
            raise NotSaid("reviewer", "nobody is named; name somebody for all with --reviewer")
        if self.speaker is not None and name != self.speaker:
            raise NotSaid("reviewer", f"the token is that of {self.speaker}, who does not speak for {name}")
        return name

    def review(self, said: Review) -> None:
        """A verdict, unless it stands already. Raises NotSaid."""
        name = " ".join(said.reviewer.split()) or self.speaker or ""
        standing = self._reviews.get((said.sample_id, name)) or self._standing.get(said.sample_id, {}).get(name)
        if standing is not None and _same_verdict(standing, said):
            self.taken.known += 1
            return
        name, sample = self.name(name), self.sample(said.sample_id)
        if standing is not None and said.at and standing.at > said.at:
            raise NotSaid("at", f"{name} said otherwise later, on {standing.at}")
        new = replace(
            said,
            reviewer=name,
            shard=sample.shard,
            pair_id=sample.pair_id,
            first=said.first or sample.first,
            by_token=self.speaker is not None,
        )
        try:
            check_review(new)
        except ReviewError as error:
            raise NotSaid("verdict", str(error)) from None
        self._reviews[said.sample_id, name] = new

    def region(self, sample: Reviewable) -> Region | None:
        """What may be corrected of a sample, if anything."""
        if sample.region_id is None:
            return None
        if sample.shard not in self._regions:
            self._regions[sample.shard] = regions_of(self._ledger, sample.shard)
        return self._regions[sample.shard].get(sample.region_id)

    def correct(self, region: Region, by: str, values: Mapping[str, Value]) -> None:
        """What is right of a region, as far as it is not what counts already; as it was found takes a correction
        back. Raises NotSaid."""
        standing = counting(self._home, region.shard).get(region.region_id, {})
        now_held = {name: standing[name].values[name] if name in standing else region.found[name] for name in values}
        new = {
            name: None if same(value, region.found[name]) else value
            for name, value in values.items()
            if not same(value, now_held[name])
        }
        if not new:
            return
        before = {name: region.found[name] for name in new}
        said = Correction(region.region_id, region.shard, self.name(by), new, before, now(), self.speaker is not None)
        try:
            check_texts(new)
            CORRECTIONS.check(said)
        except ValueError as error:
            raise NotSaid(", ".join(new), str(error)) from None
        self._corrections.append(said)

    def end(self, dry_run: bool = False) -> Taken:
        """Record all that was taken. Raises ReviewError, JournalError, OSError."""
        self.taken.reviews, self.taken.corrections = len(self._reviews), len(self._corrections)
        if not dry_run:
            REFUSED.add(self._home, self.taken.refused)
            CORRECTIONS.add(self._home, self._corrections)
            if self._reviews:
                add_reviews(self._home, list(self._reviews.values()))
        return self.taken


def _same_verdict(standing: Review, said: Review) -> bool:
    return all(getattr(standing, name) == getattr(said, name).strip() for name in ("verdict", "reason", "note"))
