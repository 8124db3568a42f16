"""Which of a caption's rewrites are kept: none twice, and the rarest where a recipe keeps fewer than it asks for."""

from typing import Any

import numpy as np
import pyarrow as pa

from imgdiff_assets.common.aliases import Booleans, Columns, Row
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.replacement_gaps import places
from imgdiff_assets.stages.prompt_pairs_settings import PromptPairsSettings
from imgdiff_assets.stages.steps import Canaries, Derivation, Filter

CELLS = ("caption_id", "target_caption", "source_object", "target_object", "filled")


def _place(columns: Columns, settings: PromptPairsSettings) -> Any:
    cells = list(zip(columns["source_object"], columns["target_object"], strict=True))
    return places(list(columns["caption_id"]), list(columns["target_caption"]), cells, list(columns["filled"]))


def _emptiest(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.asarray(columns["place"] < settings.keep_attempts, dtype=bool)


def _canary_fuller(settings: PromptPairsSettings) -> Canaries:
    """As many rewrites of one caption as may be kept, into empty cells, and one more into a filled one."""

    def rewrite(new: str) -> Row:
        cell = {"source_object": "dog", "target_object": new}
        return {"caption_id": "one", "target_caption": f"a {new}", "filled": '{"dog": {"cat": 7}}', **cell}

    kept = [rewrite(f"animal{number}") for number in range(settings.keep_attempts)]
    return Canaries(kept, [rewrite("cat")])


def _repeated(columns: Columns, settings: PromptPairsSettings) -> Any:
    texts = [" ".join(words(text)) for text in columns["target_caption"]]
    seen: set[tuple[str, str]] = set()
    result = np.zeros(len(texts), dtype=bool)
    for row in np.argsort(columns["attempt"], kind="stable"):
        key = columns["caption_id"][row], texts[row]
        result[row] = key in seen
        seen.add(key)
    return result


def _new(columns: Columns, settings: PromptPairsSettings) -> Booleans:
    return np.array([not repeated for repeated in columns["repeated"]], dtype=bool)


def _canary_repeated(settings: PromptPairsSettings) -> Canaries:
    """The same rewrite of one caption, but for its letters' case; of another caption it is no repetition."""

    def rewrite(caption_id: str, attempt: int, text: str) -> Row:
        return {"caption_id": caption_id, "attempt": attempt, "target_caption": text}

    return Canaries([rewrite("one", 0, "a cat"), rewrite("another", 1, "a cat")], [rewrite("one", 1, "A cat.")])


STEPS = (
    Derivation(pa.field("repeated", pa.bool_()), ("caption_id", "attempt", "target_caption"), _repeated),
    Filter("repeated", ("repeated",), _new, "another attempt gave the same caption", _canary_repeated),
    Derivation(pa.field("place", pa.int32()), CELLS, _place),
    Filter(
        "fuller_cell",
        ("place",),
        _emptiest,
        "another attempt makes a rarer replacement",
        _canary_fuller,
        threshold="keep_attempts",
    ),
)
