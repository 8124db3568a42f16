"""The dear models look only at what the cheap ones left, and keep both of their scores."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from tests.imgdiff_assets.conftest import Artist, DrawnModels

SHARD = "shard-000000"
SIDES = ("source", "target")


class Counting(Artist):
    """Counts what it was asked to match; finds every other pair of texts alike, the rest unlike."""

    def __init__(self, artist: Artist) -> None:
        self.drawn = artist.drawn
        self.matched = 0

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[[int(place % 4 == 3) for place in range(len(texts))]]

    def match(self, images: Sequence[Pixels], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        self.matched += len(images)
        itc, itm = super().match(images, texts)
        return itc, itm / 2


@pytest.mark.parametrize(
    ("name", "cheap", "threshold"),
    [
        ("bounding_boxes", "same_content", "bounding_boxes.max_region_similarity=0.9"),
        ("captions", "captions_alike", "captions.max_caption_similarity=0.5"),
    ],
)
def test_what_the_cheap_test_rejects_is_never_matched(
    own_home: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, name: str, cheap: str, threshold: str
) -> None:
    stage, recipe = stage_named(name), override_recipe(drawn_recipe, [threshold])
    artist = Counting(DrawnModels.artist)
    monkeypatch.setattr(DrawnModels, "artist", artist)
    ledger = Ledger(own_home.ledger)
    ledger.table_path(name, SHARD).unlink()
    materialize(stage, SHARD, read_inputs(stage, own_home, SHARD), recipe, ledger, DrawnModels(recipe), "run-2")
    table: pa.Table = ledger.read(name, SHARD)
    rows = [row for row in table.to_pylist() if row["match_fingerprint"]]
    rejected = [row for row in table.to_pylist() if row["rejected_by"] == cheap]
    assert rows
    assert rejected
    assert all(row["source_match_itc"] is None for row in rejected)
    assert artist.matched == 2 * len(rows)
    for row in rows:
        for side in SIDES:
            assert row[f"{side}_match_itm"] == pytest.approx(row[f"{side}_match_itc"] / 2)
