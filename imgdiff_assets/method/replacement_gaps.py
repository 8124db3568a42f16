"""Which (replaced, replacing) cells are filled already, as one caption needs to know it.

The counts are taken when a caption is ingested, from the shards that are there then, and written beside it: they are
an input of its rows, which never changes, and not the state of other shards, which does.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.method.caption_edit import words


def filled_cells(cells: Mapping[tuple[str, str], int]) -> Callable[[str], str]:
    """A function of a caption: the counts of the cells whose replaced object it names, as canonical JSON.

    The JSON is `{replaced: {replacing: count}}`; `cells` has the counts of all.
    """
    by_object: dict[str, dict[str, int]] = {}
    for (source, target), count in cells.items():
        by_object.setdefault(source, {})[target] = count

    def filled(caption: str) -> str:
        text = f" {' '.join(words(caption))} "
        named = {source: counts for source, counts in by_object.items() if f" {' '.join(words(source))} " in text}
        return json.dumps(named, sort_keys=True, ensure_ascii=False)

    return filled


def places(
    captions: Sequence[str], targets: Sequence[str], cells: Sequence[tuple[str, str]], filled: Sequence[str | None]
) -> npt.NDArray[np.int64]:
    """The place of each rewrite among those of its caption, from the least filled cell (0) up.

    Equally filled cells are in the order of a hash, so that captions with the same choice do not all choose alike.
    """
    rewrites: dict[str, list[int]] = {}
    for row, caption in enumerate(captions):
        rewrites.setdefault(caption, []).append(row)

    def priority(row: int) -> tuple[int, str]:
        source, new = cells[row]
        counts: dict[str, Any] = json.loads(filled[row] or "{}")
        return counts.get(source, {}).get(new, 0), content_hash(captions[row], targets[row])

    result = np.zeros(len(captions), dtype=np.int64)
    for rows in rewrites.values():
        if len(rows) > 1:
            result[sorted(rows, key=priority)] = np.arange(len(rows))
    return result
