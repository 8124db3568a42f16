"""Word differences between captions, and whether a difference caption agrees with the two region captions."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.method.caption_edit import ARTICLES, CaptionEdit, edits, words

CAPTIONS = st.lists(
    st.sampled_from(
        ["a", "an", "the", "red", "ball", "fire", "hydrant", "on", "grass", "and", "ice", "cream", "naïve"]
    ),
    max_size=10,
).map(" ".join)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("a dog on the grass", "a cat on the grass", [("dog", "cat")]),
        ("a fire hydrant on a street", "a mailbox on a street", [("fire hydrant", "mailbox")]),
        ("a mailbox on a street", "a fire hydrant on a street", [("mailbox", "fire hydrant")]),
        ("a red ball", "a red ice cream", [("ball", "ice cream")]),
        ("a ball", "an umbrella", [("ball", "umbrella")]),
        ("an apple and a pear", "a plum and a pear", [("apple", "plum")]),
        ("a man riding a horse", "a man riding an elephant", [("horse", "elephant")]),
        ("two dogs on a bed", "a cat on a bed", [("two dogs", "cat")]),
        ("a dog in the snow", "a dog", [("in the snow", "")]),
        ("a dog", "a dog in the snow", [("", "in the snow")]),
        ("a red ball and a blue cup", "a red cube and a green cup", [("ball", "cube"), ("blue", "green")]),
        ("a cat, a dog and a bird", "a cow, a dog and a fish", [("cat", "cow"), ("bird", "fish")]),
        ("the dog's bone", "the cat's bone", [("dog's", "cat's")]),
        ("a T-shirt on a chair", "a hat on a chair", [("t-shirt", "hat")]),
        ("ein Hund läuft", "ein Käfer läuft", [("hund", "käfer")]),
        ("一只 狗 草地", "一只 猫 草地", [("狗", "猫")]),
        ("", "a dog", [("", "dog")]),
    ],
)
def test_replaced_phrases_are_found(source: str, target: str, expected: list[tuple[str, str]]) -> None:
    assert edits(source, target) == [CaptionEdit(*pair) for pair in expected]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("A Dog on the Grass.", "a dog on the grass"),
        ("a dog, on the grass", "a dog on the grass!"),
        ("“a dog” on the grass", "a dog — on the grass"),
        ("a dog on the grass", "the dog on grass"),
        ("a dog’s bone", "a dog's bone"),
        ("a café table", unicodedata.normalize("NFD", "a café table")),
        ("हिन्दी की किताब", "हिन्दी की किताब।"),
        ("  a   dog ", "a\tdog\n"),
        ("...", "?"),
    ],
)
def test_case_punctuation_articles_and_spelling_of_characters_are_no_edits(source: str, target: str) -> None:
    assert edits(source, target) == []


@given(text=st.text(alphabet="abZ09 '-.,\n\t_", max_size=30))
def test_plain_letters_are_read_as_any_others(text: str) -> None:
    assert words(f"é {text}")[1:] == words(text)


def test_a_word_is_never_cut_in_two() -> None:
    assert words("हिन्दी की किताब") == ["हिन्दी", "की", "किताब"]
    assert words("a T-shirt, the dog's rock’n’roll & 3.5 km") == [
        *("a", "t-shirt", "the", "dog's", "rock'n'roll", "3", "5", "km")
    ]


@given(caption=CAPTIONS | st.text(max_size=30))
@settings(max_examples=60)
def test_a_caption_does_not_differ_from_itself(caption: str) -> None:
    assert edits(caption, caption) == []


@given(source=CAPTIONS, target=CAPTIONS)
@settings(max_examples=100)
def test_edits_say_what_changed_and_nothing_else(source: str, target: str) -> None:
    found = edits(source, target)
    for edit in found:
        for phrase, caption in ((edit.source, source), (edit.target, target)):
            assert f" {phrase} " in f" {' '.join(words(caption))} " or not phrase
            assert not phrase or phrase.split()[0] not in ARTICLES
        assert edit.source or edit.target
    content = [[word for word in words(caption) if word not in ARTICLES] for caption in (source, target)]
    assert bool(found) == (content[0] != content[1])


@given(before=CAPTIONS, after=CAPTIONS)
@settings(max_examples=60)
def test_one_replaced_object_is_one_edit(before: str, after: str) -> None:
    """Wherever it stands, and however long the phrases are, if its words are nowhere else."""
    source, target = f"{before} traffic light {after}", f"{before} zebra {after}"
    assert edits(source, target) == [CaptionEdit("traffic light", "zebra")]
