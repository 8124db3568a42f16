"""Pictures that were ingested as sources of pairs: made to fit, and described where they came without a caption.

Both stages that look at them see them alike: scaled and cropped as the recipe says.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import field_validator

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.ledger.images import decode
from imgdiff_assets.method.answers import plain
from imgdiff_assets.stages.differences import NoAnswer
from imgdiff_assets.stages.settings import StageSettings, left_out
from imgdiff_assets.stages.steps import Measurement, Work

SECTION = "pictures"
LEAST_SIDE = 16
FITTING = ("longest_side", "multiple_of", "crop")
GIVEN = ("picture_hash", "given_caption")


class TooNarrow(ImgDiffError, ValueError):
    """A picture of which nothing would be left."""


class PicturesSettings(StageSettings):
    """How ingested pictures are seen, and what the captioner is asked about those that have no caption."""

    caption_question: str = left_out(
        "Describe this picture in one sentence, naming the things that are seen and where they are.",
        "What the captioner is asked about a picture that has no caption.",
    )
    longest_side: int = left_out(
        1024, "Pictures with a longer side are scaled down to it; smaller ones are never enlarged.", ge=64, le=8192
    )
    multiple_of: int = left_out(
        16, "Both sides are cropped about the centre to a multiple of this, as editors need it.", ge=1, le=256
    )
    crop: Literal["multiple", "square"] = left_out(
        "multiple", "How much is cropped: as much as `multiple_of` needs, or to a square about the centre."
    )

    @field_validator("caption_question")
    @classmethod
    def _something_is_asked(cls, question: str) -> str:
        if not question.strip():
            raise ValueError("is empty; the captioner must be asked something")
        return question


def fitted(picture: Pixels, settings: Mapping[str, Any]) -> tuple[Pixels, str]:
    """A picture (H, W, 3) uint8 as the recipe has it, and in words what was done; empty where nothing was.

    `settings` are those of FITTING. Raises TooNarrow where a side would have less than one `multiple_of`.
    """
    height, width = picture.shape[:2]
    done, sides = list[str](), (width, height)
    scale = min(settings["longest_side"] / max(sides), 1.0)
    image = Image.fromarray(picture)
    if scale < 1:
        sides = (max(round(width * scale), 1), max(round(height * scale), 1))
        image = image.resize(sides, Image.Resampling.LANCZOS)
        done.append(f"scaled from {width} x {height} to {sides[0]} x {sides[1]}")
    wanted = (min(sides),) * 2 if settings["crop"] == "square" else sides
    step = settings["multiple_of"]
    wanted = (wanted[0] // step * step, wanted[1] // step * step)
    if min(wanted) < max(step, LEAST_SIDE):
        raise TooNarrow(
            f"a picture of {width} x {height} pixels would be {sides[0]} x {sides[1]}, and a side needs at least "
            f"{max(step, LEAST_SIDE)}"
        )
    if wanted != sides:
        left, top = (sides[0] - wanted[0]) // 2, (sides[1] - wanted[1]) // 2
        image = image.crop((left, top, left + wanted[0], top + wanted[1]))
        done.append(f"cropped to {wanted[0]} x {wanted[1]} at ({left}, {top})")
    return np.asarray(image), ", ".join(done)


def source_picture(caption_id: str, work: Work, section: str = "") -> tuple[Pixels, str]:
    """The picture of this id as the recipe has it, and what was done with it. Raises TooNarrow, DamagedImage.

    `section` is what the names of the settings begin with.
    """
    settings = {name: work.settings[f"{section}{name}"] for name in FITTING}
    return fitted(decode(work.given(caption_id)["source_image"]["bytes"]), settings)


def pair_id(caption_id: str, attempt: int) -> str:
    """The id of a pair that is made of a picture; known before anything is measured."""
    return content_id("picture_pair", caption_id, attempt)


def write_captions(rows: Sequence[Row], work: Work) -> list[Row | Exception]:
    """The caption that was given, or else what the captioner says; asked once of several attempts."""
    views: dict[str, Pixels] = {}
    failed: dict[str, Exception] = {}
    for row in rows:
        known = row["caption_id"]
        if not row["given_caption"] and known not in views and known not in failed:
            try:
                views[known], _ = source_picture(known, work)
            except ImgDiffError as error:  # of this picture alone
                failed[known] = error
    said: dict[str, str] = {}
    if views:
        questions = [work.settings["caption_question"]] * len(views)
        answers = work.model("captioner").answer([[view] for view in views.values()], questions)
        said = dict(zip(views, map(plain, answers), strict=True))
    results: list[Row | Exception] = []
    for row in rows:
        caption = row["given_caption"] or said.get(row["caption_id"])
        if caption:
            results.append({"source_caption": caption})
        else:
            nothing = NoAnswer("the captioner said nothing about the picture")
            results.append(failed.get(row["caption_id"], nothing))
    return results


CAPTION = Measurement(
    name="caption",
    columns=(pa.field("source_caption", pa.string()),),
    inputs=("caption_id", "attempt", *GIVEN),
    run=write_captions,
    settings=("caption_question", *FITTING),
    roles=("captioner",),
    section=SECTION,
)
"""Of pictures alone; a part of its own, so that tables of captions know nothing of it."""
