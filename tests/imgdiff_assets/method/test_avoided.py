import pytest

from imgdiff_assets.method.avoided import avoided_word
from imgdiff_assets.method.language import language_named

ENGLISH = language_named("english")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A waiter carries a tray.", "waiter"),
        ("Two officers on horses", "officers"),
        ("A dancer's shoes", "dancer's"),
        ("Women and children at the beach", "women"),
        ("a firewoman beside a red truck", "firewoman"),
        ("A dog and its owner. She is not seen.", "she"),
        ("Ladies in hats", "ladies"),
    ],
)
def test_people_are_found_by_any_word_for_them(text, word):
    assert avoided_word(text, ["people"], ENGLISH) == word


@pytest.mark.parametrize(
    "text",
    [
        "An ottoman beside a sofa",
        "a snowman in the snow",
        "An office with a desk",
        "a German shepherd",
        "a pitcher of water under a fan",
        "",
    ],
)
def test_what_only_looks_like_people_is_left(text):
    assert avoided_word(text, ["people"], ENGLISH) is None


@pytest.mark.parametrize(
    ("text", "entries", "word"),
    [
        ("three painted walls", ["paint*"], "painted"),
        ("a cat and two birthday cakes", ["birthday cake"], "birthday cakes"),
        ("a birthday card and a cake", ["birthday cake"], None),
        ("knives on a table", ["knife"], "knives"),
        ("a snowman", ["people", "snowman"], "snowman"),
        ("a waiter", ["dog"], None),
    ],
)
def test_words_and_phrases_of_one_s_own(text, entries, word):
    assert avoided_word(text, entries, ENGLISH) == word


def test_other_languages():
    assert avoided_word("Die Kellnerin trägt ein Tablett", ["people"], language_named("german")) == "kellnerin"
    assert avoided_word("Ein Hund auf dem Sofa", ["people"], language_named("german")) is None
    assert avoided_word("一个服务员端着盘子", ["people"], language_named("chinese"))
    assert avoided_word("一只狗在沙发上", ["people"], language_named("chinese")) is None
