"""What is asked about is a name, what is answered is a statement, in any language there is a file of."""

import pytest

from imgdiff_assets.method.conversations import sentence
from imgdiff_assets.method.language import language_named
from imgdiff_assets.method.noun_phrases import noun_phrase, statement

RULES = {name: language_named(name).phrases for name in ("english", "german", "chinese")}


@pytest.mark.parametrize(
    ("language", "answer", "phrase"),
    [
        ("english", "**A brown teddy bear** sitting upright.", "a brown teddy bear sitting upright"),
        ("english", "Sure! The object is a wine glass filled with red wine.", "a wine glass filled with red wine"),
        ("english", "Object: bicycle", "a bicycle"),
        ("english", "### Answer\n- a blue mailbox", "a blue mailbox"),
        ("english", "### Answer\n\nA blue mailbox.", "a blue mailbox"),
        ("english", "The main object is an umbrella. It is open.", "an umbrella"),
        ("english", "The picture depicts the Eiffel Tower at night.", "the Eiffel Tower at night"),
        ("english", "A dog is lying on a sofa.", "a dog lying on a sofa"),
        ("english", '{"object": "hourglass"}', "an hourglass"),
        ("english", "I'm sorry, I can't identify the object in this image.", None),
        ("english", "Nothing is inside the box.", None),
        ("english", "...", None),
        ("german", "Das Bild zeigt einen roten Hydranten.", "einen roten Hydranten"),
        ("german", "Klar! Antwort: **Ein brauner Hund** auf dem Sofa.", "ein brauner Hund auf dem Sofa"),
        ("german", "Das ist leider nicht zu erkennen.", None),
        ("chinese", "好的，图片中的物体是一只棕色的狗。", "一只棕色的狗"),
        ("chinese", "抱歉，我无法识别。", None),
    ],
)
def test_a_name_is_found_in_what_stands_around_it(language: str, answer: str, phrase: str | None) -> None:
    assert noun_phrase(answer, RULES[language]) == phrase
    assert phrase is None or noun_phrase(phrase, RULES[language]) == phrase


def test_a_recipe_has_lead_ins_of_its_own() -> None:
    assert noun_phrase("Verdict >> a dog", RULES["english"], (r"verdict >>",)) == "a dog"


@pytest.mark.parametrize(
    ("language", "answer", "stated"),
    [
        ("english", "**Difference:** the left shows a dog.", "The left shows a dog."),
        ("english", "### Difference\n\nThe left shows `a dog`.", "The left shows a dog."),
        ("english", "- Left: a dog\n- Right: a cat", "Left: a dog. Right: a cat."),
        ("english", "1. The dog is gone.\n2. There is a cat.", "The dog is gone. There is a cat."),
        ("english", "The number changed from 1 to 2. It is red.", "The number changed from 1 to 2. It is red."),
        ("english", "The left shows a dog , the right a cat !!", "The left shows a dog, the right a cat!"),
        ("english", "The dog became a cat. Everything else is", "The dog became a cat."),
        ("english", "The dog became a cat. Let me know if you need more!", "The dog became a cat."),
        ("english", "The dog became a cat. " + "How nice it is. " * 900, "The dog became a cat."),
        ("english", "A dog. A cat. A fox. A hen. A cow.", "A dog. A cat. A fox."),
        ("english", 'The left shows "a dog, the right a cat.', "The left shows a dog, the right a cat."),
        ("english", 'The sign says "STOP."', 'The sign says "STOP."'),
        ("english", "| Left | Right |\n|---|---|\n| a dog | a cat |", None),
        ("english", "I cannot see any images.", None),
        ("german", "Unterschied: Aus dem Hund wurde eine Katze.", "Aus dem Hund wurde eine Katze."),
        ("german", "Leider kann ich das nicht erkennen.", None),
        ("chinese", "区别：左边是狗，右边是猫", "左边是狗，右边是猫。"),
    ],
)
def test_a_statement_is_left_of_an_answer(language: str, answer: str, stated: str | None) -> None:
    said = statement(answer, RULES[language])
    assert (None if said is None else sentence(said)) == stated
