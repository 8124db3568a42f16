"""Captions to the fine-tune set: conversations over two images, of one or more tasks, split by caption.

What people corrected of a region, its samples say. A sample that reviewers rejected stays in the table, rejected. So
does a training sample that is a near-duplicate of an image of the shard's validation split, which is every pair of a
validation caption that was drawn, kept or not: no threshold of another stage changes which they are.

A sample of an erased region (its `erased_from` names the image) is about that image and the same image without the
region: these are its source and its target.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationInfo, field_validator

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.common.tables import look_up, rows_of, values_of
from imgdiff_assets.ledger.images import HASH_COLUMNS
from imgdiff_assets.ledger.reviews import ACCEPT, REJECT
from imgdiff_assets.method.balance import validating
from imgdiff_assets.method.box_text import Coordinates, box_text
from imgdiff_assets.method.conversations import conversation, pick, split
from imgdiff_assets.method.kind import kind_of
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named, sentences_of, spoken_sentences
from imgdiff_assets.method.near_duplicates import HASH_BITS, SIGNATURE_COLUMNS, nearest, unpacked
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.method.task import Task
from imgdiff_assets.method.tasks import OURS, SAME, SIDES, TASKS, task_named
from imgdiff_assets.method.wordings import INSTALLED, check, written_out
from imgdiff_assets.stages.balance import COLUMNS as COUNTED
from imgdiff_assets.stages.balance import SECTION as BALANCE
from imgdiff_assets.stages.balance import STEPS as BALANCING
from imgdiff_assets.stages.balance import BalanceSettings
from imgdiff_assets.stages.corrected import reworded
from imgdiff_assets.stages.phrases import known_language
from imgdiff_assets.stages.settings import StageSettings, left_out, off_unless_named
from imgdiff_assets.stages.stage import CORRECTIONS, Above, Beside, Stage
from imgdiff_assets.stages.steps import (
    Canaries,
    Filter,
    Measurement,
    Work,
    at_least,
    below,
    cosine,
    score,
    unless_missing,
)

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
PROMPTS = (
    "caption_id",
    "source_caption",
    "target_caption",
    "source_object",
    "target_object",
    "change_kind",
    "asked_kind",
)
NEGATIVES = "too_similar"
"""The filter of image pairs whose rejected rows show the same twice."""
OBJECTS = ("source_object", "target_object")
SAME_KIND, ERASED_KIND = "same", "erased"
"""Kinds of samples beside those of what was changed: two images that show the same, and an object erased."""

SORTS = ("task", "kind", "source_object")
"""By what the validation split can hold its share."""

OF_PAIRS = "same_or_different"
"""The task that is asked of these pairs too."""


class TaskFailed(ImgDiffError, RuntimeError):
    """A task that cannot be asked of what is known."""


class FineTuneSetSettings(StageSettings):
    """Conversations over the two images, one or more tasks to a region or pair, with a split by caption."""

    tasks: list[str] = Field(
        ["difference"], min_length=1, description=f"What samples train; any of {', '.join(TASKS)}."
    )
    language: str | None = left_out(
        None, "The language of the questions and of the answers, as in `english`, which it is without it."
    )
    questions: dict[str, list[str]] = Field(
        {},
        validate_default=True,
        description="Wordings of a task's question, of which one is picked by the sample's seed; a task without an "
        "entry has its own. They may use {region} (the marked region), {subject} and {coordinates}. "
        f"`{INSTALLED}NAME` stands for the wordings of that name which a package offers.",
    )
    box_coordinates: Coordinates = Field(
        "fraction", description="How boxes are told: fractions of width and height, thousandths of them, or pixels."
    )
    min_match_margin: float = Field(
        0.05,
        ge=-2,
        le=2,
        description="An answer to `which_image` is rejected unless its image matches the text better by this much.",
    )
    min_same_similarity: float = Field(
        0.98,
        ge=-1,
        le=1,
        description="Pairs rejected as too similar, but less alike than this, are not called the same.",
    )
    validation_fraction: float = Field(0.05, ge=0, le=1, description="Share of captions whose samples validate.")
    min_validation_bits: int = Field(
        6,
        ge=0,
        le=64,
        description="A training pair whose perceptual hash differs in fewer of 64 bits from a validation image's is a "
        "near-duplicate. 0: none is.",
    )
    max_validation_similarity: float = Field(
        0.98,
        ge=-1,
        le=1.01,
        description="A training pair more alike (cosine) to a validation image is a near-duplicate. 1.01: none is.",
    )
    validation_by: list[str] = left_out(
        [],
        "With any of task, kind and source_object: the validation split holds `validation_fraction` of the samples of "
        "each, as near as whole captions can. Another threshold may then move a caption; without any, none moves.",
    )
    balance: BalanceSettings | None = off_unless_named(
        "Samples are left out of which there are enough, and stay in the table: `{}` has A and B answer equally often."
    )

    @field_validator("tasks")
    @classmethod
    def _tasks_are_known(cls, tasks: list[str]) -> list[str]:
        for name in tasks:
            task_named(name)
        return sorted(set(tasks), key=list(TASKS).index)

    @field_validator("validation_by")
    @classmethod
    def _sorts_are_known(cls, by: list[str]) -> list[str]:
        if unknown := [name for name in by if name not in SORTS]:
            raise ValueError(f"there is no {unknown[0]!r}; there are {', '.join(SORTS)}")
        return by

    @field_validator("language")
    @classmethod
    def _language_is_spoken(cls, language: str | None) -> str | None:
        try:
            sentences_of(language_named(known_language(language) or DEFAULT_LANGUAGE))
        except LookupError as error:
            raise ValueError(str(error)) from None
        return language

    @field_validator("questions")
    @classmethod
    def _questions_can_be_asked(cls, questions: dict[str, list[str]], values: ValidationInfo) -> dict[str, list[str]]:
        """Every task of ours has its wordings here, one of a package where it is asked: installing changes nothing."""
        wordings = {name: written_out(task_named(name).name, given) for name, given in questions.items()}
        for name, given in wordings.items():
            try:
                check(given)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        asked = dict.fromkeys([*OURS, *values.data.get("tasks", ())])
        spoken = sentences_of(language_named(values.data.get("language") or DEFAULT_LANGUAGE)).questions
        own = {name: given for name, given in wordings.items() if given not in _defaults(name)}
        return {name: own.get(name) or list(spoken.get(name, TASKS[name].questions)) for name in asked}


def _defaults(task: str) -> list[list[str]]:
    """A task's own wordings in every language: where a recipe has those of another than its own, it was given none."""
    return [list(sentences.questions.get(task, ())) for sentences in spoken_sentences()]


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
    pairs = _pairs(tables, side_of)
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
                yield from _ask(task, {**pairs[region["pair_id"]], **region}, settings)
    if TASKS[OF_PAIRS] in tasks:
        known = {"region_id": None, "kept": True, "kind": SAME_KIND, **dict.fromkeys(OBJECTS)}
        for pair in pairs.values():
            if pair["too_similar"]:
                yield from _ask(TASKS[OF_PAIRS], {**pair, **known}, settings)
    for region in rows_of(tables["removal_captions"], REMOVAL_COLUMNS):
        if region["region_caption"]:
            yield from _ask(TASKS["which_image"], {**pairs[region["pair_id"]], **_removal(region)}, settings)


