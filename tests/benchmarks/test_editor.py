"""The miniature editor as it is shipped, on a few instructions; `python -m benchmarks.editor` looks at many."""

import numpy as np
import pytest

from benchmarks.editor import MINIATURE, added_of, fidelity, held_out_pairs, measure
from benchmarks.judge import Judge

FEW = 6


@pytest.mark.slow
def test_it_follows_instructions_and_keeps_the_rest() -> None:
    found = {one.what: one for one in measure(MINIATURE, FEW)}
    assert found["instruction followed, all kinds alike"].value >= 90
    assert found["PSNR away from the change"].value >= 27


@pytest.mark.slow
def test_what_is_added_is_no_change_of_the_rest_wherever_it_stands() -> None:
    (pair,) = held_out_pairs("object_added", 1)
    source, truth = (scene.image for scene in pair.scenes)
    # The thing that was to be added, where nobody drew it.
    moved = np.roll(truth, 3, axis=0)
    moved = np.where(np.abs(moved.astype(int) - np.roll(source, 3, axis=0)).max(2, keepdims=True) > 6, moved, source)
    verdict = Judge().judge(moved)
    alone, with_it = (fidelity(source, moved, pair, added) for added in ((), added_of(pair, verdict)))
    assert added_of(pair, verdict)
    assert with_it is not None
    assert alone is not None
    assert with_it >= alone
    (replaced,) = held_out_pairs("object_replaced", 1)
    assert added_of(replaced, Judge().judge(replaced.scenes[1].image)) == []
