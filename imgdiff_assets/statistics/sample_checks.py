"""What must hold of the fine-tune set whatever made it: checked on the rows as they are stored, not on how they came.

Each function returns one finding per offending sample; none when all is well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from imgdiff_assets.ledger.images import HASH_COLUMNS
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.conversations import IMAGE_TOKENS
from imgdiff_assets.method.language import DEFAULT_LANGUAGE, language_named
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, nearest, unpacked
from imgdiff_assets.method.reading_faults import reading_faults
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import LETTERS, OURS, SAME, TASKS, other
from imgdiff_assets.reading.pairs import scan_pairs
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.stages.seen_instructions import SEEN

CAPTIONS = ("source_caption", "target_caption", "source_object", "target_object", "change_kind", "asked_kind")
COLUMNS = (
    *("sample_id", "pair_id", "region_id", "caption_id", "split", "task", "first", "about", "answer", "erased_from"),
    *HASH_COLUMNS,
    *BOX_COLUMNS,
    *("width", "height"),
)

NAMING = "which_image"
"""The task that asks about a name alone."""
STATED = frozenset(OURS) - {NAMING, "grounding"}
"""Tasks that answer with a sentence."""

ROUNDING = 1e-6
"""Of scores in single precision, of which one is taken from the other."""

Finding = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]


def violations(ledger: Ledger, shard: str) -> list[Finding]:
    """Every invariant on the kept samples of one shard. Raises DamagedTable."""
    rows = scan(ledger, "fine_tune_set", COLUMNS, pc.field("kept"), [shard]).to_pylist()
    prompts = scan_pairs(ledger, "prompt_pairs", ["pair_id", *CAPTIONS], shards=[shard]).to_pylist()
    signed = scan(ledger, "filtered_pairs", ["pair_id", *SIGNATURE_COLUMNS, SEEN.name], shards=[shard]).to_pylist()
    settings = (ledger.record("fine_tune_set", shard) or {}).get("settings", {})
    seen = {row["pair_id"]: {SEEN.name: row[SEEN.name], "language": settings.get("language")} for row in signed}
    return [
        *wrong_sides(rows, {row["pair_id"]: {**row, **seen.get(row["pair_id"], {})} for row in prompts}),
        *answers_not_seen(rows, _scores_of_sides(ledger, shard, rows), settings.get("min_match_margin", 0.0)),
        *identical_images(rows),
        *boxes_outside(rows),
        *on_both_sides(rows, images=settings.get("min_validation_bits") != 0),
        *near_duplicates(
            rows,
            {row["pair_id"]: [row[name] for name in SIGNATURE_COLUMNS] for row in signed if row["source_phash"]},
            settings.get("min_validation_bits", 0),
            settings.get("max_validation_similarity", 1.01),
        ),
    ]


def wrong_sides(rows: Rows, prompts: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Answers that are not those of the order in which the images are shown.

    `prompts` has the two captions of each pair, what was replaced in them, and any instruction by what is seen. The
    images the other way round must give the other letter, and the edit backwards.
    """
    found = []
    for row in rows:
        if row["task"] == "which_image":
            right = row["answer"] == LETTERS[row["first"] != row["about"]]
        elif row["task"] == "edit_instruction":
            ask, known = TASKS["edit_instruction"].ask, prompts[row["pair_id"]]
            here, there = ask(known, row["first"]), ask(known, other(row["first"]))
            right = here is not None and there is not None and there["answer"] != here["answer"] == row["answer"]
        else:
            continue
        if not right:
            found.append(_finding("wrong_side", row, f"answers {row['answer']!r} with the {row['first']} image first"))
    return found


def answers_not_seen(rows: Rows, scores: Mapping[str, Mapping[str, float]], margin: float = 0.0) -> list[Finding]:
    """Answers to `which_image` that name the image which the text asked about fits less well.

    `scores` has, by `sample_id`, how well the text matches its region in the `source` and in the `target` image. By a
    `margin` below 0 the recipe lets the other image fit better.
    """
    found = []
    for row in rows:
        if row["task"] != "which_image":
            continue
        named = row["first"] if row["answer"] == LETTERS[0] else other(row["first"])
        score = scores.get(row["sample_id"], {})
        if not score or score[named] - score[other(named)] < min(margin, 0.0) - ROUNDING:
            found.append(_finding("answer_not_seen", row, f"answers {row['answer']!r}; its text matches {score}"))
    return found


