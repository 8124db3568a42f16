"""What is worse than an answer: by it a sample becomes a pair of a chosen and a rejected answer to one question.

Filters reject what is wrong, and it is kept with its reason: a caption of another region of the pair, one that names
what is not there. Where a pair has none of these, the answer is given for the wrong side. What filters rejected is
taken before what they kept, for it is wrong in the ways in which models are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.caption_edit import same_words
from imgdiff_assets.method.conversations import pick, sentence
from imgdiff_assets.method.language import sentences_in
from imgdiff_assets.method.tasks import LETTERS, SAME
from imgdiff_assets.reading.samples import Sample
from imgdiff_assets.reading.scan import scan

PREFERENCE = "preference"
"""What `imgdiff export --task` is given for it."""

OTHER_REGION, WRONG_SIDE, WRONG_CHOICE = "other_region", "wrong_side", "wrong_choice"
REGION = ("region_id", "pair_id", "kept", "rejected_by", "difference", "source_phrase", "target_phrase")


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that is worse than a sample's, and what is wrong with it: the filter that rejected it where it was
    said of that pair, `other_region`, `wrong_side`, or `wrong_choice`."""

    answer: str
    fault: str


def rejected_answers(ledger: Ledger, shard: str, samples: Sequence[Sample]) -> dict[str, Rejected]:
    """By sample id, of those samples of a shard to which something worse is known. Raises DamagedTable."""
    pairs = pa.array(sorted({sample.pair_id for sample in samples}), pa.string())
    rows = scan(ledger, "captions", REGION, pc.field("pair_id").isin(pairs), [shard]).to_pylist()
    regions: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        regions.setdefault(row["pair_id"], []).append(row)
    found = {}
    for sample in samples:
        worse = WORSE.get(sample.task)
        offers = list(worse(sample, regions.get(sample.pair_id, ()))) if worse is not None else []
        if offers:
            of_filters = [offer for offer in offers if offer.fault not in (OTHER_REGION, WRONG_SIDE)]
            candidates = of_filters or offers
            answer = pick([offer.answer for offer in candidates], PREFERENCE, sample.sample_id)
            found[sample.sample_id] = next(offer for offer in candidates if offer.answer == answer)
    return found


def _of_difference(sample: Sample, regions: Sequence[Mapping[str, Any]]) -> Iterator[Rejected]:
    for region in regions:
        if region["region_id"] != sample.region_id and region["difference"]:
            said = sentence(region["difference"])
            if not same_words(said, sample.answer):
                yield Rejected(said, OTHER_REGION if region["kept"] else str(region["rejected_by"]))
    own = next((region for region in regions if region["region_id"] == sample.region_id), None)
    if own is not None and (swapped := _swapped(sample.answer, own["source_phrase"], own["target_phrase"])):
        yield Rejected(swapped, WRONG_SIDE)


def _swapped(answer: str, source: str | None, target: str | None) -> str | None:
    """The answer with what is said of either side said of the other; None where it does not name both once."""
    if not source or not target or same_words(source, target):
        return None
    if answer.count(source) != 1 or answer.count(target) != 1 or source in target or target in source:
        return None
    return target.join(part.replace(target, source) for part in answer.split(source))


def _of_choice(sample: Sample, regions: Sequence[Mapping[str, Any]]) -> Iterator[Rejected]:
    if sample.answer in LETTERS:
        yield Rejected(LETTERS[1 - LETTERS.index(sample.answer)], WRONG_CHOICE)


def _of_sameness(sample: Sample, regions: Sequence[Mapping[str, Any]]) -> Iterator[Rejected]:
    sentences = sentences_in(sample.shown.question)
    yield Rejected(sentences.different if sample.answer in SAME else sentences.same, WRONG_CHOICE)


WORSE: Mapping[str, Callable[[Sample, Sequence[Mapping[str, Any]]], Iterator[Rejected]]] = {
    "difference": _of_difference,
    "which_image": _of_choice,
    "same_or_different": _of_sameness,
}
"""By task, what is worse than a sample's answer, given all regions of its pair."""
