"""Samples that are left out so that the set is not mostly of one sort: they stay in the table. Off unless named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.method.balance import GROUPS, LETTER, in_proportion, surplus
from imgdiff_assets.method.tasks import LETTERS
from imgdiff_assets.stages.phrases import texts
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Canaries, Derivation, Filter, Step

SECTION = "balance"
ENOUGH = "enough_of"
COLUMNS = ("kind", "source_object", "target_object")
"""What else samples are counted by: columns of the items that are there only with the section."""

READS = ("sample_id", "split", "task", *COLUMNS, "subject", "answer", "conversations")


class BalanceSettings(StageSettings):
    """How many samples of one sort there are for those of another; counted in each split of a shard."""

    shares: dict[str, dict[str, float]] = Field(
        {},
        description="By task, kind, object (replaced) or replacement (`dog → cat`), how many there are of one "
        "value to those of another: `{task: {difference: 1, which_image: 1}}`. The scarcest decides; others stay.",
    )
    caps: dict[str, int] = Field(
        {}, description="By task, kind, object or replacement, the most samples of one value, as in `{object: 40}`."
    )
    letters: bool = Field(True, description="Whether A and B are the answer to each wording equally often.")

    @field_validator("shares", "caps")
    @classmethod
    def _something_is_left_of_known_groups(cls, groups: dict[str, Any]) -> dict[str, Any]:
        for group, numbers in groups.items():
            if group not in GROUPS:
                raise ValueError(f"there is no {group!r} to count by; there are {', '.join(GROUPS)}")
            if min(numbers.values(), default=1) <= 0 if isinstance(numbers, dict) else numbers < 1:
                raise ValueError(f"{group}: more than 0, or nothing is left")
        return groups


def _enough_of(columns: Columns, settings: BalanceSettings) -> np.ndarray:
    """The group that has enough without a sample; null where it stays."""
    rows = [dict(zip(READS, row, strict=True)) for row in zip(*(columns[name] for name in READS), strict=True)]
    for row in rows:
        row["object"], target = row["source_object"], row["target_object"]
        row["replacement"] = f"{row['object']} → {target}" if row["object"] and target else None
        row["wording"] = _without(row["subject"], row["conversations"][0]["value"])
    return texts(surplus(rows, settings.shares, settings.caps, settings.letters))


def _without(subject: str | None, question: str) -> str:
    """A question without what it asks about, however that is written: equal for all of one wording."""
    return question.lower().replace(subject.lower(), "") if subject else question.lower()


def _sample(number: int, **values: Any) -> Row:
    """A planted sample that is in no group but that of the values."""
    nothing = dict.fromkeys(READS) | {"answer": "", "split": "one", "conversations": [{"value": "Which?"}]}
    return nothing | {"sample_id": f"{number:06}"} | values


def _planted(group: str, value: str) -> Row:
    if group == "replacement":
        return dict(zip(("source_object", "target_object"), value.split(" → "), strict=True))
    return {"source_object" if group == "object" else group: value}


def _canaries(group: str) -> Callable[[BalanceSettings], Canaries]:
    """As many samples as may be, the last by their ids first, and one more."""

    def canaries(settings: BalanceSettings) -> Canaries:
        counts = {"dog → cat": 1}
        if group in settings.caps:
            counts = {"dog → cat": settings.caps[group], "owl → eel": 1}
        elif wanted := settings.shares.get(group):
            counts = in_proportion(
                wanted, {value: round(share / min(wanted.values())) for value, share in wanted.items()}
            )
        most = max(counts, key=counts.__getitem__)
        values = [value for value, count in counts.items() for _ in range(count)]
        kept = [_sample(number, **_planted(group, value)) for number, value in reversed(list(enumerate(values)))]
        one_more = [_sample(len(values), **_planted(group, most))]
        return Canaries(kept, one_more if group in settings.caps or len(counts) > 1 else [])

    return canaries


def _canary_letters(settings: BalanceSettings) -> Canaries:
    kept = [_sample(number, answer=letter) for number, letter in enumerate(LETTERS)]
    return Canaries(kept, [_sample(len(LETTERS), answer=LETTERS[0])] if settings.letters else [])


def _enough(group: str, reason: str, canaries: Callable[[BalanceSettings], Canaries]) -> Filter:
    def passes(columns: Columns, settings: BalanceSettings) -> Booleans:
        return np.array([enough_of != group for enough_of in columns[ENOUGH]], dtype=bool)

    return Filter(f"enough_of_{group}", (ENOUGH,), passes, reason, canaries, section=SECTION)


STEPS: tuple[Step, ...] = (
    Derivation(pa.field(ENOUGH, pa.string()), READS, _enough_of, section=SECTION, of_shard=True),
    *(_enough(group, f"there are enough samples of its {group}", _canaries(group)) for group in GROUPS),
    _enough(LETTER, "its letter answers its wording more often than the other", _canary_letters),
)
