"""An edit laid back: the change stays, all else is the source."""

import random

import numpy as np
import pytest

from imgdiff_assets.method.lay_back import laid_back
from resources.miniature.kind_pairs import draw_kind_pair


@pytest.mark.parametrize("kind", ["object_replaced", "object_added", "object_removed"])
def test_only_the_change_is_the_editor_s(kind: str) -> None:
    rng = np.random.default_rng(0)
    for seed in range(10):
        pair = draw_kind_pair(random.Random(seed), kind)
        source, wanted = (scene.image for scene in pair.scenes)
        # An editor shifts all colours a little.
        target = np.clip(wanted + rng.integers(-6, 7, wanted.shape), 0, 255).astype(np.uint8)
        result = laid_back(source, target, 24)
        away = np.ones(source.shape[:2], bool)
        for x1, y1, x2, y2 in pair.changes[0].boxes.tolist():
            away[max(0, y1 - 6) : y2 + 6, max(0, x1 - 6) : x2 + 6] = False
        np.testing.assert_array_equal(result[away], source[away])
        assert np.abs(result.astype(int) - wanted).max() <= 24


def test_where_nothing_changed_it_is_the_source() -> None:
    source = np.random.default_rng(0).integers(0, 200, (48, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(laid_back(source, source + 10, 24), source)
    with pytest.raises(ValueError, match="cannot be laid onto one of shape"):
        laid_back(source, source[:-1], 24)
