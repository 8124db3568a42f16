"""Which samples of a set are left out so that it is not mostly of one sort, and which captions validate of each sort.

Both are functions of the samples and not of their order: what stays is chosen by ids and seeds, which are hashes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.method.conversations import share_of, split
from imgdiff_assets.method.tasks import LETTERS

GROUPS = ("replacement", "object", "kind", "task")
"""By what samples are counted, in the order in which some are left out."""

LETTER = "letter"
Shares = Mapping[str, Mapping[str, float]]
Caps = Mapping[str, int]


def surplus(samples: Sequence[Row], shares: Shares, caps: Caps, letters: bool) -> list[str | None]:
    """Of each sample the group that has enough without it, None if it stays.

    A sample has a `sample_id`, a `split`, in which alone it is counted, the GROUPS (None: of no such group), its
    `answer` and the `wording` of its question. First no value of a group has
    more than `caps` allows. Then the values that `shares` names are as many as these numbers are to each other; the
    scarcest of those that there are decides. Last, with `letters`, either letter is the answer to each wording equally
    often.
    """
    left = _letters_in_turn(samples)
    found: list[str | None] = [None] * len(samples)
    rules: list[tuple[str, Callable[[Mapping[Any, int]], dict[Any, int]]]]
    rules = [(group, partial(_capped, caps[group])) for group in GROUPS if group in caps]
    rules += [(group, partial(in_proportion, shares[group])) for group in GROUPS if group in shares]
    rules += [(LETTER, _as_many_of_either)] if letters else []
    for group, most in rules:
        counted = [(number, (samples[number]["split"], _value(samples[number], group))) for number in left]
        limits: dict[Hashable, int] = {}
        for side in {key[0] for _, key in counted}:
            counts = Counter(value for _, (where, value) in counted if where == side and value is not None)
            limits |= {(side, value): limit for value, limit in most(counts).items()}
        seen: Counter[Hashable] = Counter()
        for number, key in counted:
            seen[key] += 1
            if seen[key] > limits.get(key, len(samples)):
                found[number] = group
        left = [number for number in left if found[number] is None]
    return found


def _value(sample: Row, group: str) -> Any:
    if group != LETTER:
        return sample[group]
    return (sample["task"], sample["wording"], sample["answer"]) if sample["answer"] in LETTERS else None


def _letters_in_turn(samples: Sequence[Row]) -> list[int]:
    """The samples by their ids; but A and B by turns among those of a wording, so that any beginning has both."""
    order = sorted(range(len(samples)), key=lambda number: samples[number]["sample_id"])
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, number in enumerate(order):
        if (value := _value(samples[number], LETTER)) is not None:
            places[value[:2]].append(place)
    for own in places.values():
        either = [[order[place] for place in own if samples[order[place]]["answer"] == letter] for letter in LETTERS]
        turns = [number for both in zip_longest(*either) for number in both if number is not None]
        for place, number in zip(own, turns, strict=True):
            order[place] = number
    return order


def _capped(cap: int, counts: Mapping[Any, int]) -> dict[Any, int]:
    return dict.fromkeys(counts, cap)


def in_proportion(wanted: Mapping[str, float], counts: Mapping[Any, int]) -> dict[Any, int]:
    """By value, how many of `counts` are as many to each other as `wanted` says, of the values that there are."""
    named = {value: share for value, share in wanted.items() if counts.get(value)}
    scale = min((counts[value] / share for value, share in named.items()), default=0.0)
    return {value: round(scale * share) for value, share in named.items()}


def _as_many_of_either(counts: Mapping[Any, int]) -> dict[Any, int]:
    return {key: min(counts.get((*key[:2], letter), 0) for letter in LETTERS) for key in counts}


def validating(samples: Sequence[Row], by: Sequence[str], seed: int, fraction: float) -> set[str]:
    """The captions that validate: of each sort of kept samples, `fraction`, to a caption.

    A sort has one value in each of the columns `by`. Captions are taken whole, in the order of the hashes by which
    `split` goes, the scarcest sort first; what is less than one sample is one by chance, so that many small shards
    together hold the fraction. Captions without kept samples are where `split` puts them.
    """
    sorts: dict[str, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for sample in samples:
        sorts[sample["caption_id"]][tuple(str(sample[name]) for name in by)] += sample["kept"]
    total: Counter[tuple[Any, ...]] = sum(sorts.values(), Counter())
    order = sorted(sorts, key=lambda caption: (share_of(caption, seed), caption))
    chosen = {caption for caption in order if not +sorts[caption] and split(caption, seed, fraction) == "validation"}
    held: Counter[tuple[Any, ...]] = Counter()
    for sort in sorted(total, key=lambda sort: (total[sort], sort)):
        own = [caption for caption in order if sorts[caption][sort]]
        chance = (seed_of("validating", seed, list(sort), own[0]) >> 10) / (1 << 53)
        wanted = int(fraction * total[sort] + chance)
        for caption in _closest(own, chosen, sorts, sort, wanted - held[sort]):
            chosen.add(caption)
            held += sorts[caption]
    return chosen


def _closest(
    captions: Sequence[str], chosen: set[str], sorts: Mapping[str, Counter[Any]], sort: Any, wanted: int
) -> Iterator[str]:
    """The first captions not yet chosen that have about as many samples of a sort as are wanted."""
    for caption in captions:
        count = sorts[caption][sort]
        if caption not in chosen and 2 * wanted >= count:
            wanted -= count
            yield caption
