"""A release beside evaluation sets: its pictures' signatures as they were measured, and its captions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgdiff_assets.common.progress import Progress
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.near_duplicates import SIGNATURE_COLUMNS, unpacked
from imgdiff_assets.reading.gathered import Gathered
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contamination import EncodeImages, Ours, compare
from resources.backends.choice import backend_of

CONTAMINATION = "contamination"
"""The key of the manifest, and the name of the file, of a release that was compared."""

CAPTIONS = ("source_caption", "target_caption")


def compared_with(
    ledger: Ledger, recipe: Recipe, gathered: Gathered, folders: Sequence[Path], progress: Progress
) -> list[dict[str, Any]]:
    """What was found in each folder, as `contamination.json` tells it; ids are those of pairs.

    Raises NothingToCompare, DamagedTable, OSError, and where the encoder's weights are missing FileNotFoundError.
    """
    if not folders:
        return []
    ours = ours_of(ledger, gathered)
    encode = _encoder(recipe) if ours.vectors.shape[1] else None
    return [compare(folder, ours, encode, progress).to_json() for folder in folders]


def ours_of(ledger: Ledger, gathered: Gathered) -> Ours:
    """The signatures and captions of the pairs that samples are of. Raises DamagedTable."""
    ids: list[str] = []
    rows: list[list[str]] = []
    texts: list[tuple[str, str]] = []
    for shard, samples in gathered.samples.items():
        pairs = pc.field("pair_id").isin(pa.array(sorted({sample.pair_id for sample in samples}), pa.string()))
        signed = pairs & pc.field("source_phash").is_valid()
        for row in scan(ledger, "filtered_pairs", ["pair_id", *SIGNATURE_COLUMNS], signed, [shard]).to_pylist():
            ids += [row["pair_id"]] * 2
            rows.append([row[name] for name in SIGNATURE_COLUMNS])
        for row in scan(ledger, "prompt_pairs", ["pair_id", *CAPTIONS], pairs, [shard]).to_pylist():
            texts += [(row["pair_id"], row[name]) for name in CAPTIONS if row[name]]
    of_one_model = {len(row[2]) for row in rows} in ({len(rows[0][2])}, set()) if rows else True
    if not of_one_model:  # shards were measured by encoders of other sizes: pictures are compared by hashes
        rows = [[*row[:2], "", ""] for row in rows]
    signatures = unpacked(rows)
    return Ours(ids, signatures.hashes, np.asarray(signatures.vectors), texts)


def _encoder(recipe: Recipe) -> EncodeImages:
    settings = recipe.models.image_text_encoder
    encode: EncodeImages = backend_of(settings).load(settings).encode_images
    return encode
