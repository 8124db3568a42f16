"""Drawn pairs of every kind: what differs is where it is said to be, and as the captions and the instruction say."""

import random

import numpy as np
import pytest

from imgdiff_assets.method.kind import kind_names
from resources.miniature.contents import Content, Group
from resources.miniature.kind_pairs import PAIR_KINDS, WHOLE, draw_kind_pair
from resources.miniature.scenes import SceneObject, caption, draw_scene, parse_caption
from resources.miniature.vocabulary import MORE_WORDS, WORDS, build_tokenizer, build_vocabulary

EXAMPLES = 25


def test_a_pair_of_every_kind_can_be_drawn() -> None:
    assert set(kind_names()) <= set(PAIR_KINDS)


@pytest.mark.parametrize("kind", PAIR_KINDS)
def test_the_images_differ_in_the_boxes_and_nowhere_else(kind: str) -> None:
    rng = random.Random(0)
    for _ in range(EXAMPLES):
        pair = draw_kind_pair(rng, kind)
        differs = (pair.scenes[0].image != pair.scenes[1].image).any(-1)
        boxes = [change.boxes for change in pair.changes]
        for x1, y1, x2, y2 in np.concatenate(boxes):
            assert differs[y1:y2, x1:x2].any(), pair.captions
        # The soft edge of a drawing reaches a pixel beyond its mask.
        for x1, y1, x2, y2 in np.concatenate(boxes):
            differs[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = False
        assert not differs.any(), pair.captions
        assert (kind == "background_changed") == (boxes[0] is WHOLE)


@pytest.mark.parametrize("kind", PAIR_KINDS)
def test_captions_hold_what_is_named_and_every_word_is_known(kind: str) -> None:
    rng = random.Random(1)
    for _ in range(EXAMPLES):
        pair = draw_kind_pair(rng, kind)
        assert pair.captions[0] != pair.captions[1]
        assert pair.captions == tuple(scene.caption for scene in pair.scenes)
        for change in pair.changes:
            assert change.kind == kind or kind == "several"
            for text, phrase in zip(pair.captions, change.phrases, strict=True):
                assert phrase is None or phrase in text
        assert set(f"{' '.join(pair.captions)} {pair.instruction}".split()) <= set(MORE_WORDS)
    assert len(pair.changes) == (2 if kind == "several" else 1)


def test_pairs_are_of_training_or_held_out() -> None:
    rng = random.Random(2)
    for kind in PAIR_KINDS:
        assert [draw_kind_pair(rng, kind, held_out).held_out for held_out in (False, True)] == [False, True]


def test_a_pair_is_a_function_of_its_seed() -> None:
    one, again = (draw_kind_pair(random.Random(5), "count_changed") for _ in range(2))
    assert one.captions == again.captions
    assert np.array_equal(one.scenes[1].image, again.scenes[1].image)


def test_richer_captions_are_a_scenes_own_where_there_is_nothing_more_to_say() -> None:
    things = (SceneObject("cup", "orange"), SceneObject("cat", "red"))
    content = Content(tuple(map(Group, things)), "sea")
    assert content.caption == caption(things, "sea")
    assert parse_caption(content.caption) == (things, "sea")
    counted = Content((Group(SceneObject("ice cream", "red"), 3), Group(things[1], size="small")), "sand", "above")
    assert counted.caption == "three red ice creams above a small red cat on the sand"
    assert parse_caption(counted.caption) is None


def test_animals_look_otherwise_in_each_pose() -> None:
    images = [
        draw_scene(random.Random(0), (SceneObject("cat", "red", pose),), "grass").image
        for pose in ("", "sitting", "sleeping")
    ]
    assert all((images[one] != images[other]).sum() > 500 for one, other in ((0, 1), (0, 2), (1, 2)))


def test_more_words_move_no_id_but_the_marks() -> None:
    ours, more = build_vocabulary()[0], build_vocabulary(MORE_WORDS)[0]
    assert MORE_WORDS[: len(WORDS)] == WORDS
    assert all(more[token] == number for token, number in ours.items() if not token.startswith("<|"))
    tokenizer = build_tokenizer(16, MORE_WORDS)
    assert [tokenizer.tokenize(word) for word in MORE_WORDS] == [[f"{word}</w>"] for word in MORE_WORDS]
