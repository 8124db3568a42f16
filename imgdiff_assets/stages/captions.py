"""Bounding boxes to captions: what each region shows in each image, then what the difference is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Columns, Row
from imgdiff_assets.method.caption_edit import agreement
from imgdiff_assets.method.regions import BAR_WIDTH, BOX_COLUMNS, draw_box, side_by_side
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.stage_settings import CaptionsSettings
from imgdiff_assets.stages.canaries import planted_matches
from imgdiff_assets.stages.stage import Canaries, Derivation, Measurement, Stage, Work, at_least, below
from resources.images.crops import cut

ITEM_COLUMNS = ("region_id", "pair_id", "source_hash", "target_hash", "source_object", "target_object")
REGION_CAPTIONS = ("source_region_caption", "target_region_caption")
REGION_INPUTS = ("region_id", "pair_id", "source_hash", "target_hash", *BOX_COLUMNS)


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> pa.Table:
    """Every region that has a box."""
    regions = tables["bounding_boxes"].select([*ITEM_COLUMNS, *BOX_COLUMNS, "kept"])
    return regions.filter(pc.field("x1").is_valid())


class NoAnswer(ValueError):
    """The captioner said nothing, as no working one does: an error of the row, not a finding about it."""


def describe(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """One caption of the region in each image."""
    settings = work.recipe.captions
    views, questions = [], []
    for row in rows:
        for image, name in zip(work.images(row["pair_id"]), (row["source_object"], row["target_object"]), strict=True):
            height, width = image.shape[:2]
            x1, y1, x2, y2 = (row[corner] for corner in BOX_COLUMNS)
            box = {"x1": x1 / width, "y1": y1 / height, "x2": x2 / width, "y2": y2 / height}
            views.append(
                [image if settings.region_view == "full" else cut(image, (x1, y1, x2, y2), settings.crop_padding)]
            )
            questions.append(settings.region_question.format(**box, object=name or "object"))
    answers = [_tidy(answer) for answer in work.model("captioner").answer(views, questions)]
    results: list[Row | NoAnswer] = []
    for both in zip(answers[0::2], answers[1::2], strict=True):
        silent = [image for image, answer in zip(("source", "target"), both, strict=True) if not answer]
        said = dict(zip(REGION_CAPTIONS, both, strict=True))
        results.append(
            NoAnswer(f"the captioner said nothing about the {' and the '.join(silent)} image") if silent else said
        )
    return results


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the two captions' vectors."""
    texts = [row[name] for row in rows for name in REGION_CAPTIONS]
    vectors = work.model("image_text_encoder").encode_texts(texts)
    return [{"caption_similarity": float(value)} for value in np.sum(vectors[0::2] * vectors[1::2], axis=1)]


