"""Captions to the fine-tune set: conversations over two images, of one or more tasks, split by caption.

A sample that reviewers rejected stays in the table, rejected. So does a training sample that is a near-duplicate of an
image of the shard's validation split, which is every pair of a validation caption that was drawn, kept or not: no
threshold of another stage changes which they are.

A sample of an erased region (its `erased_from` names the image) is about that image and the same image without the
region: these are its source and its target.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.tables import look_up, rows_of, values_of
from imgdiff_assets.ledger.images import HASH_COLUMNS
from imgdiff_assets.ledger.reviews import ACCEPT, REJECT
from imgdiff_assets.method.box_text import CONVENTIONS, box_text
from imgdiff_assets.method.conversations import conversation, pick, split
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, nearest, unpacked
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import MARKED_REGION, SAME, SIDES, TASKS, Task
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.stage_settings import FineTuneSetSettings
from imgdiff_assets.stages.stage import Canaries, Filter, Measurement, Stage, Work, at_least, below

IDENTITY = ("task", "pair_id", "region_id", "erased_from", "first", "about", "subject", "answer")
REMOVAL_COLUMNS = (
    "region_id",
    "pair_id",
    "kept",
    "found_in",
    "erased_hash",
    "region_caption",
    "original_match",
    "erased_match",
    *BOX_COLUMNS,
)
REGION_COLUMNS = (
    "region_id",
    "pair_id",
    "kept",
    "source_region_caption",
    "target_region_caption",
    "difference_caption",
    "caption_similarity",
    *(f"{side}_{kind}_{head}" for side in SIDES for kind in ("match", "mismatch") for head in ("itc", "itm")),
    *BOX_COLUMNS,
)
NEGATIVES = "too_similar"
"""The filter of image pairs whose rejected rows show the same twice."""


def items(tables: Mapping[str, pa.Table], recipe: Recipe) -> pa.Table:
    """The samples of the recipe's tasks: of regions with a difference caption, and of pairs that are too similar."""
    pairs = _pairs(tables, recipe)
    tasks = [TASKS[name] for name in recipe.fine_tune_set.tasks]
    regions = [row for row in rows_of(tables["captions"], REGION_COLUMNS) if row["difference_caption"]]
    clearest = _clearest(regions)
    rows = [
        sample
        for region in regions
        for task in tasks
        if not task.once_per_pair or region["region_id"] == clearest.get(region["pair_id"])
        for sample in _ask(task, {**pairs[region["pair_id"]], **region}, recipe)
    ]
    if TASKS["same_or_different"] in tasks:
        known = {"region_id": None, "kept": True}
        for pair in pairs.values():
            if pair["too_similar"]:
                rows += _ask(TASKS["same_or_different"], {**pair, **known}, recipe)
    for region in rows_of(tables["removal_captions"], REMOVAL_COLUMNS):
        if region["region_caption"]:
            rows += _ask(TASKS["which_image"], {**pairs[region["pair_id"]], **_removal(region)}, recipe)
    reviews = {row["sample_id"]: row["review"] for row in tables["reviews"].to_pylist()}
    rows = [{**row, "review": reviews.get(row_id(row))} for row in rows]
    return pa.Table.from_pylist(rows, pa.schema([*ITEM_COLUMNS, pa.field("kept", pa.bool_())]))


def _pairs(tables: Mapping[str, pa.Table], recipe: Recipe) -> dict[str, Row]:
    """What is known of each pair that was compared."""
    compared = tables["filtered_pairs"].filter(pc.field("source_phash").is_valid())
    prompts = look_up(tables["prompt_pairs"], "pair_id", compared["pair_id"])
    drawn = look_up(tables["image_pairs"], "pair_id", compared["pair_id"])
    fraction = recipe.fine_tune_set.validation_fraction
    splits = [split(caption_id, recipe.seed, fraction) for caption_id in values_of(prompts["caption_id"])]
    signed = list(zip(*(values_of(compared[name]) for name in SIGNATURE_COLUMNS), strict=True))
    validating = [images for images, side in zip(signed, splits, strict=True) if side == "validation"]
    bits, cosines = nearest(unpacked(signed), unpacked(validating))
    known: dict[str, Row] = {}
    rows = zip(
        rows_of(compared, ["pair_id", "image_similarity", "rejected_by"]),
        rows_of(prompts, ["caption_id", "source_caption", "target_caption"]),
        rows_of(drawn, [*HASH_COLUMNS, "width", "height"]),
        strict=True,
    )
    for (pair, prompt, image), side, distance, cosine in zip(rows, splits, bits, cosines, strict=True):
        training = side == "train"
        known[pair["pair_id"]] = {
            **pair,
            **prompt,
            **image,
            "too_similar": pair["rejected_by"] == NEGATIVES,
            "split": side,
            "validation_bits": int(distance) if training else None,
            "validation_similarity": float(cosine) if training else None,
        }
    return known


def _removal(region: Row) -> Row:
    """What is known of an erased region: its image with what was there is the source, and without it the target."""
    return {
        **region,
        "erased_from": region["found_in"],
        "source_region_caption": region["region_caption"],
    }


def _clearest(regions: list[Row]) -> dict[str, str]:
    """Of each pair with a kept region, the region whose two captions differ most."""
    kept = sorted(
        (row for row in regions if row["kept"]), key=lambda row: (row["caption_similarity"], row["region_id"])
    )
    return {row["pair_id"]: row["region_id"] for row in reversed(kept)}