def _pairs(tables: Mapping[str, pa.Table], side_of: Callable[[str], str]) -> dict[str, Row]:
    """What is known of each pair that was compared."""
    compared = tables["filtered_pairs"].filter(pc.field("source_phash").is_valid())
    prompts = look_up(tables["prompt_pairs"], "pair_id", compared["pair_id"])
    drawn = look_up(tables["image_pairs"], "pair_id", compared["pair_id"])
    splits = [side_of(caption_id) for caption_id in values_of(prompts["caption_id"])]
    signed = list(zip(*(values_of(compared[name]) for name in SIGNATURE_COLUMNS), strict=True))
    validating = [images for images, side in zip(signed, splits, strict=True) if side == "validation"]
    bits, cosines = nearest(unpacked(signed), unpacked(validating))
    known: dict[str, Row] = {}
    rows = zip(
        rows_of(compared, ["pair_id", "image_similarity", "rejected_by"]),
        rows_of(prompts, PROMPTS),
        rows_of(drawn, [*HASH_COLUMNS, "width", "height"]),
        strict=True,
    )
    for (pair, prompt, image), side, distance, similarity in zip(rows, splits, bits, cosines, strict=True):
        training = side == "train"
        known[pair["pair_id"]] = {
            **pair,
            **prompt,
            **image,
            "too_similar": pair["rejected_by"] == NEGATIVES,
            "kind": kind_of(prompt),
            "split": side,
            "validation_bits": int(distance) if training else None,
            "validation_similarity": float(similarity) if training else None,
        }
    return known


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
    scores = [known[f"{known['about']}_{kind}_{head}"] for kind in ("match", "mismatch")]
    return None if None in scores else float(scores[0] - scores[1])


def item_versions(settings: FineTuneSetSettings) -> dict[str, int]:
    """Those of the tasks; erased regions are asked about whatever the recipe's tasks."""
    return {name: TASKS[name].version for name in dict.fromkeys([*settings.tasks, "which_image"])}


def one_each(settings: FineTuneSetSettings) -> bool:
    """Whether there is one sample of each region: of one task that always has something to ask, as ours of regions."""
    return len(settings.tasks) == 1 and settings.tasks[0] in OURS and not TASKS[settings.tasks[0]].once_per_pair


def row_id(row: Row) -> str:
    return content_id("sample", *(row[name] for name in IDENTITY))


