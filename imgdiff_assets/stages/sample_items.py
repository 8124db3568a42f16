"""What each region and pair is asked: the samples, before a question is worded."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.tables import rows_of
from imgdiff_assets.method.balance import validating
from imgdiff_assets.method.box_text import box_text
from imgdiff_assets.method.conversations import pick, split
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.method.task import Task
from imgdiff_assets.method.tasks import SAME, SIDES, TASKS
from imgdiff_assets.stages.balance import COLUMNS as COUNTED
from imgdiff_assets.stages.corrected import reworded
from imgdiff_assets.stages.derived_items import FROM, nuisance_pairs
from imgdiff_assets.stages.sample_pairs import compared_pairs
from imgdiff_assets.stages.sample_settings import OF_PAIRS
from imgdiff_assets.stages.stage import CORRECTIONS
from imgdiff_assets.stages.steps import cosine, score

IDENTITY = ("task", "pair_id", "region_id", "erased_from", "first", "about", "subject", "answer")
REMOVAL_COLUMNS = (
    "region_id",
    "pair_id",
    "kept",
    "found_in",
    "erased_hash",
    "region_caption",
    "region_phrase",
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
    "source_phrase",
    "target_phrase",
    "difference_caption",
    "difference",
    "caption_similarity",
    *(f"{side}_{kind}_{head}" for side in SIDES for kind in ("match", "mismatch") for head in ("itc", "itm")),
    *BOX_COLUMNS,
)
SPOKEN = (
    *((f"{side}_phrase", f"{side}_region_caption") for side in SIDES),
    ("difference", "difference_caption"),
    ("region_phrase", "region_caption"),
)
"""What sentences are made of, and what it was taken from: of a row that was rejected before, it may be missing."""
OBJECTS = ("source_object", "target_object")
SAME_KIND, ERASED_KIND, NUISANCE_KIND = "same", "erased", "nuisance"
"""Kinds of samples beside those of what was changed: two images that show the same, an object erased, and one picture
twice with other pixels."""

ITEM_COLUMNS = (
    *(pa.field(name, pa.string()) for name in ("region_id", "pair_id", "caption_id", "source_hash", "target_hash")),
    *(pa.field(name, pa.string()) for name in ("split", "task", "first", "about", "subject", "answer", "review")),
    pa.field("erased_from", pa.string()),
    pa.field("erased_hash", pa.string()),
    *(pa.field(name, pa.float32()) for name in BOX_COLUMNS),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    score("match_margin", -2.0, 2.0),
    cosine("same_similarity"),
    pa.field("validation_bits", pa.int32()),
    cosine("validation_similarity"),
    *(pa.field(name, pa.string()) for name in (*COUNTED, NUISANCE_KIND)),
)


class TaskFailed(ImgDiffError, RuntimeError):
    """A task that cannot be asked of what is known."""


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """The samples of the recipe's tasks: of regions with a difference caption, and of pairs that are too similar."""
    seed, fraction = settings["seed"], settings["validation_fraction"]
    rows = list(_samples(tables, settings, lambda caption_id: split(caption_id, seed, fraction)))
    if by := settings["validation_by"]:
        chosen = validating(rows, by, seed, fraction)
        rows = list(_samples(tables, settings, lambda caption_id: "validation" if caption_id in chosen else "train"))
    reviews = {row["sample_id"]: row["review"] for row in tables["reviews"].to_pylist()}
    rows = [{**row, "review": reviews.get(row_id(row))} for row in rows]
    return pa.Table.from_pylist(rows, pa.schema([*ITEM_COLUMNS, pa.field("kept", pa.bool_())]))


def _samples(
    tables: Mapping[str, pa.Table], settings: Mapping[str, Any], side_of: Callable[[str], str]
) -> Iterator[Row]:
    """The samples, where `side_of` tells the split of a caption."""
    pairs = compared_pairs(tables, side_of)
    tasks = [TASKS[name] for name in settings["tasks"]]
    corrected = {row["region_id"]: row for row in tables[CORRECTIONS].to_pylist()}
    language = language_named(settings["language"] or DEFAULT_LANGUAGE)
    regions = [
        reworded(row, corrected[row["region_id"]], language) if row["region_id"] in corrected else row
        for row in rows_of(tables["captions"], REGION_COLUMNS)
        if row["difference_caption"]
    ]
    clearest = _clearest(regions)
    for region in regions:
        for task in tasks:
            if not task.once_per_pair or region["region_id"] == clearest.get(region["pair_id"]):
                pair = pairs[region["pair_id"]]
                all_of_it = {"differences": _differences(regions, pair, settings)} if task.once_per_pair else {}
                yield from _ask(task, {**pair, **region, **all_of_it}, settings)
    if TASKS[OF_PAIRS] in tasks:
        known = {"region_id": None, "kept": True, "kind": SAME_KIND, **dict.fromkeys(OBJECTS)}
        for pair in pairs.values():
            if pair["too_similar"]:
                yield from _ask(TASKS[OF_PAIRS], {**pair, **known}, settings)
        for pair in nuisance_pairs(tables):
            if (one := pairs.get(pair[FROM])) is not None:
                # How alike vectors find them says nothing here: that they show the same is known.
                nuisance = {NUISANCE_KIND: pair["derivation"], "too_similar": True, "image_similarity": None}
                yield from _ask(TASKS[OF_PAIRS], {**one, **known, **pair, **nuisance, "kind": NUISANCE_KIND}, settings)
    for region in rows_of(tables["removal_captions"], REMOVAL_COLUMNS):
        if region["region_caption"]:
            yield from _ask(TASKS["which_image"], {**pairs[region["pair_id"]], **_removal(region)}, settings)


