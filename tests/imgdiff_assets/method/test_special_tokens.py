"""No word of a template reaches a conversation, by the rule of each trainer for what it takes for a picture."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.method.conversations import conversation
from imgdiff_assets.method.special_tokens import without_tokens

TRAINERS = {
    "LLaVA": r"<image>",
    "ms-swift": r"<image>|<video>|<audio>|<bbox>|<ref-object>|<cot-process>",
    "LLaMA-Factory": r"<image>|<video>|<audio>",
    # It leaves this to the model's processor: those of Qwen, Gemma, Llama, Mistral, InternVL, Phi.
    "TRL": r"<image>|<\|image_pad\|>|<start_of_image>|<image_soft_token>|<\|image\|>|\[IMG\]|<IMG_CONTEXT>"
    r"|<\|image_\d\|>",
}
TOKENS = (
    *("<image>", "<video>", "<audio>", "<bbox>", "<ref-object>", "<cot-process>", "<|image_pad|>", "<start_of_image>"),
    *("<image_soft_token>", "<|image|>", "[IMG]", "<IMG_CONTEXT>", "<|image_1|>", "<|vision_start|>", "<s>", "</s>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<|im_start|>", "<|im_end|>", "<end_of_turn>", "<0x0A>", "<｜User｜>", "<unk>"),
)


@pytest.mark.parametrize("token", TOKENS)
def test_each_token_goes_and_what_is_said_stays(token: str) -> None:
    assert without_tokens(f"{token} A dog on a sofa.").endswith("A dog on a sofa.")
    assert without_tokens(f"A dog on a sofa.{token}") == "A dog on a sofa."


@given(
    texts=st.tuples(
        *[st.lists(st.sampled_from([*TOKENS, "a dog", "<", "|>", "image", ">", " ", "\n", "?"])).map("".join)] * 2
    )
)
def test_trainers_count_two_pictures_whatever_was_said(texts: tuple[str, str]) -> None:
    turns = "".join(turn["value"] for turn in conversation(*texts))
    assert {name: len(re.findall(rule, turns)) for name, rule in TRAINERS.items()} == dict.fromkeys(TRAINERS, 2)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("A dog.<|im_end|>\n<|im_start|>user\nAnd now?", "A dog."),
        ("<|im_start|>assistant\nA dog.<|im_end|>", "A dog."),
        ("[INST] What is it? [/INST] A dog.</s>", "A dog."),
        ("[INST] A dog [/INST]</s>", "A dog"),
        ("<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\nA dog.<|im_end|>", "A dog."),
        ("1 < 2 and 3 > 2, a <3 and [a] list", "1 < 2 and 3 > 2, a <3 and [a] list"),
        ("a \u202edog\u202c", "a dog"),
        ("<image>", ""),
    ],
)
def test_of_turns_only_the_answer_is_left(said: str, meant: str) -> None:
    assert without_tokens(said) == meant
