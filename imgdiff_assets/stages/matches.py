"""What stages that ask the image-text matcher share: the columns of its two scores, and rows planted for them."""

import pyarrow as pa

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.stages.steps import CANARY_MARGIN, Canaries, cosine, share

HEADS = ("itc", "itm")
"""The contrastive cosine and the matching head's probability."""


def matches(*names: str) -> tuple[pa.Field, ...]:
    """Columns for both scores of each name, such as `source_match_itc`."""
    return tuple(
        column(f"{name}_{head}") for head, column in ((HEADS[0], cosine), (HEADS[1], share)) for name in names
    )


def planted_matches(score: str, limit: float, both: bool) -> Canaries:
    """Canaries of a region's matches, `itc` and `itm` of the source and of the target.

    Rows match or not in the `score` that is judged, and do the opposite in the other; `both` sides must match, or one.
    """

    def row(source: int, target: int) -> Row:
        return {
            f"{side}_match_{head}": limit + (direction if head == score else -direction) * CANARY_MARGIN
            for side, direction in (("source", source), ("target", target))
            for head in HEADS
        }

    one = [row(1, -1), row(-1, 1)]
    return Canaries([row(1, 1), *([] if both else one)], [row(-1, -1), *(one if both else [])])
