"""Filtered pairs to bounding boxes: where the two images differ, and the difference is the named object."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Pixels, Row
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.tables import look_up
from imgdiff_assets.method.kind import SIDES, kind_asked, kind_named
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named
from imgdiff_assets.method.regions import BOX_COLUMNS, numbered, ranks, suppress
from imgdiff_assets.method.sought import as_captioned
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.derived_items import with_derived
from imgdiff_assets.stages.matches import HEADS, matches, planted_matches
from imgdiff_assets.stages.preservation import STEPS as PRESERVATION
from imgdiff_assets.stages.preservation import PreservedSettings
from imgdiff_assets.stages.settings import StageSettings, in_order, left_out, off_unless_named
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import (
    Canaries,
    Derivation,
    Filter,
    Measurement,
    Work,
    at_least,
    below,
    cosine,
    quality,
    share,
    unless_missing,
)
from resources.images.crops import cut
from resources.loading.failures import ModelUnavailable

Proposals = tuple[Any, Any]
"""Boxes (K, 4) and scores (K,) of one image."""

PAIR_COLUMNS = ("pair_id", "source_hash", "target_hash")
OBJECT_COLUMNS = ("source_object", "target_object")
SOUGHT = ("source_sought", "target_sought")
"""What the matcher is asked for, where that is more than the objects."""

SCORE = "region_similarity"
RANKED_BY = ("pair_id", "found_in", *BOX_COLUMNS, SCORE)


class BoundingBoxesSettings(StageSettings):
    """Where two images differ, and the difference is the named object."""

    min_area_fraction: float = Field(
        0.0025, ge=0, le=1, description="Smaller boxes are rejected (share of the image)."
    )
    max_area_fraction: float = Field(1.0, gt=0, le=1, description="Larger boxes are rejected (share of the image).")
    crop_padding: int = Field(0, ge=0, description="Pixels added around a box before its crop is scored.")
    max_region_similarity: float = Field(
        0.85, ge=-1, le=1, description="Boxes whose two crops are more alike (cosine) are rejected: `same_content`."
    )
    match_score: Literal["itc", "itm"] = Field(
        "itc", description="Contrastive cosine, or the matching head's probability."
    )
    match_rule: Literal["both", "either"] = Field(
        "either", description="Whether the object must be seen in its own image on both sides or on one."
    )
    min_match: float = Field(0.35, ge=-1, le=1, description="A crop that matches its object less does not show it.")
    match_articles: bool = left_out(
        False,
        "Ask the matcher for what is named with the article that its caption puts before it: for “a red ball” of “a "
        "red ball on the sand”, as matchers are trained, where without it is asked for “red ball”.",
    )
    max_overlap: float = Field(0.5, ge=0, le=1, description="Of boxes with a larger IoU the most different is kept.")
    max_boxes: int = Field(5, ge=1, description="Boxes kept per pair, most different first.")
    propose: Literal["grid", "text"] = left_out(
        "grid",
        "Where boxes come from: from a grid of points, or from the names of the replaced and the replacing object, "
        "which a segmenter such as SAM 3 looks for, each in its own image.",
    )
    preserved: PreservedSettings | None = off_unless_named(
        "Pairs that differ outside their kept regions, too, are rejected: `{}` measures how much they do."
    )

    @model_validator(mode="after")
    def _some_box_can_pass(self) -> "BoundingBoxesSettings":
        return in_order(self, "min_area_fraction", "max_area_fraction")


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every filtered pair, with the objects that its two prompts name, and as what they are sought."""
    pairs = tables["filtered_pairs"].select([*PAIR_COLUMNS, "kept"])
    prompts = look_up(with_derived(tables)["prompt_pairs"], "pair_id", pairs["pair_id"])
    for name in (*OBJECT_COLUMNS, "asked_kind"):
        pairs = pairs.append_column(name, prompts[name])
    if settings["match_articles"]:
        language = language_named(settings["prompt_pairs.language"] or DEFAULT_LANGUAGE)
        for side, sought, named in zip(SIDES, SOUGHT, OBJECT_COLUMNS, strict=True):
            told = zip(prompts[named].to_pylist(), prompts[f"{side}_caption"].to_pylist(), strict=True)
            pairs = pairs.append_column(
                sought, pa.array([as_captioned(*both, language) for both in told], pa.string())
            )
    return pairs


