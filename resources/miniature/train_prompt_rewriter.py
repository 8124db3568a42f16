"""Train the miniature prompt rewriter: a small Llama that swaps one object of a caption for another.

It says what it replaces before it says the caption, since a model of this size that starts with the caption mostly
copies it; and it is meant to be sampled, because any noun that is not in the caption is an equally good answer.
"""

import random
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer, LlamaConfig, LlamaForCausalLM

from resources.miniature.scenes import OBJECTS, SceneObject, caption, is_held_out, random_content
from resources.miniature.training import Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import build_tokenizer

SEED = 11
STEPS = 2000
BATCH = 64
MAX_LENGTH = 64
PROMPT = "rewrite this with one object replaced : {caption}"
# Every turn ends with the end-of-text token; the assistant's turn needs no header, it just follows.
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"


def random_edit(rng: random.Random) -> tuple[str, str, tuple[str, str]]:
    """A caption, a right answer to it, both within training, and the first and the last object of the caption."""
    while True:
        objects, background = random_content(rng)
        place = rng.randrange(len(objects))
        old = objects[place]
        new = SceneObject(
            rng.choice([name for name in OBJECTS if name not in {each.name for each in objects}]), old.colour
        )
        edited = (*objects[:place], new, *objects[place + 1 :])
        if not is_held_out(edited, background):
            answer = f"replace {old.name} with {new.name} : {caption(edited, background)}"
            return caption(objects, background), answer, (objects[0].name, objects[-1].name)


def repetition_penalty(logits: Tensor, ids: Tensor, replacing: int, present: Tensor) -> Tensor:
    """How likely the model is to replace by an object that is there already, as minus the log of not doing so.

    `logits` (N, T, V) belong to `ids` (N, T); the new object follows the last token `replacing`. `present` (N, K)
    holds the first tokens of the objects that are there. Plain likelihood is slow to rule out one noun of many.
    """
    rows = torch.arange(len(ids))
    places = ids.shape[1] - 1 - (ids == replacing).flip(1).int().argmax(1)
    odds = logits[rows, places].softmax(-1).scatter(1, present, 0.0)
    return -odds.sum(-1).log().mean()


def build_model(tokenizer: CLIPTokenizer) -> LlamaForCausalLM:
    """An untrained Llama for this vocabulary."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=MAX_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=True,
        )
    )


def train(output: Path) -> None:
    """Train from nothing and save model, tokenizer and chat template to the folder `output`."""
    prepare(SEED)
    tokenizer = build_tokenizer(MAX_LENGTH)
    tokenizer.chat_template = CHAT_TEMPLATE
    end = tokenizer.eos_token_id
    model = build_model(tokenizer)
    first_token = {name: tokenizer(name, add_special_tokens=False).input_ids[0] for name in OBJECTS}
    (replacing,) = tokenizer("with", add_special_tokens=False).input_ids
    rng = random.Random(SEED)
    optimisers = Optimisers(model, 3e-3, lambda name: "layers." in name)
    progress = Progress("prompt_rewriter", STEPS)
    for step in progress:
        texts, present = [], []
        for _ in range(BATCH):
            question, answer, names = random_edit(rng)
            turns = [
                {"role": "user", "content": PROMPT.format(caption=question)},
                {"role": "assistant", "content": answer},
            ]
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False))
            present.append([first_token[name] for name in names])
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        # The answer lies between the first end token and the second, which it includes.
        ends_before = (batch.input_ids == end).cumsum(1) - (batch.input_ids == end).long()
        made = model(**batch, labels=batch.input_ids.masked_fill(ends_before != 1, -100))
        loss = made.loss + repetition_penalty(made.logits, batch.input_ids, replacing, torch.tensor(present))
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.3))
        progress.report(loss.item())
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
