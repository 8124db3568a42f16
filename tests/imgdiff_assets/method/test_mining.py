import numpy as np
import pytest

from imgdiff_assets.method import mining
from imgdiff_assets.method.mining import alike


def drawn(count, seed=0, groups=12):
    """Vectors of length 1 that lie around a few places, and a name for each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, 16))
    vectors = centres[rng.integers(groups, size=count)] + 0.4 * rng.normal(size=(count, 16))
    names = [f"{number:032x}" for number in rng.permutation(count)]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), names


def plainly(vectors, names, low, high, most):
    """The same by two loops."""
    every = []
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            cosine = float(vectors[i] @ vectors[j])
            if one < other and low <= cosine <= high:
                every.append((-cosine, one, other))
    uses, pairs = dict.fromkeys(names, 0), []
    for _, one, other in sorted(every):
        if uses[one] < most and uses[other] < most:
            uses[one] += 1
            uses[other] += 1
            pairs.append((one, other))
    return pairs


@pytest.mark.parametrize("most", [1, 3])
def test_the_pairs_are_those_of_two_loops_in_any_block(most, monkeypatch):
    vectors, names = drawn(90)
    expected = plainly(vectors, names, 0.6, 0.95, most)
    assert len(expected) > 20
    for block in (7, 64, 500):
        monkeypatch.setattr(mining, "BLOCK", block)
        assert [(names[i], names[j]) for i, j, _ in alike(vectors, names, 0.6, 0.95, most)] == expected


def test_the_order_of_the_pictures_makes_no_difference():
    vectors, names = drawn(300)
    expected = {(names[i], names[j], cosine) for i, j, cosine in alike(vectors, names, 0.5, 0.9, 2)}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(names))
        shuffled = [names[row] for row in order]
        found = alike(vectors[order], shuffled, 0.5, 0.9, 2)
        assert {(shuffled[i], shuffled[j], cosine) for i, j, cosine in found} == expected


def test_each_picture_is_in_few_pairs_and_none_with_itself():
    vectors, names = drawn(200, groups=2)
    for most in (1, 2):
        pairs = alike(vectors, names, -1.0, 1.0, most)
        uses = np.bincount(np.array([pair[:2] for pair in pairs]).ravel(), minlength=200)
        assert uses.max() == most
        assert all(i != j for i, j, _ in pairs)


def test_of_a_picture_like_all_others_the_likest_are_looked_at(monkeypatch):
    vectors, names = drawn(120, groups=1)
    whole = alike(vectors, names, 0.0, 0.99, 1)
    monkeypatch.setattr(mining, "MOST_OF_ONE", 5)
    assert alike(vectors, names, 0.0, 0.99, 1)[:10] == whole[:10]
