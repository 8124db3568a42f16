"""A model that was never trained keeps to a schema: whatever it is asked, alone or in a batch."""

import json
from pathlib import Path

import jsonschema
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from imgdiff_assets.method.answers import is_cut_off
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.yes_or_no import yes_tokens

PHRASE = {"type": "string", "minLength": 1, "maxLength": 20}
SCHEMA = {
    "type": "object",
    "properties": {"caption": PHRASE, "kind": {"enum": ["object", "attribute", "count"]}},
    "required": ["caption", "kind"],
    "additionalProperties": False,
}
QUESTIONS = [f"{'Tell ' * (number % 3)}what changed in picture {number}" for number in range(8)]
TEXT = [
    "yes no Yes No YES NO" * 9,
    '{"caption": "a red dog on the sofa", "kind": "object"}',
    "was ist das? 犬がいる",
    *QUESTIONS,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen of two layers with random weights, and a vocabulary that it scores more tokens than it has."""
    folder = tmp_path_factory.mktemp("qwen")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_end|>"]
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=512, num_key_value_heads=2, max_position_embeddings=512, eos_token_id=1, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def rewriter(folder: Path, **fields: object) -> PromptRewriter:
    values = {"model": str(folder), "prompt": "{caption}", "max_new_tokens": 128, "temperature": 1.0, "top_p": 1.0}
    return PromptRewriter(PromptRewriterSettings.model_validate({**values, **fields}))


def keeps_to_it(answer: str) -> bool:
    jsonschema.validate(json.loads(answer), SCHEMA)
    return True


def test_every_answer_of_a_random_model_keeps_to_the_schema(folder: Path) -> None:
    model = rewriter(folder, batch_size=25)
    answers = model.ask([QUESTIONS[number % 8] for number in range(100)], list(range(100)), SCHEMA)
    assert all(keeps_to_it(answer) for answer in answers)
    assert len(set(answers)) == 100, "drawn, each by its own seed"
    assert not any(answer.startswith("{") for answer in model.ask(QUESTIONS, range(8)))


def test_an_answer_is_the_same_alone_and_in_a_batch(folder: Path) -> None:
    together = rewriter(folder, batch_size=8).ask(QUESTIONS, range(8), SCHEMA)
    assert rewriter(folder, batch_size=1).ask(QUESTIONS, range(8), SCHEMA) == together


def test_the_likeliest_answer_keeps_to_it_too(folder: Path) -> None:
    model = rewriter(folder, batch_size=8)
    likeliest = model.ask(QUESTIONS, None, SCHEMA)
    assert all(keeps_to_it(answer) for answer in likeliest)
    assert model.ask(QUESTIONS, None, SCHEMA) == likeliest


def test_an_answer_that_is_cut_off_is_the_beginning_of_one(folder: Path) -> None:
    (whole,) = rewriter(folder).ask(QUESTIONS[:1], [3], SCHEMA)
    (cut,) = rewriter(folder, max_new_tokens=6).ask(QUESTIONS[:1], [3], SCHEMA)
    assert whole.startswith(cut)
    assert is_cut_off(cut)
    assert not is_cut_off(whole)


def test_a_model_of_other_signs_answers_as_it_likes() -> None:
    """The miniature's words have no braces: it cannot keep to a schema, and is asked all the same."""
    prompt = "rewrite this with one object replaced : {caption}"
    model = PromptRewriter(PromptRewriterSettings(model="miniature:prompt_rewriter", prompt=prompt))
    question = model.settings.question("a red ball on the grass")
    assert model.ask([question], [1], SCHEMA) == model.rewrite(["a red ball on the grass"], [1])


def test_how_likely_a_yes_is_the_model_itself_tells(folder: Path) -> None:
    """From its own next tokens, alone as in a batch of prompts of other lengths."""
    model = rewriter(folder, batch_size=3)
    shares = model.yes(QUESTIONS)
    alone = [share for question in QUESTIONS for share in rewriter(folder, batch_size=1).yes([question])]
    assert shares == pytest.approx(alone, abs=1e-6)
    said = {token: text.strip().lower() for token, text in yes_tokens(model._tokenizer).items()}
    assert set(said.values()) == {"yes", "no"}
    inputs = model._tokenizer([model._prompt(QUESTIONS[0])], return_tensors="pt")
    with torch.inference_mode():
        chances = model._model(**inputs).logits[0, -1].double().softmax(-1)
    totals = {word: sum(float(chances[token]) for token in said if said[token] == word) for word in ("yes", "no")}
    assert shares[0] == pytest.approx(totals["yes"] / sum(totals.values()), abs=1e-6)