def row_id(row: Row) -> str:
    """Of the pair and the box, not of pixels, whose last bits depend on device and batch."""
    return content_id("region", row["pair_id"], row.get("found_in"), [row.get(name) for name in BOX_COLUMNS])


def propose(rows: Sequence[Row], work: Work) -> list[list[Row]]:
    """Object proposals from both images; a pair without any has one row without a box.

    Of a difference that is everywhere the region is all of the source image, whose share of the image is not judged.
    """
    pairs = [work.images(row["pair_id"]) for row in rows]
    proposals = _proposals(rows, [image for pair in pairs for image in pair], work)
    results = []
    for number, (source, _) in enumerate(pairs):
        height, width = source.shape[:2]
        if kind_asked(rows[number]["asked_kind"]).everywhere:
            whole = dict(zip(BOX_COLUMNS, (0.0, 0.0, float(width), float(height)), strict=True))
            results.append([{"found_in": "source", **whole, "area_fraction": None, "proposal_score": None}])
            continue
        found: dict[tuple[str, tuple[float, ...]], Row] = {}
        for name, (boxes, scores) in zip(("source", "target"), proposals[2 * number : 2 * number + 2], strict=True):
            for box, score in zip(np.asarray(boxes, dtype=np.float64), scores, strict=True):
                corners = tuple(round(float(value), 2) for value in box)
                share = (corners[2] - corners[0]) * (corners[3] - corners[1]) / (width * height)
                values = dict(zip(BOX_COLUMNS, corners, strict=True))
                row = {"found_in": name, **values, "area_fraction": share, "proposal_score": float(score)}
                found.setdefault((name, corners), row)
        results.append(
            list(found.values()) or [dict.fromkeys(["found_in", *BOX_COLUMNS, "area_fraction", "proposal_score"])]
        )
    return results


def _proposals(rows: Sequence[Row], images: Sequence[Pixels], work: Work) -> Sequence[Proposals]:
    """Boxes and scores of each image, of which each row has two; by name there are none where nothing is named.

    Raises ModelUnavailable for a segmenter that finds nothing by name.
    """
    model = work.model("segmenter")
    if work.settings["propose"] == "grid":
        return cast("Sequence[Proposals]", model.propose(images))
    if not hasattr(model, "propose_named"):
        raise ModelUnavailable(
            "The segmenter finds nothing by name: name a SAM 3, or set bounding_boxes.propose to grid."
        )
    names = [row[name] for row in rows for name in OBJECT_COLUMNS]
    named = [place for place, name in enumerate(names) if name]
    told = model.propose_named([images[place] for place in named], [names[place] for place in named])
    found: list[Proposals] = [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in names]
    for place, boxes in zip(named, told, strict=True):
        found[place] = boxes
    return found


def compare(rows: Sequence[Row], work: Work) -> list[Row]:
    """Cosine of the region's two crops."""
    crops = []
    for row in rows:
        crops += _crops(row, work)
    vectors = work.model("image_encoder").encode_images(crops)
    return [{SCORE: float(value)} for value in np.sum(vectors[0::2] * vectors[1::2], axis=1)]


def match(rows: Sequence[Row], work: Work) -> list[Row]:
    """Source crop against the replaced object, target crop against the replacing one, wherever the box was found.

    Of a given pair that names no objects there is nothing to match, nor of a difference that is everywhere, nor in an
    image in which there is nothing. Where a prompt pair lists several differences, it is the one that fits best.
    """
    asked = [(row, change) for row in rows for change in _named(row)]
    crops = [crop for row, _ in asked for crop in _crops(row, work)]
    # What is not named is asked about as the other side is, and the answer left out.
    texts = [text or (source or target) for _, (source, target) in asked for text in (source, target)]
    scores = iter(zip(*work.model("image_text_matcher").match(crops, texts), strict=True))
    results: list[Row] = []
    for row in rows:
        told = []
        for change in _named(row):
            both = next(scores), next(scores)
            told.append([(None, None) if text is None else pair for text, pair in zip(change, both, strict=True)])
        best = max(told, key=_weaker, default=[(None, None), (None, None)])
        results.append(
            {
                f"{side}_match_{head}": None if score is None else float(score)
                for side, both in zip(SIDES, best, strict=True)
                for head, score in zip(("itc", "itm"), both, strict=True)
            }
        )
    return results