def _ask(task: Task, known: Row, recipe: Recipe) -> Iterator[Row]:
    """The sample of one task, with what the filters judge it by."""
    identity = (recipe.seed, task.name, known["pair_id"], known["region_id"])
    first = pick(SIDES, "first", *identity) if task.shuffled else "source"
    if known.get("erased_from") is not None:
        known["about"] = "source"
    else:
        known["about"] = pick(SIDES, "about", *identity) if task.name == "which_image" else None
    if known["region_id"] is not None:
        box = [known[name] for name in BOX_COLUMNS]
        known["box_text"] = box_text(box, known["width"], known["height"], recipe.fine_tune_set.box_coordinates)
    asked = task.ask(known, first)
    if asked is not None:
        names = [field.name for field in ITEM_COLUMNS]
        scores = {
            "match_margin": _margin(known, recipe) if known["about"] else None,
            "same_similarity": known["image_similarity"] if asked["answer"] == SAME else None,
        }
        row = {**known, "task": task.name, "first": first, **asked, **scores}
        yield {name: row.get(name) for name in (*names, "kept")}


def _margin(known: Row, recipe: Recipe) -> float | None:
    """How much better the text asked about matches its own image's region than the other image's."""
    if known.get("erased_from") is not None:
        scores = [known["original_match"], known["erased_match"]]
        return None if None in scores else float(scores[0] - scores[1])
    scores = [known[f"{known['about']}_{kind}_{recipe.captions.match_score}"] for kind in ("match", "mismatch")]
    return None if None in scores else float(scores[0] - scores[1])


def row_id(row: Row) -> str:
    return content_id("sample", *(row[name] for name in IDENTITY))


def converse(rows: Sequence[Row], work: Work) -> list[Row]:
    """Question (a wording by the sample's seed) and answer."""
    settings = work.recipe.fine_tune_set
    results = []
    for row in rows:
        wording = pick(settings.questions[row["task"]], work.recipe.seed, *(row[name] for name in IDENTITY))
        values = {
            "subject": row["subject"],
            "region": MARKED_REGION,
            "coordinates": CONVENTIONS[settings.box_coordinates],
        }
        question = wording.format(**values)
        results.append({"conversations": conversation(question[:1].upper() + question[1:], row["answer"])})
    return results


def _unless_missing(judge: Filter) -> Filter:
    """The filter, for rows that have its score: a score is measured only for the tasks that it is about."""

    def passes(columns: Columns, settings: Any) -> Booleans:
        scores = np.asarray(columns[judge.reads[0]], dtype=np.float64)
        return np.asarray(np.isnan(scores) | judge.passes({judge.reads[0]: scores}, settings), dtype=bool)

    return Filter(judge.name, judge.reads, passes, judge.canaries, judge.score, judge.threshold)


def _not_rejected(columns: Columns, settings: FineTuneSetSettings) -> Booleans:
    return np.array([verdict != REJECT for verdict in columns["review"]], dtype=bool)


def _canary_reviewed(settings: FineTuneSetSettings) -> Canaries:
    return Canaries(kept=[{"review": ACCEPT}, {"review": None}], rejected=[{"review": REJECT}])


def _two_images_or_same(columns: Columns, settings: FineTuneSetSettings) -> Booleans:
    rows = zip(columns["source_hash"], columns["target_hash"], columns["answer"], strict=True)
    return np.array([source != target or answer == SAME for source, target, answer in rows], dtype=bool)


def _canary_identical(settings: FineTuneSetSettings) -> Canaries:
    def row(target: str, answer: str) -> Row:
        return {"source_hash": "one", "target_hash": target, "answer": answer}

    return Canaries([row("one", SAME), row("another", "It is a cat.")], [row("one", "It is a cat.")])


ITEM_COLUMNS = (
    *(pa.field(name, pa.string()) for name in ("region_id", "pair_id", "caption_id", "source_hash", "target_hash")),
    *(pa.field(name, pa.string()) for name in ("split", "task", "first", "about", "subject", "answer", "review")),
    pa.field("erased_from", pa.string()),
    pa.field("erased_hash", pa.string()),
    *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("match_margin", pa.float32()),
    pa.field("same_similarity", pa.float32()),
    pa.field("validation_bits", pa.int32()),
    pa.field("validation_similarity", pa.float32()),
)

STAGE = Stage(
    name="fine_tune_set",
    id_column="sample_id",
    parents=("captions", "removal_captions", "filtered_pairs", "image_pairs", "prompt_pairs", "reviews"),
    description=__doc__,
    item_columns=ITEM_COLUMNS,
    items=items,
    item_settings=lambda recipe: {
        "seed": recipe.seed,
        **recipe.fine_tune_set.model_dump(include={"tasks", "validation_fraction", "box_coordinates"}),
    },
    row_id=row_id,
    steps=(
        Filter("review", ("review",), _not_rejected, _canary_reviewed),
        Filter("identical_images", ("source_hash", "target_hash", "answer"), _two_images_or_same, _canary_identical),
        _unless_missing(at_least("not_the_same", "same_similarity", "min_same_similarity")),
        _unless_missing(at_least("answer_not_seen", "match_margin", "min_match_margin")),
        _unless_missing(at_least("near_validation_hash", "validation_bits", "min_validation_bits")),
        _unless_missing(below("near_validation", "validation_similarity", "max_validation_similarity")),
        Measurement(
            name="converse",
            columns=(pa.field("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),),
            inputs=IDENTITY,
            run=converse,
            settings=lambda recipe: {
                "seed": recipe.seed,
                **recipe.fine_tune_set.model_dump(mode="json", include={"questions", "box_coordinates"}),
            },
            version=2,
        ),
    ),
)