def match(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well each caption fits its crop."""
    return _match(rows, work, "match")


def mismatch(rows: Sequence[Row], work: Work) -> list[Row]:
    """How well each caption fits the other image's crop, which it was not written of."""
    return _match(rows, work, "mismatch")


def _match(rows: Sequence[Row], work: Work, kind: Literal["match", "mismatch"]) -> list[Row]:
    crops, texts = [], []
    for row in rows:
        box = [row[name] for name in BOX_COLUMNS]
        views = [cut(image, box, work.recipe.captions.crop_padding) for image in work.images(row["pair_id"])]
        crops += views if kind == "match" else views[::-1]
        texts += [row[name] for name in REGION_CAPTIONS]
    itc, itm = work.model("image_text_matcher").match(crops, texts)
    return [
        {
            f"source_{kind}_itc": float(itc[index]),
            f"target_{kind}_itc": float(itc[index + 1]),
            f"source_{kind}_itm": float(itm[index]),
            f"target_{kind}_itm": float(itm[index + 1]),
        }
        for index in range(0, 2 * len(rows), 2)
    ]


def tell_apart(rows: Sequence[Row], work: Work) -> list[Row | NoAnswer]:
    """The difference caption, and how much of both region captions it names on the right sides."""
    settings = work.recipe.captions
    views, questions = [], []
    for row in rows:
        images = work.images(row["pair_id"])
        box = [row[name] for name in BOX_COLUMNS]
        if settings.difference_view == "crops":
            views.append([cut(image, box, settings.crop_padding) for image in images])
        else:
            left, right = (draw_box(image, box) for image in images)
            views.append([side_by_side(left, right, BAR_WIDTH)])
        captions = {"source_caption": row["source_region_caption"], "target_caption": row["target_region_caption"]}
        questions.append(settings.difference_question.format(**captions))
    answers = [_tidy(answer) for answer in work.model("captioner").answer(views, questions)]
    return [
        {"difference_caption": answer, "agreement": agreement(answer, *(row[name] for name in REGION_CAPTIONS))}
        if answer
        else NoAnswer("the captioner named no difference")
        for row, answer in zip(rows, answers, strict=True)
    ]


def _tidy(answer: str) -> str:
    return " ".join(answer.split())


def _weaker_match(columns: Columns, settings: CaptionsSettings) -> np.ndarray:
    return np.minimum(*(columns[f"{side}_match_{settings.match_score}"] for side in ("source", "target")))


def _canary_misfit(settings: CaptionsSettings) -> Canaries:
    return planted_matches(settings.match_score, settings.min_match, both=True)


def _region_settings(recipe: Recipe) -> dict[str, Any]:
    return recipe.captions.model_dump(include={"region_view", "region_question", "crop_padding"})


def _difference_settings(recipe: Recipe) -> dict[str, Any]:
    return recipe.captions.model_dump(include={"difference_view", "difference_question", "crop_padding"})


STAGE = Stage(
    name="captions",
    id_column="region_id",
    parents=("bounding_boxes", "image_pairs"),
    description=__doc__,
    item_columns=(
        *(pa.field(name, pa.string()) for name in ITEM_COLUMNS),
        *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    ),
    items=items,
    steps=(
        Measurement(
            name="describe",
            columns=tuple(pa.field(name, pa.string()) for name in REGION_CAPTIONS),
            inputs=(*REGION_INPUTS, "source_object", "target_object"),
            run=describe,
            settings=_region_settings,
            roles=("captioner",),
            version=2,
        ),
        Measurement(
            name="compare",
            columns=(pa.field("caption_similarity", pa.float32()),),
            inputs=REGION_CAPTIONS,
            run=compare,
            roles=("image_text_encoder",),
        ),
        below("captions_alike", "caption_similarity", "max_caption_similarity"),
        # The dear model last: it reads only what the cheap one left.
        Measurement(
            name="match",
            columns=tuple(
                pa.field(f"{side}_match_{head}", pa.float32())
                for head in ("itc", "itm")
                for side in ("source", "target")
            ),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=match,
            settings=lambda recipe: {"crop_padding": recipe.captions.crop_padding},
            roles=("image_text_matcher",),
        ),
        Derivation(
            pa.field("match", pa.float32()),
            tuple(f"{side}_match_{head}" for head in ("itc", "itm") for side in ("source", "target")),
            _weaker_match,
        ),
        at_least("caption_misfits", "match", "min_match", _canary_misfit),
        Measurement(
            name="tell_apart",
            columns=(pa.field("difference_caption", pa.string()), pa.field("agreement", pa.float32())),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=tell_apart,
            settings=_difference_settings,
            roles=("captioner",),
            version=2,
        ),
        at_least("difference_disagrees", "agreement", "min_agreement"),
        Measurement(
            name="mismatch",
            columns=tuple(
                pa.field(f"{side}_mismatch_{head}", pa.float32())
                for head in ("itc", "itm")
                for side in ("source", "target")
            ),
            inputs=(*REGION_INPUTS, *REGION_CAPTIONS),
            run=mismatch,
            settings=lambda recipe: {"crop_padding": recipe.captions.crop_padding},
            roles=("image_text_matcher",),
        ),
    ),
)