def _named(row: Row) -> list[tuple[str | None, str | None]]:
    """What is to be seen in the region, by side: one of these."""
    kind, names = kind_asked(row["asked_kind"]), SOUGHT if SOUGHT[0] in row else OBJECT_COLUMNS
    named = any(row[name] is not None for name in names)
    return kind.changes(*(row[name] for name in names)) if named and not kind.everywhere else []


def _weaker(both: Sequence[tuple[float | None, float | None]]) -> float:
    return min(itc for itc, _ in both if itc is not None)


def _crops(row: Row, work: Work) -> list[np.ndarray]:
    box = [row[name] for name in BOX_COLUMNS]
    return [cut(image, box, work.settings["crop_padding"]) for image in work.images(row["pair_id"])]


def _has_box(columns: Columns, settings: BoundingBoxesSettings) -> Booleans:
    return np.array([name is not None for name in columns["found_in"]], dtype=bool)


def _match_scores(columns: Columns, settings: BoundingBoxesSettings) -> np.ndarray:
    """What the match filter compares: the weaker side if both must fit, else the stronger, as for kinds that move."""
    sides = [columns[f"{side}_match_{settings.match_score}"] for side in ("source", "target")]
    one = np.array([kind is not None and kind_named(kind).on_one_side for kind in columns["asked_kind"]], dtype=bool)
    # Where only one image shows what is named, the other has no score.
    return np.where(one | (settings.match_rule == "either"), np.fmax(*sides), np.fmin(*sides))


def _seen(columns: Columns, settings: BoundingBoxesSettings) -> Booleans:
    """A region of a pair that names no objects has no score, and is not judged."""
    return ~np.asarray(columns["match"] < settings.min_match, dtype=bool)


def _most_different_first(columns: Columns) -> np.ndarray:
    """By similarity, then by box, so that the order never depends on the proposals' order."""
    keys = [columns[name] for name in reversed(BOX_COLUMNS)]
    return np.lexsort([columns["found_in"] == "target", *keys, columns[SCORE]])


def _apart(columns: Columns, settings: BoundingBoxesSettings) -> Booleans:
    """Non-maximum suppression within each pair, most different first."""
    boxes = np.stack([columns[name] for name in BOX_COLUMNS], axis=1)
    return suppress(boxes, _most_different_first(columns), settings.max_overlap, numbered(columns["pair_id"]))


def _rank(columns: Columns, settings: BoundingBoxesSettings) -> np.ndarray:
    """Place within the pair, the most different region first (0)."""
    return ranks(_most_different_first(columns), numbered(columns["pair_id"]))


def _canary_without_box(settings: BoundingBoxesSettings) -> Canaries:
    return Canaries(kept=[{"found_in": "source"}], rejected=[{"found_in": None}])


def _canary_unseen(settings: BoundingBoxesSettings) -> Canaries:
    planted = planted_matches(settings.match_score, settings.min_match, both=settings.match_rule == "both")
    return Canaries(*([{**row, "asked_kind": None} for row in rows] for rows in (planted.kept, planted.rejected)))


def _region(pair: str, name: str, left: float, similarity: float) -> Row:
    corners = dict(zip(BOX_COLUMNS, (left, 0.0, left + 10.0, 10.0), strict=True))
    return {"pair_id": pair, "found_in": name, **corners, SCORE: similarity}


def _canary_overlaps(settings: BoundingBoxesSettings) -> Canaries:
    """The same box twice, the less different one last to be judged; one elsewhere; and one of another pair."""
    kept = [_region("one", "target", 0, 0.1), _region("one", "source", 100, 0.5), _region("another", "source", 0, 0.4)]
    return Canaries(kept, rejected=[_region("one", "source", 0, 0.3)] if settings.max_overlap < 1 else [])


