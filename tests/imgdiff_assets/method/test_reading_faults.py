"""The linter of conversations finds each fault, and none where all reads well."""

import pytest

from imgdiff_assets.method.language import language_named
from imgdiff_assets.method.reading_faults import reading_faults

ENGLISH, GERMAN = language_named("english"), language_named("german")
QUESTION = "Which image fits the description “a dog”: A or B?"


@pytest.mark.parametrize(
    ("question", "answer", "fault"),
    [
        ("Which image shows <image>?", "Same.", "a special token in the question"),
        (QUESTION, "The <s>dog is gone.", "a special token in the answer"),
        (QUESTION, "The **dog** is gone.", "markdown or JSON in the answer"),
        (QUESTION, '{"answer": "a dog"}.', "markdown or JSON in the answer"),
        (QUESTION, "- The dog is gone.", "markdown or JSON in the answer"),
        (QUESTION, "The dog is gone , alas.", "a space before punctuation in the answer"),
        ("What is it inside the box,?", "Same.", "two marks in a row in the question"),
        (QUESTION, "The dog is gone..", "two marks in a row in the answer"),
        (QUESTION, "The dog is gone", "no full stop in the answer"),
        ("What is it", "Same.", "no full stop in the question"),
        (QUESTION, "the dog is gone.", "a small letter at its beginning in the answer"),
        ("Which image shows “a dog?", "Same.", "a quotation mark without its other in the question"),
        (QUESTION, "Replace the dog with a an apple.", "“a an” in the answer"),
        (QUESTION, "Replace the dog with a apple.", "“a ” in the answer"),
        (QUESTION, "Replace the dog with an cat.", "“an ” in the answer"),
        ("Which of the two images shows there is a dog?", "Same.", "“shows there is” in the question"),
        ("Which image shows the image of a dog?", "Same.", "“shows the image” in the question"),
        ("Which image fits “I see a dog”?", "Same.", "““I see” in the question"),
    ],
)
def test_each_fault_is_found(question: str, answer: str, fault: str) -> None:
    assert reading_faults(question, answer, None, True, ENGLISH) == [fault]


def test_what_is_asked_about_is_a_name() -> None:
    (fault,) = reading_faults(QUESTION, "A", "There is a dog", False, ENGLISH)
    assert fault == "no mere name is asked about: There is a dog"
    assert reading_faults(QUESTION, "A", "a dog", False, ENGLISH) == []


@pytest.mark.parametrize(
    "answer",
    [
        "Replace an hourglass with a European one-way sign (as in St. Ives, UK).",
        'The sign says "STOP."',
        "It is a 2.5 m long dog... and an MRI scanner; is it?",
        "Both images fit the description “something lies on the court”.",
    ],
)
def test_good_sentences_are_let_alone(answer: str) -> None:
    assert reading_faults(QUESTION, answer, None, True, ENGLISH) == []


def test_slips_of_one_language_are_none_of_another() -> None:
    answer = "Der Mann, der das Auto an die Frau verkauft, die die Katze hat."
    assert reading_faults("Was zeigt „das Bild“?", answer, None, True, GERMAN) == []
    assert (
        reading_faults("¿Qué va a entrar en la imagen?", "Va a abrir la puerta en la casa.", None, True, ENGLISH) == []
    )
