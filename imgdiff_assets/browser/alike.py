"""Pairs that look like a row's: by the image vectors in the ledger, of one model alone."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.common.aliases import Floats
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.method.near_duplicates import VECTOR_COLUMNS
from imgdiff_assets.stages.graph import STAGES

TABLE, ROLE = "filtered_pairs", "image_text_encoder"
MOST = 240
"""Pairs that are found of one."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """The unit vectors of the images of N pairs, all by one model: (N, 2, D), source before target."""

    model: Mapping[str, Any]
    pairs: list[str]
    values: Floats


@dataclass(frozen=True, slots=True)
class Alike:
    """The pairs nearest to one, itself first, with the cosine of their nearest images; and whose vectors these are."""

    pair_id: str
    model: str
    weights: str
    pairs: list[str]
    cosines: list[float]


def look_alike(index: Index, identity: str) -> Alike:
    """What looks like the pair of a row, and is in the index from now on. Raises BadQuestion."""
    pair_id = _pair_of(index, identity)
    found = index.computed("alike", pair_id, lambda: _nearest(index, pair_id))
    if found is None:
        raise BadQuestion(f"{identity}: its images have no vectors yet, so nothing is known to look like it")
    return found


def _pair_of(index: Index, identity: str) -> str:
    for stage in STAGES:
        if "pair_id" in stage.schema.names:
            sql = f"SELECT pair_id FROM {stage.name} WHERE {stage.id_column} = ? LIMIT 1"
            if rows := index.rows(sql, [identity]):
                return str(rows[0]["pair_id"])
    raise BadQuestion(f"{identity!r} is no pair, region or sample that others could look like")


def _nearest(index: Index, pair_id: str) -> Alike | None:
    rows = index.rows(
        f"SELECT shard FROM {TABLE} WHERE pair_id = ? AND {VECTOR_COLUMNS[0]} IS NOT NULL LIMIT 1", [pair_id]
    )
    if not rows:
        return None
    model = model_of(index, rows[0]["shard"])
    vectors = vectors_of(index, model)
    own = vectors.values[vectors.pairs.index(pair_id)]
    cosines = np.max(vectors.values @ own.T, axis=(1, 2))
    order = np.argsort(-cosines, kind="stable")[:MOST]
    pairs = [vectors.pairs[number] for number in order]
    index.keep_alike(pair_id, pairs)
    weights = str(model.get("weights") or "")[:12]
    return Alike(pair_id, str(model.get("model")), weights, pairs, [float(cosines[number]) for number in order])


def model_of(index: Index, shard: str) -> Mapping[str, Any]:
    """Who made the vectors of a shard: two models whose vectors are as long are two models."""
    record = index.records.get((TABLE, shard), {})
    model: Mapping[str, Any] = record.get("models", {}).get(ROLE, {})
    return model


def vectors_of(index: Index, model: Mapping[str, Any]) -> Vectors:
    """Of all pairs whose vectors this model made."""
    found: Vectors = index.computed("vectors", content_hash(model), lambda: _vectors(index, model))
    return found


def _vectors(index: Index, model: Mapping[str, Any]) -> Vectors:
    shards = [key for asset, key in list(index.records) if asset == TABLE and model_of(index, key) == model]
    table = index.table(
        f"SELECT pair_id, {', '.join(VECTOR_COLUMNS)} FROM {TABLE} "
        f"WHERE shard IN (SELECT unnest(?)) AND {VECTOR_COLUMNS[0]} IS NOT NULL ORDER BY pair_id",
        [shards],
    )
    sides = []
    for name in VECTOR_COLUMNS:
        data = b"".join(map(base64.b64decode, table[name].to_pylist()))
        sides.append(np.frombuffer(data, "<f2").astype(np.float32).reshape(len(table), -1))
    values = np.stack(sides, axis=1)
    values /= np.maximum(np.linalg.norm(values, axis=2, keepdims=True), 1e-12)
    return Vectors(model, table["pair_id"].to_pylist(), values)
