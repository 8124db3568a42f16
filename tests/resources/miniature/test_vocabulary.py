"""The shared vocabulary: fixed ids, one token a word, and room for words it does not know."""

from pathlib import Path

import pytest

from resources.miniature.scenes import OBJECTS
from resources.miniature.vocabulary import END_OF_TEXT, WORDS, build_tokenizer, build_vocabulary, unknown_words


def test_every_word_is_one_token() -> None:
    tokenizer = build_tokenizer(16)
    assert {word for phrase in OBJECTS for word in phrase.split()} <= set(WORDS)
    for word in WORDS:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_ids_never_move() -> None:
    vocabulary, merges = build_vocabulary()
    assert len(vocabulary) == 348
    assert len(set(merges)) == len(merges)
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    # Trained weights depend on these very numbers.
    expected = [346, 47, 273, 106, 96, 94, 261, 202, 139, 253, 311, 188, 347]
    assert build_tokenizer(16)("a red ball and an orange ice cream on the grass").input_ids == expected


def test_end_of_text_is_the_highest_id_and_the_padding() -> None:
    vocabulary, _ = build_vocabulary()
    tokenizer = build_tokenizer(8)
    assert vocabulary[END_OF_TEXT] == max(vocabulary.values()) == tokenizer.eos_token_id == tokenizer.pad_token_id
    padded = tokenizer("a ball", padding="max_length").input_ids
    assert len(padded) == 8
    assert padded[-5:] == [tokenizer.eos_token_id] * 5


@pytest.mark.parametrize("text", ["a zebra on the quay", "what is this?", "the 3rd cup, not yours!"])
def test_other_words_are_spelled(text: str) -> None:
    tokenizer = build_tokenizer(64)
    identifiers = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in identifiers
    letters = tokenizer.decode(identifiers).replace(" ", "")
    assert letters == text.replace(" ", "")


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = build_tokenizer(16)
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a red ice cream and an orange zebra on the sand"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.model_max_length == 16


def test_unknown_words_are_named_once_in_order() -> None:
    assert unknown_words("a red ice cream on the grass") == []
    assert unknown_words("A zebra and a yak on the sand, with a zebra") == ["zebra", "yak"]
