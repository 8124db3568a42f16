"""What people said of samples: `reviews.jsonl`, a line per verdict, only ever appended to.

The catalog may be thrown away; this file may not. The latest line of a reviewer on a sample is the one that counts.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Annotated

import pyarrow as pa
from pydantic import AfterValidator, TypeAdapter

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.lines import read_lines
from imgdiff_assets.ledger.store.entry import Entry
from imgdiff_assets.ledger.store.store import store_of

ACCEPT, REJECT, WITHDRAWN = "accept", "reject", "withdrawn"
VERDICTS = (ACCEPT, REJECT, WITHDRAWN)
RANDOM, STRATIFIED, DOUBT, CHOSEN = "random", "stratified", "doubt", "chosen"
QUEUES = (RANDOM, STRATIFIED, DOUBT, CHOSEN)
"""How a sample came before the reviewer; from samples that were chosen, or came for being doubtful, nothing can be
inferred about the others."""

LONGEST_NOTE = 2000
LONGEST_NAME = 60
LONGEST_REASON = 60
MOST_REASONS = 9
TABLE = pa.schema([("sample_id", pa.string()), ("review", pa.string())])


class ReviewError(ImgDiffError, ValueError):
    """A verdict that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewer's verdict on one sample; `at` is UTC in ISO 8601, `score` what the queue was drawn by.

    `reason` is why it was rejected, in a word of the recipe's; a withdrawn verdict keeps it, and the note.
    `pair_id` is the sample's, whose own id is another when its texts are. `by_token` says whether it is known who said
    it; else the name was taken on trust.
    `first` is the side of the sample that the page showed first; empty in lines of earlier pages, which always showed
    the source first.
    """

    sample_id: str
    shard: str
    reviewer: str
    verdict: str
    note: str = ""
    queue: str = CHOSEN
    score: str = ""
    at: str = ""
    first: str = ""
    reason: str = ""
    pair_id: str = ""
    by_token: bool = False

    def misled(self, first: str) -> bool:
        """Whether it is a verdict on a sample whose first image is `first`, and that was shown the wrong way round."""
        return self.verdict != WITHDRAWN and (self.first or "source") != first


def _with_a_verdict(review: Review) -> Review:
    if review.verdict not in VERDICTS:
        raise ValueError(f"{review.verdict!r} is not a verdict; say {', '.join(VERDICTS)}")
    return review


LINE: TypeAdapter[Review] = TypeAdapter(Annotated[Review, AfterValidator(_with_a_verdict)])
"""A later release may say more."""


@dataclass(frozen=True, slots=True)
class Reviews:
    """The verdicts that count: by sample, then by reviewer. `unreadable` are the numbers of damaged lines.

    `by_shard` is what the reviewers together say, by shard and sample.
    """

    by_sample: Mapping[str, Mapping[str, Review]]
    by_shard: Mapping[str, Mapping[str, str]]
    unreadable: tuple[int, ...] = ()

    @property
    def reviewers(self) -> list[str]:
        return sorted({name for reviews in self.by_sample.values() for name in reviews})

    def of_shard(self, shard: str) -> Mapping[str, str]:
        """`accept` or `reject` for each sample of the shard that has been reviewed."""
        return self.by_shard.get(shard, {})


def consensus(reviews: Iterable[Review]) -> str | None:
    """`accept`, `reject`, or None when nobody has said either.

    A sample is rejected when at least as many reviewers reject it as accept it: a doubtful answer teaches nothing.
    """
    verdicts = [review.verdict for review in reviews]
    accepted, rejected = verdicts.count(ACCEPT), verdicts.count(REJECT)
    if not accepted and not rejected:
        return None
    return REJECT if rejected >= accepted else ACCEPT


def is_line(text: str, longest: int) -> bool:
    """Whether it is a name or a reason: 1 to `longest` printable characters."""
    return bool(text.strip()) and len(text) <= longest and text.isprintable()


def add_review(home: Home, review: Review) -> Review:
    """Record one verdict durably; returns it with its time. Raises ReviewError, OSError."""
    return add_reviews(home, [review])[0]


def add_reviews(home: Home, reviews: Sequence[Review]) -> list[Review]:
    """Record verdicts durably, all or none; returns them with their time. Raises ReviewError, OSError."""
    lines = [_line(review) for review in reviews]
    recorded = []
    for line in lines:
        try:
            recorded.append(LINE.validate_json(line))
        except ValueError as error:  # such as half of a letter beyond 16 bits
            raise ReviewError("the verdict has something in it that could not be read back") from error
    store_of(home.reviews).append(home.reviews, lines)
    return recorded


def check_review(review: Review) -> str:
    """The name as it is written, of a verdict that can be recorded. Raises ReviewError for any other."""
    name = " ".join(review.reviewer.split())
    if not is_line(name, LONGEST_NAME):
        raise ReviewError(f"a reviewer's name has 1 to {LONGEST_NAME} printable characters")
    if review.verdict not in VERDICTS:
        raise ReviewError(f"{review.verdict!r} is not a verdict; say {', '.join(VERDICTS)}")
    if review.queue not in QUEUES:
        raise ReviewError(f"{review.queue!r} is not a queue; there are {', '.join(QUEUES)}")
    if review.reason and (review.verdict == ACCEPT or not is_line(review.reason, LONGEST_REASON)):
        raise ReviewError(f"what is rejected has a reason, of 1 to {LONGEST_REASON} printable characters")
    if len(review.note) > LONGEST_NOTE:
        raise ReviewError(f"a note has at most {LONGEST_NOTE:,} characters")
    return name


def _line(review: Review) -> str:
    """What is written of a verdict, as of now. Raises ReviewError."""
    name = check_review(review)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    values = {**asdict(review), "reviewer": name, "note": review.note.strip(), "at": now}
    return json.dumps(values, ensure_ascii=True)


def read_reviews(home: Home) -> Reviews:
    """All verdicts that count. A damaged line is passed over and its number told; without a file there are none."""
    return _read(home.reviews, reviews_state(home))


def reviews_state(home: Home) -> tuple[Entry, ...]:
    """Another whenever there is a new verdict."""
    return tuple(store_of(home.reviews).pieces(home.reviews))


@lru_cache(maxsize=4)
def _read(path: PurePath, pieces: tuple[Entry, ...]) -> Reviews:
    """The file as it was at that moment: read once, however many shards ask."""
    lines = read_lines(path, LINE)
    by_sample: dict[str, dict[str, Review]] = {}
    for review in lines.values:
        by_sample.setdefault(review.sample_id, {})[review.reviewer] = review
    by_shard: dict[str, dict[str, str]] = {}
    for sample_id, reviews in by_sample.items():
        together = consensus(reviews.values())
        for shard in {review.shard for review in reviews.values()} if together is not None else ():
            by_shard.setdefault(shard, {})[sample_id] = str(together)
    return Reviews(by_sample, by_shard, lines.unreadable)


def verdicts_of_shard(home: Home, shard: str) -> pa.Table:
    """What the reviewers together say of the samples of one shard: `sample_id`, `review`; by id."""
    return pa.Table.from_pylist(_verdicts(home, shard), schema=TABLE)


def verdicts_hash(home: Home, shard: str) -> str:
    """Changes whenever one of the shard's verdicts does."""
    return content_hash(_verdicts(home, shard))


def _verdicts(home: Home, shard: str) -> list[Row]:
    return [{"sample_id": name, "review": said} for name, said in sorted(read_reviews(home).of_shard(shard).items())]
