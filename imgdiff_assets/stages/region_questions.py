"""What a captioner is asked of a region, once in each image."""

from collections.abc import Mapping, Sequence
from typing import Any

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.method.kind import SIDES, kind_asked
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.special_tokens import without_tokens
from imgdiff_assets.stages.differences import NoAnswer, tidy
from imgdiff_assets.stages.steps import Work
from resources.images.crops import cut

REGION_SETTINGS = ("region_view", "region_question", "crop_padding")
REGION_ASKED = "asked_of_region"
"""The column with what is asked of a region for its kind; null is what the recipe asks."""
REGION_KIND = ("asked_kind", REGION_ASKED)


def ask_of_regions(
    rows: Sequence[Row], work: Work, role: str, columns: Sequence[str], settings: Mapping[str, Any]
) -> list[Row | NoAnswer]:
    """One caption of the region in each image, into these two columns, by a role that answers questions."""
    views, questions = [], []
    for row in rows:
        for image, name in zip(work.images(row["pair_id"]), (row["source_object"], row["target_object"]), strict=True):
            height, width = image.shape[:2]
            x1, y1, x2, y2 = (row[corner] for corner in BOX_COLUMNS)
            box = {"x1": x1 / width, "y1": y1 / height, "x2": x2 / width, "y2": y2 / height}
            whole = settings["region_view"] == "full" or kind_asked(row["asked_kind"]).whole
            views.append([image if whole else cut(image, (x1, y1, x2, y2), settings["crop_padding"])])
            question = row[REGION_ASKED] or settings["region_question"]
            questions.append(question.format(**box, object=without_tokens(name or "object")))
    answers = [tidy(answer) for answer in work.model(role).answer(views, questions)]
    results: list[Row | NoAnswer] = []
    for both in zip(answers[0::2], answers[1::2], strict=True):
        silent = [image for image, answer in zip(SIDES, both, strict=True) if not answer]
        said = dict(zip(columns, both, strict=True))
        results.append(
            NoAnswer(f"the {role} said nothing about the {' and the '.join(silent)} image") if silent else said
        )
    return results
