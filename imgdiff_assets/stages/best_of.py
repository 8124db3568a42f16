"""Several attempts at one pair of images, of which the best is kept: what they differ in, and how they compare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imgdiff_assets.common.aliases import Pixels

CHANGED = ("cross_replace_steps", "self_replace_steps", "guidance_scale")
"""What of the pair generator's settings attempts may differ in; null: as it is set."""

ATTEMPTS = pa.field(
    "attempts",
    pa.list_(
        pa.struct(
            [
                pa.field("seed", pa.int64()),
                *(pa.field(name, pa.float64()) for name in CHANGED),
                pa.field("source_hash", pa.string()),
                pa.field("target_hash", pa.string()),
                pa.field("score", pa.float32()),
            ]
        )
    ),
)
"""Each attempt: what it takes to draw it again, by which its pictures are known, and what it scored."""


def changes(settings: Mapping[str, Any], attempt: int) -> dict[str, float]:
    """What this attempt changes of the pair generator's settings: of each list the value whose turn it is."""
    lists = {name: settings[f"attempt_{name}"] for name in CHANGED}
    return {name: values[attempt % len(values)] for name, values in lists.items() if values}


def scores(
    encoder: Any, best_by: str, captions: tuple[Sequence[str], Sequence[str]], images: tuple[Sequence[Pixels], ...]
) -> npt.NDArray[np.float32]:
    """A cosine for each pair, the larger the better, float32 (N,).

    `direction`: whether the pictures change as the captions do (InstructPix2Pix). `fit`: how well the picture that
    fits its caption worse does so.
    """
    texts = [encoder.encode_texts(list(side)) for side in captions]
    pictures = [encoder.encode_images(list(side)) for side in images]
    if best_by == "fit":
        fits = [(text * picture).sum(1) for text, picture in zip(texts, pictures, strict=True)]
        return np.asarray(np.minimum(*fits), dtype=np.float32)
    told, seen = texts[1] - texts[0], pictures[1] - pictures[0]
    lengths = np.linalg.norm(told, axis=1) * np.linalg.norm(seen, axis=1)
    return np.asarray((told * seen).sum(1) / np.maximum(lengths, 1e-9), dtype=np.float32)
