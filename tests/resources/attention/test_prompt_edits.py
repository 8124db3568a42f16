"""Which source tokens a target token reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.attention.prompt_edits import PromptEdit, align, edit_prompt
from resources.miniature.vocabulary import build_tokenizer

LENGTH = 16
# Words of one, two and three tokens.
WORDS = [("a</w>",), ("red</w>",), ("ball</w>",), ("fi", "re</w>"), ("hy", "drant</w>"), ("z", "eb", "ra</w>")]

words = st.lists(st.sampled_from(WORDS), max_size=6)


def tokens(prompt: list[tuple[str, ...]], length: int = LENGTH) -> list[str]:
    """The tokens of a prompt as a CLIP tokenizer returns them, cut to the length."""
    inner = [token for word in prompt for token in word][: length - 2]
    return ["<|startoftext|>", *inner, "<|endoftext|>"]


def reads(edit: PromptEdit) -> list[dict[int, float]]:
    """For every target position, the source positions that it reads and how much of each."""
    return [
        {int(i): round(float(column[i]), 6) for i in np.flatnonzero(column)}
        for column in edit.source_map.T  # a row per target position
    ]


@given(words, words, st.sampled_from(["auto", "replace", "refine"]), st.sampled_from([8, LENGTH]))
def test_every_target_token_reads_the_source_or_keeps_its_own_map(source, target, kind, length) -> None:
    before, after = tokens(source, length), tokens(target, length)
    edit = align(before, after, length, kind)
    assert edit.source_map.shape == (length, length)
    assert (edit.source_map >= 0).all()
    read = edit.source_map.sum(axis=0)
    assert set(np.unique(edit.own_weight)) <= {0, 1}
    np.testing.assert_array_equal(read > 0, edit.own_weight == 0)
    assert (edit.source_map.sum(axis=1) <= 1 + 1e-6).all(), "attention was counted twice"
    for position in range(len(after) - 1):
        if not edit.changed[position]:
            ((origin, share),) = reads(edit)[position].items()
            assert share == 1
            assert before[origin] == after[position]


@given(words, words, st.sampled_from([8, LENGTH]))
def test_swapping_words_keeps_all_attention(source, target, length) -> None:
    edit = align(tokens(source, length), tokens(target, length), length, "auto")
    if edit.kind == "replace":
        assert not edit.own_weight.any()
        np.testing.assert_allclose(edit.source_map.sum(axis=1), 1, rtol=1e-6)


@given(words, st.sampled_from(["auto", "replace", "refine"]))
def test_equal_prompts_read_one_to_one(prompt, kind) -> None:
    edit = align(tokens(prompt), tokens(prompt), LENGTH, kind)
    np.testing.assert_array_equal(edit.source_map, np.eye(LENGTH))
    assert not edit.own_weight.any()
    assert not edit.changed.any()


def test_a_word_may_be_said_hundreds_of_times() -> None:
    prompt = tokens([("a</w>",)] * 300, length=400)
    assert not align(prompt, [*prompt[:-1], "red</w>", prompt[-1]], 400).changed[:301].any()


def edit_of(source: str, target: str, kind="auto") -> PromptEdit:
    return edit_prompt([build_tokenizer(LENGTH)], source, target, kind)


def test_a_phrase_shares_the_attention_of_the_word_it_replaces() -> None:
    edit = edit_of("a red ball on the grass", "a red ice cream on the grass")
    assert edit.kind == "replace"
    assert reads(edit)[2:9] == [{2: 1.0}, {3: 0.5}, {3: 0.5}, {4: 1.0}, {5: 1.0}, {6: 1.0}, {7: 1.0}]
    assert reads(edit)[9] == {8: 1.0, 9: 1.0}, "the first padding takes what one padding less leaves over"
    assert reads(edit)[10:] == [{position: 1.0} for position in range(10, LENGTH)]
    assert np.flatnonzero(edit.changed).tolist() == [3, 4]
    assert np.flatnonzero(edit.source_changed).tolist() == [3]


def test_a_word_takes_all_the_attention_of_the_phrase_it_replaces() -> None:
    edit = edit_of("a red ice cream on the grass", "a red ball on the grass")
    assert reads(edit)[3] == {3: 1.0, 4: 1.0}
    assert reads(edit)[7] == {8: 1.0}
    assert reads(edit)[8:10] == [{9: 0.5}, {9: 0.5}]


@pytest.mark.parametrize(
    "target", ["a red ice cream and a blue star on the grass", "a ball", "a red tree on the grass"]
)
def test_the_padding_loses_none_of_the_sources_attention(target: str) -> None:
    source = "a red ball on the grass"
    end = 1 + len(source.split())
    np.testing.assert_allclose(edit_of(source, target).source_map[end:].sum(axis=1), 1)


def test_as_many_words_are_swapped_word_by_word() -> None:
    edit = edit_of("a red ball on the sand", "the blue zebra on the sand")
    letters = len("zebra")
    assert reads(edit)[1:3] == [{1: 1.0}, {2: 1.0}]
    assert reads(edit)[3 : 3 + letters] == [{3: 0.2}] * letters


def test_added_words_keep_their_own_map() -> None:
    edit = edit_of("a red ball on the grass", "a red ball and a blue star on the grass")
    assert edit.kind == "refine"
    assert np.flatnonzero(edit.own_weight).tolist() == [4, 5, 6, 7]
    assert reads(edit)[8] == {4: 1.0}


def test_refine_lets_swapped_words_keep_their_own_map() -> None:
    edit = edit_of("a red ball on the grass", "a red star on the grass", "refine")
    assert np.flatnonzero(edit.own_weight).tolist() == [3]
    assert reads(edit)[3] == {}


def test_a_prompt_that_fills_the_length_leaves_no_padding_to_read() -> None:
    long = " and ".join(["a red ball"] * 5)
    edit = edit_of(long, "a red ball")
    assert reads(edit)[:4] == [{0: 1.0}, {1: 1.0}, {2: 1.0}, {3: 1.0}]
    assert reads(edit)[4] == {LENGTH - 1: pytest.approx(1 / 12, abs=1e-6)}
    assert edit_of("a red ball", long).source_map[:, -1].sum() == 12


def test_words_beyond_the_length_do_not_count() -> None:
    long = " and ".join(["a red ball"] * 5)
    np.testing.assert_array_equal(edit_of(long + " on the grass", long + " on the sand").source_map, np.eye(LENGTH))


def test_reweighting_multiplies_the_columns() -> None:
    edit = edit_of("a red ball on the grass", "a red ball and a blue star on the grass")
    factors = np.ones(LENGTH)
    factors[[2, 6]] = 3, 0.5
    heavier = edit.reweighted(factors)
    assert reads(heavier)[2] == {2: 3.0}
    assert heavier.own_weight[[4, 6]].tolist() == [1, 0.5]
    assert reads(edit)[2] == {2: 1.0}


def test_two_tokenizers_must_agree() -> None:
    from transformers import CLIPTokenizer

    letters = {letter: index for index, letter in enumerate([*"abdelr", "a</w>", "d</w>", "l</w>"])}
    special = {"<|startoftext|>": 9, "<|endoftext|>": 10}
    other = CLIPTokenizer(vocab=letters | special, merges=[], model_max_length=LENGTH)
    with pytest.raises(ValueError, match="split the prompt 'a red ball' differently"):
        edit_prompt([build_tokenizer(LENGTH), other], "a red ball", "a blue ball")
