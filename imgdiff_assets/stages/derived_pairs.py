"""Image pairs to derived pairs: pairs of pictures that are there already; nothing is drawn. Off unless named.

The inverse of an edit; two rewrites of one caption beside each other; both pictures of a shifted pair cut to what both
show; and one picture beside itself shifted, cropped, lit otherwise or recompressed, in which nothing differs.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Booleans, Columns, Pixels, Row
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.ledger.cells import IMAGE
from imgdiff_assets.ledger.images import HASH_COLUMNS, encode_png, pixel_hash
from imgdiff_assets.method.nuisance import WAYS
from imgdiff_assets.method.overlap import laid_on_each_other
from imgdiff_assets.method.registration import corner_shift, register
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.stages.alignment import CORNER, FITS, SCORE, displacement
from imgdiff_assets.stages.derived_items import (
    FROM,
    INVERSE,
    ITEM_COLUMNS,
    REGISTERED,
    ROUND_TRIP,
    SIBLINGS,
    TABLE,
    WITH,
    items,
)
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.stage import Above, Beside, Stage
from imgdiff_assets.stages.steps import (
    CANARY_MARGIN,
    Canaries,
    Derivation,
    Filter,
    Measurement,
    Work,
    at_least,
    quality,
    share,
    unless_missing,
)

PLACE = ("dx", "dy", "zoom", CORNER, *FITS)
IMAGES = ("source_image", "target_image")
STILL = 0.5
"""Pixels by which no corner of two pictures lies from its place that lie on each other."""


class DerivedPairsSettings(StageSettings):
    """Pairs of pictures that are there already, for which nothing is drawn."""

    inverse: bool = left_out(False, "Whether every pair is a pair the other way round too.")
    siblings: bool = left_out(
        False,
        "Whether what two rewrites of one caption put in one and the same place is a pair too: drawn over one picture "
        "with `image_pairs.seed_by: caption`.",
    )
    registered: bool = left_out(
        False,
        "Whether pictures that are shifted or zoomed against each other are cut to what both show, and laid on each "
        "other; needs `filtered_pairs.alignment`, which rejects the pair as it was.",
    )
    min_displacement: float = Field(
        0.02, gt=0, le=1, description="Pairs less far apart are not registered: as alignment's `max_displacement`."
    )
    max_misfit: float = Field(0.5, gt=0, le=1, description="As alignment's: what explains less is no shift.")
    nuisance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Of this share of the pairs one picture stands beside itself, with other pixels: what "
        "`same_or_different` is asked of it teaches not to see these.",
    )
    nuisance_ways: list[Literal["shifted", "cropped", "relit", "recompressed"]] = Field(
        ["shifted", "cropped", "relit", "recompressed"], min_length=1, description="In which ways pixels differ."
    )
    round_trip: bool = left_out(False, "Whether a round trip through the pair generator's autoencoder is one, too.")


def derive(rows: Sequence[Row], work: Work) -> list[Row]:
    """Both pictures of each pair; null where nothing is left of them."""
    settings, results = work.settings, list[Row]()
    for row in rows:
        first, second = _pictures(row, work)
        placed: Row = dict.fromkeys(PLACE)
        images: tuple[Pixels, Pixels] | None = (first, second)
        if row["derivation"] == REGISTERED:
            found = register(first, second)
            height, width = first.shape[:2]
            placed = {**asdict(found), CORNER: corner_shift(found, width, height) / max(width, height)}
            # Else there is nothing to gain, whatever the recipe says.
            apart = placed[CORNER] * max(width, height) >= STILL
            images = laid_on_each_other(first, second, found) if apart else None
        elif row["derivation"] == ROUND_TRIP:
            images = first, work.model("pair_generator").reconstruct(first)
        elif row["derivation"] in WAYS:
            seed = seed_of(settings["seed"], "derived_pair", row["pair_id"])
            images = WAYS[row["derivation"]](first, random.Random(seed))
        results.append({**placed, **_cells(row["pair_id"], images, settings["image_pairs.compression"])})
    return results


def _pictures(row: Row, work: Work) -> tuple[Pixels, Pixels]:
    """The two that the pair is made of."""
    first = work.images(row[FROM])[SIDES.index(row["from_side"])]
    return first, work.images(row[WITH] or row[FROM])[SIDES.index(row["with_side"])]


def _cells(pair_id: str, images: tuple[Pixels, Pixels] | None, compression: int) -> Row:
    if images is None:
        return dict.fromkeys(("width", "height", *HASH_COLUMNS, *IMAGES))
    return {
        "width": images[0].shape[1],
        "height": images[0].shape[0],
        **{f"{side}_hash": pixel_hash(image) for side, image in zip(SIDES, images, strict=True)},
        **{
            f"{side}_image": {"bytes": encode_png(image, compression), "path": f"{pair_id}_{side}.png"}
            for side, image in zip(SIDES, images, strict=True)
        },
    }


def _is_left(columns: Columns, settings: DerivedPairsSettings) -> Booleans:
    return np.array([name is not None for name in columns["source_hash"]], dtype=bool)


def _canary_nothing_left(settings: DerivedPairsSettings) -> Canaries:
    return Canaries([{"source_hash": "one"}], [{"source_hash": None}])


def _displacement(columns: Columns, settings: DerivedPairsSettings) -> np.ndarray:
    """As alignment has it; nothing of a pair that is not registered."""
    return np.where(np.isnan(columns[CORNER]), np.nan, displacement(columns, settings))


def _canary_aligned(settings: DerivedPairsSettings) -> Canaries:
    """A little further apart than is needed, and a little less; or much further, but without explaining anything."""

    def row(shift: float, misfit: float = 0.0) -> Row:
        return {CORNER: shift, "misfit": misfit, "unmoved_misfit": 0.5}

    limit = settings.min_displacement
    unexplained = row(2 * limit, 0.5 * settings.max_misfit + CANARY_MARGIN)
    return Canaries([row(limit + CANARY_MARGIN)], [row(limit - CANARY_MARGIN), unexplained])


def contents(row: Mapping[str, Any]) -> list[str]:
    """How it was derived, from what, and what came of it."""
    beside = f" and of {row['derived_with']}" if row[WITH] else ""
    place = f", shifted by {row['dx']:.1f}, {row['dy']:.1f} pixels and zoomed {row['zoom']:.3f}" if row["zoom"] else ""
    size = f"{row['width']} × {row['height']} pixels" if row["width"] else ""
    return [f"{row['derivation']}: of {row[FROM]}{beside}{place}", size]


STAGE = Stage(
    name=TABLE,
    id_column="pair_id",
    parents=("image_pairs", "prompt_pairs"),
    above=(Above("image_pairs", FROM),),
    section=DerivedPairsSettings,
    optional=True,
    description=__doc__,
    item_columns=ITEM_COLUMNS,
    items=items,
    item_settings=("seed", INVERSE, SIBLINGS, REGISTERED, "nuisance", "nuisance_ways", ROUND_TRIP),
    one_each=lambda settings: False,
    beside=(Beside("image_pairs", WITH, kept=True),),
    contents=contents,
    steps=(
        Measurement(
            name="derive",
            columns=(
                *(pa.field(name, pa.float32()) for name in ("dx", "dy", "zoom", CORNER)),
                *map(share, FITS),
                pa.field("width", pa.int32()),
                pa.field("height", pa.int32()),
                *(pa.field(name, pa.string()) for name in HASH_COLUMNS),
                *(pa.field(name, IMAGE) for name in IMAGES),
            ),
            inputs=("pair_id", "derivation", FROM, "from_side", "from_hash", WITH, "with_side", "with_hash"),
            run=derive,
            settings=("seed", ROUND_TRIP),
            indifferent=("image_pairs.compression",),
            more_roles={ROUND_TRIP: ("pair_generator",)},
        ),
        Derivation(quality(SCORE), (CORNER, *FITS), _displacement),
        unless_missing(
            at_least("aligned", SCORE, "min_displacement", "the two images lie on each other already", _canary_aligned)
        ),
        Filter(
            "nothing_left",
            ("source_hash",),
            _is_left,
            "the two images show next to nothing of the same",
            _canary_nothing_left,
        ),
    ),
)
