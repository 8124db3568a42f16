"""A language is a file: those that ship ask and answer in sentences, one that is added can be named at once."""

from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.method import languages
from imgdiff_assets.method.language import is_of, language_named, language_names, sentences_in, sentences_of
from imgdiff_assets.method.reading_faults import reading_faults
from imgdiff_assets.method.tasks import OURS, SIDES
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.statistics.sample_checks import STATED

KNOWN: dict[str, dict[str, Any]] = {
    "english": {
        "source_caption": "A dog on a red sofa.",
        "target_caption": "A cat on a red sofa.",
        "source_phrase": "a dog lying there",
        "target_phrase": "a cat",
        "difference": "the dog became a cat",
    },
    "german": {
        "source_caption": "Ein Hund auf dem roten Sofa.",
        "target_caption": "Eine Katze auf dem roten Sofa.",
        "source_phrase": "ein Hund",
        "target_phrase": "eine Katze",
        "difference": "aus dem Hund wurde eine Katze",
    },
    "chinese": {
        "source_caption": "一只狗在沙发上睡觉。",
        "target_caption": "一只猫在沙发上睡觉。",
        "source_phrase": "一只狗",
        "target_phrase": "一只猫",
        "difference": "狗变成了猫",
    },
}


def test_each_language_has_its_example() -> None:
    assert list(KNOWN) == ["english", "german", "chinese"]
    assert sorted(KNOWN) == language_names()


@pytest.mark.parametrize("name", KNOWN)
def test_every_task_is_asked_and_answered_in_sentences(name: str) -> None:
    language = language_named(name)
    sentences = sentences_of(language)
    known = {
        **KNOWN[name],
        "language": name,
        "about": "source",
        "too_similar": False,
        "box_text": "[0.1, 0.2, 0.3, 0.4]",
    }
    for task in OURS.values():
        for first in SIDES if task.shuffled else SIDES[:1]:
            asked = task.ask(known, first)
            assert asked is not None, task.name
            for wording in sentences.questions[task.name]:
                for region in (sentences.region, sentences.corners.format(box=known["box_text"])):
                    fields = {"region": region, "coordinates": sentences.conventions["fraction"]}
                    question = wording.format(subject=asked["subject"], **fields)
                    question = question[:1].upper() + question[1:]
                    assert reading_faults(question, asked["answer"], None, task.name in STATED, language) == []
                    assert sentences_in(question) is sentences
                    assert sentences_in(f"{sentences.side_by_side} {question}") is sentences


def test_a_file_that_is_added_is_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="no language 'klingon'; there are chinese, english, german"):
        load_recipe("modern", ["prompt_pairs.language=klingon"])
    (tmp_path / "klingon.py").write_text(
        "from imgdiff_assets.method.language import Language, listed\n"
        "LANGUAGE = Language(name='klingon', common=listed('qach tlhingan'), articles=listed('wa'))\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(languages, "__path__", [*languages.__path__, str(tmp_path)])
    assert "klingon" in language_names()
    overrides = ["prompt_pairs.language=klingon", "prompt_pairs.instructions.by=rewriter"]
    assert load_recipe("modern", overrides).prompt_pairs.language == "klingon"
    assert is_of("wa qach", language_named("klingon"))
    with pytest.raises(RecipeError, match="no questions and answers in klingon"):
        load_recipe("modern", ["fine_tune_set.language=klingon"])


def test_questions_are_in_the_language_of_the_recipe() -> None:
    recipe = load_recipe("modern", ["fine_tune_set.language=german"])
    assert recipe.fine_tune_set.questions["commonality"][0] == "Was haben die beiden Bilder gemeinsam?"
