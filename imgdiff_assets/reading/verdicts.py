"""Why a row was kept or dropped, in words."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.stages.stage import ERROR_PREFIX, UPSTREAM

REASONS: Mapping[str, str] = {
    "too_long": "the caption has too many words for the image models",
    "unknown_words": "the caption has words that the models have never seen",
    "no_answer": "the rewriter gave no caption",
    "about_the_task": "the rewriter talked about its task instead of doing it",
    "unchanged": "the rewritten caption says the same",
    "several_changes": "more than one thing was changed",
    "not_a_replacement": "something was added or removed instead of one object being replaced",
    "repeated": "another attempt gave the same caption",
    "fuller_cell": "another attempt makes a rarer replacement",
    "too_different": "the two images are too different to compare",
    "too_similar": "the two images are too much alike",
    "no_proposals": "no object was found in either image",
    "too_small": "the box is too small",
    "too_large": "the box is too large",
    "same_content": "the box shows the same in both images",
    "object_not_seen": "the box does not show the replaced object",
    "overlaps": "a box that overlaps it is more different",
    "beyond_the_first": "there are enough boxes that are more different",
    "same_region": "a box that overlaps it is a better proposal",
    "beyond_the_best": "the image has enough boxes that are better proposals",
    "not_erased": "the box shows the same as before it was erased",
    "still_there": "what was erased is still to be seen",
    "captions_alike": "the region's two captions mean the same",
    "caption_misfits": "a region caption does not fit its image",
    "difference_disagrees": "the difference caption contradicts the region captions",
    "review": "the people who looked at it rejected it",
    "identical_images": "the two images are the same, and the answer tells of a difference",
    "not_the_same": "the two images are not enough alike to be called the same",
    "answer_not_seen": "the text fits the other image as well as the one that the answer names",
    "near_validation_hash": "its image is a near-duplicate of an image of the validation split (perceptual hash)",
    "near_validation": "its image is a near-duplicate of an image of the validation split (vectors)",
}
"""What each filter of the graph says of a row that it rejects."""


def in_words(row: Mapping[str, Any]) -> str:
    """The verdict on a row of the ledger, from its `kept`, `rejected_by` and `error`."""
    name = row["rejected_by"]
    if row["kept"] or name is None:
        return "kept"
    if name == UPSTREAM:
        return "set aside: the row it came from is rejected now"
    if name.startswith(ERROR_PREFIX):
        kind = name.removeprefix(ERROR_PREFIX)
        return f"failed ({kind}): {row['error'] or 'no message'}; the next run tries again"
    return f"rejected by {name}: {REASONS[name]}" if name in REASONS else f"rejected by {name}"
