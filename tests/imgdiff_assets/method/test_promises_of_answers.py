"""What holds for every answer: of a caption that is found, of a change that passes, and in the drawn world."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.method.agreement import agreement
from imgdiff_assets.method.answers import find_caption
from imgdiff_assets.method.caption_edit import same_words, words
from imgdiff_assets.method.change import CHANGE_KEYS, SEVERAL_OBJECTS, check
from imgdiff_assets.method.language import Language, language_named
from resources.miniature.drawings import COLOURS, DRAWINGS
from resources.miniature.scenes import SceneObject
from resources.miniature.train_captioner import difference

SOURCE, NEW = "A dog sleeps on the sofa.", "A cat sleeps on the sofa."
STRICT = Language(name="strict", joining=frozenset(["on"]))
"""A language in which nothing agrees with anything."""

AROUND = st.lists(
    st.sampled_from(
        [SOURCE, SOURCE.lower(), "Sure!", '"', "**", "1.", "Original:", "→", "<|im_start|>", "the sofa", "\n"]
    ),
    max_size=6,
).map(" ".join)
WORDS = st.lists(st.sampled_from(["wine", "on", "red"]), max_size=2).map(" ".join)


@given(before=AROUND, after=AROUND)
@settings(max_examples=100)
def test_a_caption_that_is_found_is_never_the_old_one_where_there_is_a_new_one(before: str, after: str) -> None:
    found = find_caption(f"{before}\n{NEW}\n{after}", SOURCE).caption
    assert found is not None
    assert same_words(found, NEW)


@given(phrases=st.tuples(WORDS, WORDS), before=st.tuples(WORDS, WORDS), after=st.tuples(WORDS, WORDS))
@settings(max_examples=150)
def test_a_change_that_passes_makes_the_new_caption_of_the_old_one(
    phrases: tuple[str, str], before: tuple[str, str], after: tuple[str, str]
) -> None:
    source, target = (f"{before[side]} {phrases[side]} {after[side]}" for side in (0, 1))
    change = check(source, target, dict(zip(CHANGE_KEYS, phrases, strict=True)), STRICT)
    if change.fault in (None, SEVERAL_OBJECTS):
        caption, old, new = words(source), words(str(change.source)), words(str(change.target))
        places = (place for place in range(len(caption) + 1) if caption[place : place + len(old)] == old)
        assert any([*caption[:place], *new, *caption[place + len(old) :]] == words(target) for place in places)


def test_agreement_is_exact_in_the_drawn_world() -> None:
    english = language_named("english")
    things = [SceneObject(name, colour) for name in DRAWINGS for colour in COLOURS]
    draw = random.Random(0)
    for left, right, other in (draw.sample(things, 3) for _ in range(60)):
        phrases = left.phrase, right.phrase
        assert agreement(difference(left, right), *phrases, english) == 1
        for said in ((right, left), (other, right), (left, other), (left, left)):
            assert agreement(difference(*said), *phrases, english) < 1
