"""Captions to prompt pairs: each caption, and the same caption with one object replaced by a language model.

Where a recipe says so (`kind_shares`), something else than an object differs.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_id, seed_of
from imgdiff_assets.method.caption_edit import edits
from imgdiff_assets.method.change import CHANGE_KEYS
from imgdiff_assets.method.kind import CAPTION, OBJECT_REPLACED, kinds_in_order
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named
from imgdiff_assets.stages import caption_checks, instructions, named_rewrites, rewrite_checks, rewrite_choice
from imgdiff_assets.stages.named_rewrites import Rewrite
from imgdiff_assets.stages.prompt_pairs_settings import PromptPairsSettings
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work


def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
    """Every caption, as often as the recipe asks, each time for a kind of difference; null is an object replaced."""
    captions, attempts = tables["caption_file"], settings["attempts"]
    rows = captions.take(np.arange(len(captions)).repeat(attempts))
    kinds: list[str | None] = []
    for caption_id in captions["caption_id"].to_pylist():
        order = kinds_in_order(caption_id, settings["kind_shares"]) or [OBJECT_REPLACED]
        # The first kind stays untold, so that what was asked before there were others is asked as it was.
        kinds += [None if name == OBJECT_REPLACED else name for name, _ in zip(cycle(order), range(attempts))]
    return pa.table(
        {
            "caption_id": rows["caption_id"],
            "attempt": np.tile(np.arange(attempts), len(captions)),
            "source_caption": rows["caption"],
            "filled": rows["filled"] if "filled" in rows.column_names else pa.nulls(len(rows), pa.string()),
            "asked_kind": pa.array(kinds, pa.string()),
            "kept": np.ones(len(rows), dtype=bool),
        }
    )


def row_id(row: Row) -> str:
    return content_id("prompt_pair", row["caption_id"], row["attempt"], row.get("target_caption"))


def rewrite(rows: Sequence[Row], work: Work) -> list[Row]:
    """Ask the language model; the answer is kept as it was given, the caption in it by the recipe's pattern.

    Where the rewriter names what it changed, see `named_rewrites`.
    """
    if work.settings["answer"] != "words":
        return named_rewrites.rewrite(rows, work)
    pattern = re.compile(work.settings["answer_pattern"])
    seeds = [seed_of(work.settings["seed"], "rewrite", row["caption_id"], row["attempt"]) for row in rows]
    answers = _asked(rows, seeds, work)
    language = language_named(work.settings["language"] or DEFAULT_LANGUAGE)
    results = []
    for row, answer in zip(rows, answers, strict=True):
        match = pattern.search(answer)
        target = " ".join(match["caption"].split()).strip("\"'“” ") if match else ""
        if match and row["asked_kind"]:
            named = {key: match[key] for key in CHANGE_KEYS if match[key]}
            found = Rewrite(row["source_caption"], answer, target or None, named=named or None, kind=row["asked_kind"])
            results.append(found.row(language))
            continue
        changes = edits(row["source_caption"], target) if target else []
        edit = changes[0] if len(changes) == 1 else None
        results.append(
            {
                "answer": answer,
                "target_caption": target or None,
                "edit_count": len(changes),
                "source_object": edit.source if edit else None,
                "target_object": edit.target if edit else None,
                **dict.fromkeys(column.name for column in named_rewrites.COLUMNS),
            }
        )
    return results


def _asked(rows: Sequence[Row], seeds: Sequence[int], work: Work) -> list[str]:
    """The answers: to the rewriter's prompt, or to what is asked for the kind of difference."""
    model, settings = work.model("prompt_rewriter"), work.settings
    first = [place for place, row in enumerate(rows) if row["asked_kind"] is None]
    others = [place for place, row in enumerate(rows) if row["asked_kind"] is not None]
    answers = [""] * len(rows)
    if first:
        told = model.rewrite([rows[place]["source_caption"] for place in first], [seeds[place] for place in first])
        for place, answer in zip(first, told, strict=True):
            answers[place] = answer
    if others:
        questions = [
            named_rewrites.question(rows[place]["asked_kind"], settings).replace(
                CAPTION, rows[place]["source_caption"]
            )
            for place in others
        ]
        told = model.ask(questions, [seeds[place] for place in others])
        for place, answer in zip(others, told, strict=True):
            answers[place] = answer
    return answers


def contents(row: Mapping[str, Any]) -> list[str]:
    """Both captions, the two objects, and the answers as they were given."""
    target, objects = row["target_caption"], (row["source_object"], row["target_object"])
    return [
        f"{row['source_caption']} → {target}" if target else row["source_caption"],
        " → ".join(each or "nothing" for each in objects) + f" (attempt {row['attempt']})" if any(objects) else "",
        f"asked for: {row['asked_kind']}" if row["asked_kind"] else "",
        "" if row["answer"] is None else f"answer: {row['answer']}",
        "" if row["change_answer"] is None else f"asked what was replaced: {row['change_answer']}",
        f"instruction: {row['instruction']}" if row.get("instruction") else "",
    ]


STAGE = Stage(
    name="prompt_pairs",
    id_column="pair_id",
    parents=("caption_file",),
    above=(Above("caption_file", "caption_id"),),
    section=PromptPairsSettings,
    description=__doc__,
    item_columns=(
        pa.field("caption_id", pa.string()),
        pa.field("attempt", pa.int32()),
        pa.field("source_caption", pa.string()),
        pa.field("filled", pa.string()),
        pa.field("asked_kind", pa.string()),
    ),
    items=items,
    item_settings=("attempts", "kind_shares"),
    row_id=row_id,
    compared_texts=("source_caption", "target_caption"),
    roles_of_pictures=("captioner",),
    contents=contents,
    steps=(
        *caption_checks.FILTERS,
        Measurement(
            name="rewrite",
            columns=(
                pa.field("answer", pa.string()),
                pa.field("target_caption", pa.string()),
                pa.field("edit_count", pa.int32()),
                pa.field("source_object", pa.string()),
                pa.field("target_object", pa.string()),
                *named_rewrites.COLUMNS,
            ),
            inputs=("caption_id", "attempt", "source_caption"),
            run=rewrite,
            later_inputs=("asked_kind",),
            settings=(
                "seed",
                "answer_pattern",
                "answer",
                "language",
                "object_question",
                "change_question",
                "kind_questions",
            ),
            roles=("prompt_rewriter",),
        ),
        *rewrite_checks.FILTERS,
        *rewrite_choice.STEPS,
        *instructions.STEPS,
    ),
)
