"""Whether a region's captions name what its prompt pair says that differs, and whether all that it says is named.

So a pair that shows another kind of difference than was asked for is none of that kind. Off unless named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.method.agreement import stem
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.kind import OBJECT_REPLACED, SIDES, kind_asked, kind_names
from imgdiff_assets.method.language import Language
from imgdiff_assets.stages.differences import PHRASES, REGION_CAPTIONS
from imgdiff_assets.stages.phrases import NOTHING
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Canaries, Derivation, Filter, at_least, share

SECTION = "naming"
OBJECTS = ("source_object", "target_object")
NAMES = (*PHRASES, *OBJECTS, "asked_kind")
UNTOLD = "untold"


class NamingSettings(StageSettings):
    """A region's captions must name what its prompt pair says that differs."""

    min_naming: float = Field(
        1.0,
        ge=0,
        le=1,
        description="How much of what a prompt pair names in an image the caption of its region there must name. "
        "Where the other image shows nothing of it, its caption must name nothing.",
    )


def _named(columns: Columns, settings: Any) -> Booleans:
    """Whether something is named in each image that is to show something."""
    shown = dict(zip(SIDES, (columns[name].astype(bool) for name in PHRASES), strict=True))
    kinds = columns["asked_kind"]
    named: Booleans = np.ones(len(kinds), dtype=bool)
    for kind in set(kinds.tolist()):
        of_kind = kinds == kind
        for side in kind_asked(kind).sides:
            named &= shown[side] | ~of_kind
    return named


def _canary_named(settings: Any) -> Canaries:
    """For each image that is to show something, a row that names nothing there."""
    kept, rejected = list[Row](), list[Row]()
    for asked in (None, *(name for name in kind_names() if name != OBJECT_REPLACED)):
        sides = kind_asked(asked).sides
        row = {"asked_kind": asked, **dict(zip(REGION_CAPTIONS, ("a dog", "a cat"), strict=True))}
        kept.append(row)
        rejected += [{**row, REGION_CAPTIONS[SIDES.index(side)]: NOTHING} for side in sides]
    return Canaries(kept, rejected)


NAMED = Filter(
    "nothing_named",
    (*PHRASES, "asked_kind"),
    _named,
    "the captioner named nothing that the region shows",
    _canary_named,
)


def naming(row: Mapping[str, Any], change: Sequence[str | None], language: Language) -> float:
    """How much of what one difference names is told of the region, each of its own image; the weaker side counts.

    0 where the caption of an image names all that is to be in the other one alone, and where it names anything though
    nothing is to be there.
    """
    kind = kind_asked(row["asked_kind"])
    told = [_stems(row[name], language) for name in PHRASES]
    named = [_stems(text, language) for text in change]
    shares = []
    for side, place in zip(SIDES, (0, 1), strict=True):
        if side not in kind.sides:
            shares.append(float(not told[place]))
        elif named[place]:
            stranger = (
                bool(named[1 - place]) and named[1 - place] <= told[place] and not named[1 - place] <= named[place]
            )
            shares.append(0.0 if stranger else len(named[place] & told[place]) / len(named[place]))
    return min(shares, default=1.0)


def _stems(text: str | None, language: Language) -> set[str]:
    said = [word for word in words(text or "") if word not in language.articles]
    return {stem(word, language) for word in said}


def _best(row: Mapping[str, Any], language: Language) -> tuple[float, int]:
    """Of the differences that the prompt pair names, how well the region tells the one it tells best, and which."""
    changes = kind_asked(row["asked_kind"]).changes(*(row[name] for name in OBJECTS))
    if not any(map(any, changes)):
        return 1.0, 0
    return max((naming(row, change, language), -number) for number, change in enumerate(changes))


def _rows(columns: Columns, names: Sequence[str]) -> list[Row]:
    return [dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)]


def _naming(columns: Columns, settings: Any) -> np.ndarray:
    return np.array([_best(row, settings.spoken)[0] for row in _rows(columns, NAMES)], dtype=np.float64)


def _untold(columns: Columns, settings: Any) -> np.ndarray:
    """How many of the differences that the prompt pair names no region of the pair tells."""
    rows = _rows(columns, ("pair_id", *NAMES))
    told: dict[str, set[int]] = {}
    for row in rows:
        told.setdefault(row["pair_id"], set()).add(_best(row, settings.spoken)[1])
    return np.array(
        [
            len(kind_asked(row["asked_kind"]).changes(*(row[name] for name in OBJECTS))) - len(told[row["pair_id"]])
            for row in rows
        ],
        dtype=np.int32,
    )


def _all_told(columns: Columns, settings: NamingSettings) -> Booleans:
    return np.asarray(columns[UNTOLD] < 1, dtype=bool)


def _region(pair: str, told: Sequence[str], named: Sequence[str | None], asked: str | None) -> Row:
    phrases, objects = zip(PHRASES, told, strict=True), zip(OBJECTS, named, strict=True)
    return {"pair_id": pair, "asked_kind": asked, **dict(phrases), **dict(objects)}


def _canary_naming(settings: NamingSettings) -> Canaries:
    kept = [_region("one", ("a dog", "a cat"), ("dog", "cat"), None)]
    wrong = [_region("two", ("a dog", "a bird"), ("dog", "cat"), None)] if settings.min_naming > 0 else []
    return Canaries(kept, wrong)


def _canary_untold(settings: NamingSettings) -> Canaries:
    """Both differences that are named, and a pair of which one region is left."""
    named = ("dog, cup", "cat, vase")
    kept = [_region("one", told, named, "several") for told in (("a dog", "a cat"), ("a cup", "a vase"))]
    return Canaries(kept, [_region("two", ("a dog", "a cat"), named, "several")])


STEPS = tuple(
    replace(step, section=SECTION)
    for step in (
        Derivation(share("naming"), NAMES, _naming, of_stage=True),
        at_least(
            "not_as_named",
            "naming",
            "min_naming",
            "the captions of the region do not name what the prompt pair says that differs",
            _canary_naming,
        ),
        Derivation(pa.field(UNTOLD, pa.int32()), ("pair_id", *NAMES), _untold, of_stage=True),
        Filter(
            "not_all_told",
            (UNTOLD,),
            _all_told,
            "a difference that the prompt pair names is told of no region",
            _canary_untold,
        ),
    )
)
