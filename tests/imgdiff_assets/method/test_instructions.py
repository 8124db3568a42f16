"""What an editor is told, of every kind, in the captions' own words."""

import random

import pytest

from imgdiff_assets.method.instructions import instruction
from imgdiff_assets.method.kind import kind_named, kind_names
from imgdiff_assets.method.language import language_named
from resources.miniature.kind_pairs import PAIR_KINDS, draw_kind_pair

ENGLISH = language_named("english")
REPLACE = kind_named("object_replaced").told


@pytest.mark.parametrize("kind", sorted(set(kind_names()) & PAIR_KINDS.keys() - {"several", "count_changed"}))
def test_of_drawn_pairs_it_is_what_the_miniature_editor_learns(kind: str) -> None:
    for seed in range(20):
        pair = draw_kind_pair(random.Random(seed), kind)
        (change,) = pair.changes
        told = instruction(kind_named(kind).told, pair.captions, change.phrases, ENGLISH)
        assert told == pair.instruction


@pytest.mark.parametrize(
    ("captions", "phrases", "told"),
    [
        (("A dog on a sofa.", "A cat on a sofa."), ("dog", "cat"), "replace the dog with a cat"),
        (("a red ball and a blue cup", "a red ball and a blue ice cream"), ("cup", "ice cream"),
         "replace the blue cup with a blue ice cream"),
        (("a man in a park", "a man and a dog in a park"), ("", "dog"), "add a dog"),
        (("a man and a dog in a park", "a man in a park"), ("dog", None), "remove the dog"),
        (("a man in a park", "a woman in a park"), ("dog", "cat"), None),
        (("a man in a park", "a woman in a park"), (None, None), None),
    ],
)  # fmt: skip
def test_it_names_whole_things(
    captions: tuple[str, str], phrases: tuple[str | None, str | None], told: str | None
) -> None:
    assert instruction(REPLACE, captions, phrases, ENGLISH) == told