def converse(rows: Sequence[Row], work: Work) -> list[Row]:
    """Question (a wording by the sample's seed) and answer."""
    settings = work.settings
    sentences = sentences_of(language_named(settings["language"] or DEFAULT_LANGUAGE))
    results = []
    for row in rows:
        wording = pick(settings["questions"][row["task"]], settings["seed"], *(row[name] for name in IDENTITY))
        values = {
            "subject": row["subject"],
            "region": sentences.region,
            "coordinates": sentences.conventions[settings["box_coordinates"]],
        }
        question = wording.format(**values)
        results.append({"conversations": conversation(question[:1].upper() + question[1:], row["answer"])})
    return results


def _not_rejected(columns: Columns, settings: FineTuneSetSettings) -> Booleans:
    return np.array([verdict != REJECT for verdict in columns["review"]], dtype=bool)


def _canary_reviewed(settings: FineTuneSetSettings) -> Canaries:
    return Canaries(kept=[{"review": ACCEPT}, {"review": None}], rejected=[{"review": REJECT}])


def _two_images_or_same(columns: Columns, settings: FineTuneSetSettings) -> Booleans:
    rows = zip(columns["source_hash"], columns["target_hash"], columns["answer"], strict=True)
    return np.array([source != target or answer in SAME for source, target, answer in rows], dtype=bool)


def _canary_identical(settings: FineTuneSetSettings) -> Canaries:
    def row(target: str, answer: str) -> Row:
        return {"source_hash": "one", "target_hash": target, "answer": answer}

    same = [row("one", answer) for answer in sorted(SAME)]
    return Canaries([*same, row("another", "It is a cat.")], [row("one", "It is a cat.")])


def contents(row: Mapping[str, Any]) -> list[str]:
    """Task, split, and the conversation."""
    turns = [f"{turn['from']}: {turn['value']}" for turn in row["conversations"] or ()]
    return [f"task {row['task']}, split {row['split']}", *turns]


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
    *(pa.field(name, pa.string()) for name in COUNTED),
)

STAGE = Stage(
    name="fine_tune_set",
    id_column="sample_id",
    parents=("captions", "removal_captions", "filtered_pairs", "image_pairs", "prompt_pairs", "reviews", CORRECTIONS),
    above=(
        Above("removal_captions", "region_id", having=("erased_from",)),
        Above("captions", "region_id", having=("region_id",)),
        Above("filtered_pairs", "pair_id", rejected_by=NEGATIVES, wanted=lambda settings: OF_PAIRS in settings.tasks),
    ),
    section=FineTuneSetSettings,
    description=__doc__,
    item_columns=ITEM_COLUMNS,
    items=items,
    item_versions=item_versions,
    item_settings=(
        "seed",
        "language",
        "tasks",
        "validation_fraction",
        "validation_by",
        "box_coordinates",
        "captions.match_score",
        # The margin of an erased region is of scores that this setting chose.
        "removal_captions.match_score",
    ),
    columns_with={BALANCE: COUNTED},
    one_each=one_each,
    beside=(
        Beside("captions", "task", tuple(name for name, task in TASKS.items() if task.once_per_pair), kept=True),
        Beside("filtered_pairs", "validation_bits"),
        *(
            Beside(table, "split", kept=True, wanted=lambda settings: bool(settings.validation_by))
            for table in ("captions", "removal_captions", "filtered_pairs")
        ),
    ),
    absent={"validation_bits": HASH_BITS, "validation_similarity": -1.0},
    row_id=row_id,
    contents=contents,
    steps=(
        Filter("review", ("review",), _not_rejected, "the people who looked at it rejected it", _canary_reviewed),
        Filter(
            "identical_images",
            ("source_hash", "target_hash", "answer"),
            _two_images_or_same,
            "the two images are the same, and the answer tells of a difference",
            _canary_identical,
        ),
        unless_missing(
            at_least(
                "not_the_same",
                "same_similarity",
                "min_same_similarity",
                "the two images are not enough alike to be called the same",
            )
        ),
        unless_missing(
            at_least(
                "answer_not_seen",
                "match_margin",
                "min_match_margin",
                "the text fits the other image as well as the one that the answer names",
            )
        ),
        unless_missing(
            at_least(
                "near_validation_hash",
                "validation_bits",
                "min_validation_bits",
                "its image is a near-duplicate of an image of the validation split (perceptual hash)",
            )
        ),
        unless_missing(
            below(
                "near_validation",
                "validation_similarity",
                "max_validation_similarity",
                "its image is a near-duplicate of an image of the validation split (vectors)",
            )
        ),
        Measurement(
            name="converse",
            columns=(pa.field("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),),
            inputs=IDENTITY,
            run=converse,
            settings=("seed", "language", "questions", "box_coordinates"),
            version=2,
        ),
        *BALANCING,
    ),
)