def _scores_of_sides(ledger: Ledger, shard: str, rows: Rows) -> dict[str, dict[str, float]]:
    """The scores that `answers_not_seen` asks for, by the head of the matcher that the recipe judged by."""
    asked = [row for row in rows if row["task"] == "which_image"]
    scores: dict[str, dict[str, float]] = {}
    for asset, sides in (("captions", _caption_scores), ("removal_captions", _removal_scores)):
        own = [row for row in asked if (row["erased_from"] is not None) == (asset == "removal_captions")]
        if own:
            head = (ledger.record(asset, shard) or {}).get("settings", {}).get("match_score", "itc")
            names = sorted({name for row in own for name in sides(row["about"], head).values()})
            regions = scan(ledger, asset, ["region_id", *names], shards=[shard]).to_pylist()
            known = {region["region_id"]: region for region in regions}
            for row in own:
                region = known.get(row["region_id"], {})
                values = {side: region.get(name) for side, name in sides(row["about"], head).items()}
                if None not in values.values():
                    scores[row["sample_id"]] = values
    return scores


def _caption_scores(about: str, head: str) -> dict[str, str]:
    return {about: f"{about}_match_{head}", other(about): f"{about}_mismatch_{head}"}


def _removal_scores(about: str, head: str) -> dict[str, str]:
    return {"source": f"original_match_{head}", "target": f"erased_match_{head}"}


def identical_images(rows: Rows) -> list[Finding]:
    """Samples of one image twice whose answer tells of a difference."""
    return [
        _finding("identical_images", row, f"answers {row['answer']!r} of two equal images")
        for row in rows
        if row["source_hash"] == row["target_hash"] and row["answer"] not in SAME
    ]


def boxes_outside(rows: Rows) -> list[Finding]:
    """Samples whose box is empty or not within the image."""
    found = []
    for row in rows:
        x1, y1, x2, y2 = (row[name] for name in BOX_COLUMNS)
        if x1 is None and row["task"] != "grounding":
            continue
        if x1 is None or not (0 <= x1 < x2 <= row["width"] and 0 <= y1 < y2 <= row["height"]):
            box = f"({x1}, {y1}, {x2}, {y2}) in {row['width']} x {row['height']}"
            found.append(_finding("box_outside", row, box))
    return found


def on_both_sides(rows: Rows, images: bool = True) -> list[Finding]:
    """Training samples with a caption, or with one of the `images`, that a validation sample has too.

    A recipe by which no image is a near-duplicate allows equal images on both sides.
    """
    validation = [row for row in rows if row["split"] == "validation"]
    captions = {row["caption_id"] for row in validation}
    seen = {row[name] for row in validation for name in HASH_COLUMNS} if images else set()
    found = []
    for row in rows:
        if row["split"] != "validation" and row["caption_id"] in captions:
            found.append(_finding("caption_on_both_sides", row, row["caption_id"]))
        elif row["split"] != "validation" and seen & {row[name] for name in HASH_COLUMNS}:
            found.append(_finding("image_on_both_sides", row, row["pair_id"]))
    return found


def near_duplicates(
    rows: Rows, signatures: Mapping[str, Sequence[str]], min_bits: int, max_similarity: float
) -> list[Finding]:
    """Training samples whose images are too near to those of a validation sample."""
    sides = {row["pair_id"]: row["split"] for row in rows if row["pair_id"] in signatures}
    training, validation = (
        [pair for pair, side in sides.items() if (side == "validation") == wanted] for wanted in (False, True)
    )
    bits, similarities = nearest(*(unpacked(signatures[pair] for pair in pairs) for pairs in (training, validation)))
    close = {
        pair: f"{bit} bits, cosine {similarity:.3f}"
        for pair, bit, similarity in zip(training, bits, similarities, strict=True)
        if bit < min_bits or similarity >= max_similarity
    }
    return [_finding("near_duplicate", row, close[row["pair_id"]]) for row in rows if row["pair_id"] in close]


def unreadable(ledger: Ledger, shard: str) -> list[Finding]:
    """What reads badly in the kept samples of one shard: one finding per fault. Raises DamagedTable."""
    names = ("sample_id", "task", "subject", "answer", "conversations")
    rows = scan(ledger, "fine_tune_set", names, pc.field("kept"), [shard]).to_pylist()
    settings = (ledger.record("fine_tune_set", shard) or {}).get("settings", {})
    language = language_named(settings.get("language") or DEFAULT_LANGUAGE)
    found = []
    for row in rows:
        question = row["conversations"][0]["value"].removeprefix(IMAGE_TOKENS)
        subject = row["subject"] if row["task"] == NAMING else None
        for fault in reading_faults(question, row["answer"], subject, row["task"] in STATED, language):
            found.append(_finding("reads_badly", row, fault))
    return found


def _finding(invariant: str, row: Mapping[str, Any], what: str) -> Finding:
    return {"invariant": invariant, "sample_id": row["sample_id"], "task": row["task"], "what": what}
