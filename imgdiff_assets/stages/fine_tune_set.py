"""Captions to the fine-tune set: conversations over two images, of one or more tasks, split by caption.

What people corrected of a region, its samples say. A sample that reviewers rejected stays in the table, rejected. So
does a training sample that is a near-duplicate of an image of the shard's validation split, which is every pair of a
validation caption that was drawn, kept or not: no threshold of another stage changes which they are.

A sample of an erased region (its `erased_from` names the image) is about that image and the same image without the
region: these are its source and its target.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.ledger.reviews import ACCEPT, REJECT
from imgdiff_assets.method.conversations import conversation, pick
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named, sentences_of
from imgdiff_assets.method.near_duplicates import HASH_BITS
from imgdiff_assets.method.tasks import OURS, SAME, TASKS
from imgdiff_assets.stages.balance import COLUMNS as COUNTED
from imgdiff_assets.stages.balance import SECTION as BALANCE
from imgdiff_assets.stages.balance import STEPS as BALANCING
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.sample_items import IDENTITY, ITEM_COLUMNS, NUISANCE_KIND, items, row_id
from imgdiff_assets.stages.sample_pairs import NEGATIVES
from imgdiff_assets.stages.sample_settings import OF_PAIRS, FineTuneSetSettings
from imgdiff_assets.stages.stage import CORRECTIONS, Above, Beside, Stage
from imgdiff_assets.stages.steps import Canaries, Filter, Measurement, Work, at_least, below, unless_missing


def item_versions(settings: FineTuneSetSettings) -> dict[str, int]:
    """Those of the tasks; erased regions are asked about whatever the recipe's tasks."""
    return {name: TASKS[name].version for name in dict.fromkeys([*settings.tasks, "which_image"])}


def one_each(settings: FineTuneSetSettings) -> bool:
    """Whether there is one sample of each region: of one task that always has something to ask, as ours of regions."""
    return len(settings.tasks) == 1 and settings.tasks[0] in OURS and not TASKS[settings.tasks[0]].once_per_pair


def converse(rows: Sequence[Row], work: Work) -> list[Row]:
    """Question (a wording by the sample's seed) and answer."""
    settings = work.settings
    sentences = sentences_of(language_named(settings["language"] or DEFAULT_LANGUAGE))
    results = []
    for row in rows:
        wordings = settings["questions"].get(row["task"]) or sentences.questions[row["task"]]
        wording = pick(wordings, settings["seed"], *(row[name] for name in IDENTITY))
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


STAGE = Stage(
    name="fine_tune_set",
    id_column="sample_id",
    parents=("captions", "removal_captions", "filtered_pairs", "image_pairs", "prompt_pairs", "reviews", CORRECTIONS),
    also=(DERIVED,),
    above=(
        Above("removal_captions", "region_id", having=("erased_from",)),
        Above("captions", "region_id", having=("region_id",)),
        Above(DERIVED, "pair_id", having=(NUISANCE_KIND,), wanted=lambda settings: OF_PAIRS in settings.tasks),
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
    columns_with={BALANCE: COUNTED, DERIVED: (NUISANCE_KIND,)},
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
