"""How the target image of a pair lies against the source: a shifted pair differs everywhere. Off unless named."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Columns, Pixels, Row
from imgdiff_assets.method.registration import corner_shift, register
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import CANARY_MARGIN, Canaries, Derivation, Measurement, Work, below, quality, share

SECTION = "alignment"
SCORE, CORNER = "displacement", "corner_shift"
FITS = ("misfit", "unmoved_misfit")


class AlignmentSettings(StageSettings):
    """Whether the two images are laid on each other, and how far apart they may lie."""

    max_displacement: float = Field(
        0.02,
        gt=0,
        le=1,
        description="How far a corner may lie from its place (share of the longer side): others are `misaligned`.",
    )
    max_misfit: float = Field(
        0.5,
        gt=0,
        le=1,
        description="A shift or zoom counts where no more than this share of what differs without it differs with it: "
        "else an object alone was moved, or there is nothing to go by.",
    )


def align(rows: Sequence[Row], work: Work) -> list[Row]:
    """Shift and zoom of each pair, and how well they explain what differs."""
    return [placed_row(*work.images(row["pair_id"])) for row in rows]


def placed_row(source: Pixels, target: Pixels) -> Row:
    """What is measured of two images (H, W, 3) of one size. Raises ValueError."""
    placed = register(source, target)
    height, width = source.shape[:2]
    return {**asdict(placed), CORNER: corner_shift(placed, width, height) / max(width, height)}


def displacement(columns: Columns, settings: Any) -> np.ndarray:
    """How far the farthest corner lies from its place; 0 where that explains too little, by `max_misfit`."""
    explained = columns["misfit"] <= settings.max_misfit * columns["unmoved_misfit"]
    return np.where(explained, columns[CORNER], 0.0)


def _canaries(settings: AlignmentSettings) -> Canaries:
    """Displaced a little less and a little more than is allowed; and much more, but without explaining anything."""

    def row(shift: float, misfit: float = 0.0) -> Row:
        return {CORNER: shift, "misfit": misfit, "unmoved_misfit": 0.5}

    limit = settings.max_displacement
    far = [row(2 * limit, 0.5 * settings.max_misfit + CANARY_MARGIN)]
    return Canaries([row(limit - CANARY_MARGIN), *far], [row(limit + CANARY_MARGIN)])


STEPS = (
    Measurement(
        name="align",
        columns=(
            *(pa.field(name, pa.float32()) for name in ("dx", "dy", "zoom", CORNER)),
            *map(share, FITS),
        ),
        inputs=("pair_id", "source_hash", "target_hash"),
        run=align,
        section=SECTION,
    ),
    replace(
        Derivation(quality(SCORE), (CORNER, *FITS), displacement),
        section=SECTION,
    ),
    replace(
        below(
            "misaligned",
            SCORE,
            "max_displacement",
            "the target image is shifted or zoomed against the source image",
            _canaries,
        ),
        section=SECTION,
    ),
)
