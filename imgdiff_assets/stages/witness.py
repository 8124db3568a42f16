"""Whether a second captioner sees what the difference caption says: a score of its own, off unless named."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.noun_phrases import noun_phrase
from imgdiff_assets.stages.differences import NoAnswer
from imgdiff_assets.stages.region_questions import REGION_KIND, REGION_SETTINGS, ask_of_regions
from imgdiff_assets.stages.settings import StageSettings
from imgdiff_assets.stages.steps import Derivation, Measurement, Work, at_least, share

SECTION = "witness"
SCORE = "witness_agreement"
ANSWERS = ("source_witness_caption", "target_witness_caption")


class WitnessStepSettings(StageSettings):
    """The witness is asked what each region shows, as the captioner was; `models.witness` names it."""

    min_witness_agreement: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much of what the witness says of both images the difference must say too, each of its own "
        "side, and nothing against it. At 0 nothing is rejected.",
    )


def attest(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """What the witness says of the region in each image."""
    settings = {name: work.settings[f"captions.{name}"] for name in REGION_SETTINGS}
    return ask_of_regions(rows, work, "witness", ANSWERS, settings)


def _agreement(columns: Columns, settings: Any) -> np.ndarray:
    """As the agreement with the region captions: 1 where all that the witness sees is said of its side."""
    language, lead_ins = settings.spoken, tuple(settings.lead_ins)
    rows = zip(columns["difference"], *(columns[name] for name in ANSWERS), strict=True)
    return np.array(
        [
            agreement(difference, *(noun_phrase(seen, language.phrases, lead_ins) or "" for seen in both), language)
            for difference, *both in rows
        ],
        dtype=np.float64,
    )


STEPS = (
    Measurement(
        name="attest",
        columns=tuple(pa.field(name, pa.string()) for name in ANSWERS),
        inputs=(
            *("region_id", "pair_id", "source_hash", "target_hash", "x1", "y1", "x2", "y2"),
            *("source_object", "target_object"),
        ),
        later_inputs=REGION_KIND,
        run=attest,
        settings=tuple(f"captions.{name}" for name in REGION_SETTINGS),
        roles=("witness",),
        section=SECTION,
    ),
    Derivation(share(SCORE), ("difference", *ANSWERS), _agreement, section=SECTION, of_stage=True),
    replace(
        at_least("not_attested", SCORE, "min_witness_agreement", "the witness sees something else than it says"),
        section=SECTION,
    ),
)