def _differences(regions: list[Row], pair: Row, settings: Mapping[str, Any]) -> list[Row]:
    """What differs in each kept region of a pair, and its box as answers tell it, from left to right."""
    kept = [row for row in regions if row["kept"] and row["pair_id"] == pair["pair_id"]]
    kept.sort(key=lambda row: (*(row[name] for name in BOX_COLUMNS), row["region_id"]))
    told = []
    for row in kept:
        box = [row[name] for name in BOX_COLUMNS]
        box_told = box_text(box, pair["width"], pair["height"], settings["box_coordinates"])
        told.append({"difference": row["difference"] or row["difference_caption"], "box_text": box_told})
    return told


def _removal(region: Row) -> Row:
    """What is known of an erased region: its image with what was there is the source, and without it the target."""
    return {
        **region,
        "erased_from": region["found_in"],
        "kind": ERASED_KIND,
        **dict.fromkeys(OBJECTS),
        "source_region_caption": region["region_caption"],
        "source_phrase": region["region_phrase"],
    }


def _clearest(regions: list[Row]) -> dict[str, str]:
    """Of each pair with a kept region, the region whose two captions differ most."""
    kept = sorted(
        (row for row in regions if row["kept"]), key=lambda row: (row["caption_similarity"], row["region_id"])
    )
    return {row["pair_id"]: row["region_id"] for row in reversed(kept)}


def _ask(task: Task, known: Row, settings: Mapping[str, Any]) -> Iterator[Row]:
    """The sample of one task, with what the filters judge it by."""
    identity = (settings["seed"], task.name, known["pair_id"], known["region_id"])
    first = pick(SIDES, "first", *identity) if task.shuffled else "source"
    if known.get("erased_from") is not None:
        known["about"] = "source"
    else:
        known["about"] = pick(SIDES, "about", *identity) if task.name == "which_image" else None
    if known["region_id"] is not None:
        box = [known[name] for name in BOX_COLUMNS]
        known["box_text"] = box_text(box, known["width"], known["height"], settings["box_coordinates"])
    known = {**known, "language": settings["language"] or DEFAULT_LANGUAGE}
    known |= {name: known[name] or without_tokens(known[answer]) for name, answer in SPOKEN if known.get(answer)}
    try:
        asked = task.ask(known, first)
    except Exception as error:
        raise TaskFailed(f"the task {task.name} fails on the pair {known['pair_id']}: {error!r}") from error
    if asked is not None:
        asked = {name: text if text is None else without_tokens(text) for name, text in asked.items()}
        names = [field.name for field in ITEM_COLUMNS]
        scores = {
            "match_margin": _margin(known, settings["captions.match_score"]) if known["about"] else None,
            "same_similarity": known["image_similarity"] if asked["answer"] in SAME else None,
        }
        row = {**known, "task": task.name, "first": first, **asked, **scores}
        yield {name: row.get(name) for name in (*names, "kept")}


def _margin(known: Row, head: str) -> float | None:
    """How much better the text asked about matches its own image's region than the other image's."""
    if known.get("erased_from") is not None:
        scores = [known["original_match"], known["erased_match"]]
        return None if None in scores else float(scores[0] - scores[1])
    if known.get(f"{known['about']}_corrected"):
        return None  # of a person's words no model was asked
    scores = [known[f"{known['about']}_{kind}_{head}"] for kind in ("match", "mismatch")]
    if None not in scores:
        return float(scores[0] - scores[1])
    if known["kept"]:
        raise TaskFailed(
            f"region {known['region_id']} was captioned when no task asked how well captions fit the other image: "
            "materialise captions again, then fine_tune_set"
        )
    return None


def row_id(row: Row) -> str:
    return content_id("sample", *(row[name] for name in IDENTITY))
