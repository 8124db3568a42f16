"""The caption in an answer, and the change between two captions as it was named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgdiff_assets.method.answers import find_caption, is_cut_off, objects_in
from imgdiff_assets.method.change import Change, check, supported_change
from imgdiff_assets.method.language import is_of, language_named, language_names

ENGLISH, GERMAN, CHINESE = (language_named(name) for name in ("english", "german", "chinese"))
SOURCE, NEW = "A dog sleeps on the sofa.", "A cat sleeps on the sofa."

WRAPPED = [
    NEW,
    f"Sure! {NEW}",
    f"**{NEW}**",
    f"1. {NEW}",
    f'Here is the new caption: "{NEW}"',
    f"Original: {SOURCE}\nRewritten: {NEW}",
    f"```\n{NEW}\n```",
    f'{{"old": "{SOURCE}", "new": "{NEW}"}}',
    f"<think>A dog could be a fox sleeping on the sofa.</think>{NEW}",
    f"<|im_start|>assistant\n{NEW}<|im_end|>",
    f"{NEW} (I replaced the dog with a cat.)",
    f"I replaced the dog with a cat on the sofa.\n\n{NEW}\n\nHope that helps!",
    f"“{NEW}”",
    '{"caption": "A cat \\ud83d sleeps on the sofa."}',
]


@pytest.mark.parametrize("answer", WRAPPED)
def test_the_caption_is_found_in_what_stands_around_it(answer: str) -> None:
    assert find_caption(answer, SOURCE).caption in (NEW, NEW.rstrip("."))


@pytest.mark.parametrize(
    "answer", ["", "I'm sorry, I cannot do that.", "<think>a cat", "blah " * 4000, "{" * 3000, '{"a":' * 9000]
)
def test_an_answer_without_a_caption_has_none(answer: str) -> None:
    assert find_caption(answer, SOURCE).caption is None


def test_a_caption_that_is_the_old_one_is_taken_for_want_of_another() -> None:
    assert find_caption(f"Caption: {SOURCE}", SOURCE).caption == SOURCE


def test_captions_that_say_different_things_are_told_from_one_that_is_repeated() -> None:
    assert find_caption(f"{NEW}\nA fox sleeps on the sofa.", SOURCE).ambiguous
    assert find_caption(f"{NEW}\nA large grey wolf sleeps on the sofa.", SOURCE).ambiguous
    assert not find_caption(f"{NEW}\n{NEW.lower()}", SOURCE).ambiguous


@given(before=st.text(max_size=40), after=st.text(max_size=40))
@settings(max_examples=60)
def test_no_text_around_it_breaks_the_search(before: str, after: str) -> None:
    find_caption(before + NEW + after, SOURCE)
    is_cut_off(before + after)


def test_objects_are_read_whatever_stands_around_them() -> None:
    text = 'First {"a": {"b": 1},} then {\'c\': \'it\\\'s\'} and {no} object {"d": "two\nlines"}'
    assert objects_in(text) == [{"a": {"b": 1}}, {"c": "it's"}, {"d": "two\nlines"}]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"caption": "a', True),
        ('```json\n{"caption": "a"', True),
        ("<think>well", True),
        ('{"caption": "a"}', False),
        ("", False),
        ("a cat {on", False),
    ],
)
def test_an_answer_that_ends_in_the_middle_is_told(answer: str, expected: bool) -> None:
    assert is_cut_off(answer) == expected


def named(replaced: str, replacement: str, kind: str = "object") -> dict[str, str]:
    return {"replaced": replaced, "replacement": replacement, "kind": kind}


@pytest.mark.parametrize(
    ("source", "target", "change", "expected"),
    [
        (
            "a wine glass",
            "a beer glass",
            named("wine glass", "beer glass"),
            ("wine glass", "beer glass", "object", None),
        ),
        (
            "a piece of cake",
            "a piece of pie",
            named("a piece of cake", "a piece of pie"),
            ("cake", "pie", "object", None),
        ),
        ("two dogs run", "a cat runs", named("dogs", "cat"), (None, None, None, "more_changed")),
        ("the dogs run", "the cat runs", named("dogs", "cat"), ("dogs", "cat", "object", None)),
        ("a man and his hat", "a woman and her hat", named("man", "woman"), ("man", "woman", "object", None)),
        ("a man sitting", "a man standing", named("sitting", "standing"), ("sitting", "standing", "action", None)),
        ("a painting hangs", "a drawing hangs", named("painting", "drawing"), ("painting", "drawing", "object", None)),
        ("a red hat", "a blue hat", named("red hat", "blue hat"), ("red hat", "blue hat", "attribute", None)),
        ("a bike", "a red bike", named("bike", "red bike"), ("", "red", "object", None)),
        ("a cup of tea", "a cat", named("cup of tea", "cat"), ("cup of tea", "cat", "object", "several_objects")),
        ("a dog on a bed", "a cat in a bed", named("dog", "cat"), (None, None, None, "more_changed")),
        ("a dog", "a cat", named("wolf", "cat"), (None, None, None, "misnamed")),
        ("a dog", "a cat", named("dog", "a"), (None, None, None, "unnamed")),
    ],
)
def test_a_named_change_is_checked(
    source: str, target: str, change: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    assert check(source, target, change, ENGLISH) == Change(*expected)


def test_what_agrees_with_a_word_changes_with_it_in_every_language() -> None:
    change = named("Hund", "Katze")
    assert check("Ein großer Hund schläft", "Eine große Katze schläft", change, GERMAN).fault is None
    assert check("Ein Hund schläft", "Eine Katze sitzt", change, GERMAN).fault == "more_changed"
    assert check("路边有消防栓。", "路边有红绿灯", named("消防栓", "红绿灯"), CHINESE) == Change(
        "消防栓", "红绿灯", "object"
    )
    assert check("路边有消防栓", "门口有红绿灯", named("消防栓", "红绿灯"), CHINESE).fault == "more_changed"


def test_a_sentence_names_a_change_by_the_longest_phrases_in_it() -> None:
    pair = "A fire hydrant on a corner", "A fire truck on a corner"
    assert supported_change(*pair, "The fire hydrant became a fire truck.", ENGLISH) == {
        **named("fire hydrant", "fire truck", "")
    }
    assert supported_change(*pair, "Nothing.", ENGLISH) is None
    assert supported_change(*pair, " became ".join(pair), ENGLISH) is None, "the captions name nothing"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A man riding a wave", "english"),
        ("Der Hund schläft auf dem Sofa", "german"),
        ("一只狗在沙发上睡觉", "chinese"),
        ("犬がソファで寝ている", None),
        ("Una taza de café sobre la mesa", None),
        ("Un chat sur la table", None),
        ("собака на диване", None),
    ],
)
def test_a_language_is_told_from_others(text: str, language: str | None) -> None:
    found = [name for name in language_names() if is_of(text, language_named(name))]
    assert found == ([language] if language else [])


def test_there_is_no_language_without_its_file() -> None:
    with pytest.raises(LookupError, match="no language 'klingon'; there are chinese, english, german"):
        language_named("klingon")
