"""Which of many pictures are alike but not the same: exact search, in blocks, whatever order they come in."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

BLOCK = 2_048
MOST_OF_ONE = 64
"""Partners of one picture that are looked at for each that it may have: of a picture like thousands, the likest."""

Pair = tuple[int, int, float]


def alike(
    vectors: npt.NDArray[np.float32],
    names: Sequence[str],
    low: float,
    high: float,
    most: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Pair]:
    """Pairs of rows of `vectors` (N, D), of length 1, whose cosine is from `low` to `high`, the likest first.

    `names` are different for each row, and decide between equals: so the pairs are the same whatever order the rows
    have. The likest pairs are taken first, as long as neither of the two is in `most` pairs already; the first of a
    pair has the lesser name. All pairs are compared, in N²D multiplications: nothing is searched approximately.
    """
    order = sorted(range(len(names)), key=lambda row: names[row])
    sorted_vectors = np.ascontiguousarray(vectors[order], dtype=np.float32)
    found = [np.empty((0, 3))]
    for start in range(0, len(order), BLOCK):
        # Those before were compared when it was their turn.
        cosines = sorted_vectors[start : start + BLOCK] @ sorted_vectors[start:].T
        within = (cosines >= low) & (cosines <= high)
        within[np.tril_indices(len(within))] = False
        rows, columns = np.nonzero(_fewer(cosines, within, most * MOST_OF_ONE))
        found.append(np.column_stack([rows + start, columns + start, cosines[rows, columns].astype(np.float64)]))
        progress(min(start + BLOCK, len(order)), len(order))
    candidates = np.concatenate(found)
    ranked = candidates[np.lexsort((candidates[:, 1], candidates[:, 0], -candidates[:, 2]))]
    uses, pairs = np.zeros(len(order), dtype=np.int64), list[Pair]()
    for first, second, cosine in ranked:
        places = int(first), int(second)
        if (uses[list(places)] < most).all():
            uses[list(places)] += 1
            pairs.append((order[places[0]], order[places[1]], float(cosine)))
    return pairs


def _fewer(cosines: npt.NDArray[np.float32], within: npt.NDArray[np.bool_], most: int) -> npt.NDArray[np.bool_]:
    """Of each row at most so many, the largest; of equals the first."""
    for row in np.flatnonzero(within.sum(axis=1) > most):
        places = np.flatnonzero(within[row])
        kept = places[np.argsort(-cosines[row, places], kind="stable")[:most]]
        within[row] = False
        within[row, kept] = True
    return within
