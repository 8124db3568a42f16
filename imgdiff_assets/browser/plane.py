"""All pairs in a plane, alike ones near each other: computed once from their image vectors, and kept in a file.

The file says which model's vectors it is of. Pairs that came later are not in it until it is made again.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imgdiff_assets.browser.alike import TABLE, Vectors, model_of, vectors_of
from imgdiff_assets.browser.index import Index
from imgdiff_assets.common.aliases import Booleans, Floats
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import atomic_file

METHODS = ("umap", "pca")
ABOUT = b"imgdiff map"
FEWEST = 3
SIDE = 1000
"""Areas are told in thousandths of the plane's side."""


class NoPlane(ImgDiffError, ValueError):
    """A plane that is not there, or that cannot be made."""


@dataclass(frozen=True, slots=True)
class Plane:
    """N pairs by id, and where each is: (N, 2) from 0 to 1. `about` says how and of what it was made."""

    pairs: list[str]
    places: Floats
    about: dict[str, Any]

    def inside(self, area: list[tuple[int, int]]) -> list[str]:
        """The pairs in a polygon of thousandths, whose lines may cross (even-odd rule)."""
        found = within(self.places * SIDE, np.array(area, dtype=np.float64))
        return [self.pairs[number] for number in np.flatnonzero(found)]


def within(places: Floats, corners: np.ndarray) -> Booleans:
    """Which of (N, 2) places are in the polygon of (M, 2) corners, by the even-odd rule."""
    result = np.zeros(len(places), dtype=bool)
    x, y = places[:, 0], places[:, 1]
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            result ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return result


def plane_path(home: Home) -> Path:
    return home.local / "map.parquet"


def read_plane(home: Home) -> Plane:
    """Raises NoPlane."""
    try:
        table = pq.read_table(plane_path(home))
        places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        return Plane(table["pair_id"].to_pylist(), places, json.loads(table.schema.metadata[ABOUT]))
    except FileNotFoundError:
        raise NoPlane("There is no map yet: `imgdiff map` makes one.") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise NoPlane(f"{plane_path(home)} is damaged: `imgdiff map` makes another. ({error})") from error


def make_plane(index: Index, method: str | None = None) -> Plane:
    """Place the pairs of the model whose vectors most pairs have, and keep the file. Raises NoPlane.

    `umap`, of the extra `map`: McInnes and others, 2018, with a fixed seed; `pca`: the two directions along which
    vectors differ most. The first where it is installed, unless told.
    """
    vectors = _most(index)
    if len(vectors.pairs) < FEWEST:
        raise NoPlane(f"A map has {FEWEST} pairs with image vectors at least; there are {len(vectors.pairs)}.")
    method = method or ("umap" if _umap() is not None else "pca")
    means = vectors.values.mean(axis=1)
    places = _by_umap(means) if method == "umap" else _by_pca(means)
    low, high = places.min(axis=0), places.max(axis=0)
    places = ((places - low) / np.maximum(high - low, 1e-12)).astype(np.float32)
    about = {"method": method, "model": vectors.model.get("model"), "weights": vectors.model.get("weights")}
    schema = pa.schema([("pair_id", pa.string()), ("x", pa.float32()), ("y", pa.float32())])
    table = pa.table(
        [vectors.pairs, places[:, 0], places[:, 1]], schema=schema.with_metadata({ABOUT: json.dumps(about)})
    )
    with atomic_file(plane_path(index.home)) as temporary:
        pq.write_table(table, temporary)
    return Plane(vectors.pairs, places, about)


def _most(index: Index) -> Vectors:
    index.refresh()
    counts: Counter[str] = Counter()
    models = {}
    for row in index.rows(f"SELECT shard, count(*) AS n FROM {TABLE} WHERE source_vector IS NOT NULL GROUP BY 1"):
        model = model_of(index, row["shard"])
        models[content_hash(model)] = model
        counts[content_hash(model)] += row["n"]
    if not counts:
        raise NoPlane("No pair has image vectors yet: `imgdiff run` measures them.")
    return vectors_of(index, models[counts.most_common(1)[0][0]])


def _by_pca(means: Floats) -> Floats:
    centred = means - means.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    chosen = directions[:, np.argsort(values)[::-1][:2]]
    # A direction has no sign of its own; one is chosen, so that equal vectors give equal maps.
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    return np.asarray(centred @ chosen, dtype=np.float32)


def _by_umap(means: Floats) -> Floats:
    umap = _umap()
    if umap is None:
        raise NoPlane("umap-learn is not installed: pip install 'imgdiff-assets[map]', or --by pca.")
    neighbours = min(15, len(means) - 1)
    placed = umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1, init="random")
    return np.asarray(placed.fit_transform(means), dtype=np.float32)


def _umap() -> Any:
    try:
        import umap
    except ImportError:
        return None
    return umap