def _canary_many(settings: BoundingBoxesSettings) -> Canaries:
    """As many boxes of one pair as are kept, the least different first; one of another pair; and one too many."""
    count = settings.max_boxes
    kept = [_region("one", "source", 20.0 * number, 0.5 - 0.4 * number / count) for number in range(count)]
    return Canaries([*kept, _region("another", "source", 0, 0.9)], [_region("one", "target", 0, 0.6)])


def contents(row: Mapping[str, Any]) -> list[str]:
    """The box, and the objects that it may show."""
    if row["found_in"] is None:
        return []
    box = ", ".join(f"{row[name]:.4g}" for name in BOX_COLUMNS)
    objects = [row[name] or "nothing" for name in OBJECT_COLUMNS]
    named = f": {' → '.join(objects)}" if any(row[name] for name in OBJECT_COLUMNS) else ""
    return [f"box ({box}) found in the {row['found_in']} image{named}"]


STAGE = Stage(
    name="bounding_boxes",
    id_column="region_id",
    parents=("filtered_pairs", "prompt_pairs", "image_pairs"),
    also=(DERIVED,),
    above=(Above("filtered_pairs", "pair_id"),),
    section=BoundingBoxesSettings,
    description=__doc__,
    item_columns=tuple(
        pa.field(name, pa.string()) for name in (*PAIR_COLUMNS, *OBJECT_COLUMNS, "asked_kind", *SOUGHT)
    ),
    items=items,
    item_settings=("match_articles", "prompt_pairs.language"),
    columns_with={"match_articles": SOUGHT},
    row_id=row_id,
    contents=contents,
    steps=(
        Measurement(
            name="propose",
            columns=(
                pa.field("found_in", pa.string()),
                *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
                share("area_fraction"),
                quality("proposal_score"),
            ),
            inputs=PAIR_COLUMNS,
            later_inputs=("asked_kind",),
            run=propose,
            settings=("propose",),
            more_inputs={"propose": OBJECT_COLUMNS},
            roles=("segmenter",),
            expands=True,
        ),
        Filter("no_proposals", ("found_in",), _has_box, "no object was found in either image", _canary_without_box),
        unless_missing(at_least("too_small", "area_fraction", "min_area_fraction", "the box is too small")),
        unless_missing(below("too_large", "area_fraction", "max_area_fraction", "the box is too large")),
        Measurement(
            name="compare",
            columns=(cosine(SCORE),),
            inputs=(*PAIR_COLUMNS, *BOX_COLUMNS),
            run=compare,
            settings=("crop_padding",),
            roles=("image_text_encoder",),
            pictures_alone=True,
        ),
        below("same_content", SCORE, "max_region_similarity", "the box shows the same in both images"),
        # The dear model last: it reads only what the cheap one left.
        Measurement(
            name="match",
            columns=matches("source_match", "target_match"),
            inputs=(*PAIR_COLUMNS, *BOX_COLUMNS, *OBJECT_COLUMNS),
            later_inputs=("asked_kind",),
            run=match,
            settings=("crop_padding",),
            more_inputs={"match_articles": SOUGHT},
            roles=("image_text_matcher",),
        ),
        Derivation(
            cosine("match"),
            (*(f"{side}_match_{head}" for head in HEADS for side in ("source", "target")), "asked_kind"),
            _match_scores,
        ),
        Filter(
            "object_not_seen",
            ("match",),
            _seen,
            "the box does not show the replaced object",
            _canary_unseen,
            "match",
            "min_match",
            unless_missing=True,
        ),
        Filter(
            "overlaps",
            RANKED_BY,
            _apart,
            "a box that overlaps it is more different",
            _canary_overlaps,
            threshold="max_overlap",
        ),
        Derivation(pa.field("rank", pa.int32()), RANKED_BY, _rank),
        below("beyond_the_first", "rank", "max_boxes", "there are enough boxes that are more different", _canary_many),
        *PRESERVATION,
    ),
)
