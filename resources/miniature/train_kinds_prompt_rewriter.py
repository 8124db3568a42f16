"""Train the miniature prompt rewriter on, for the kinds of difference that the pair generator can draw.

It is asked for each kind in its own words, and says what it replaces by what before it says the caption; a caption
that has nothing of that sort it leaves as it is.
"""

import random
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from resources.loading.weights import locate
from resources.miniature.contents import Content, Group
from resources.miniature.grown import load_grown
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scene_pairs import NOTHING
from resources.miniature.scenes import random_content
from resources.miniature.train_prompt_rewriter import (
    BATCH,
    CHAT_TEMPLATE,
    MAX_LENGTH,
    PROMPT,
    build_model,
    random_edit,
)
from resources.miniature.training import Checkpoint, Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import MORE_WORDS, build_tokenizer

STARTED_FROM = "miniature:prompt_rewriter"
SEED = 91
STEPS = 2_000
LEARNING_RATE = 2e-3
PROMPTS = {
    "attribute_changed": "change one color of this : {caption}",
    "object_added": "add one object to this : {caption}",
    "object_removed": "remove one object of this : {caption}",
    "background_changed": "change the background of this : {caption}",
    "several": "change two objects of this : {caption}",
}
"""What is asked for each kind, but for the first."""
KEEP = "keep : {caption}"
"""What is answered to a caption in which nothing of that sort can be changed."""
OF_TWO = {"object_added": 2, "object_removed": 1, "several": 1}
"""With so many things in it, a caption has no room for the change, or too little to change."""
REPLACED_SHARE = 0.3


def answer_of(pair: KindPair) -> str:
    """The right answer to the first caption of a pair."""
    sides = zip(*(change.phrases for change in pair.changes), strict=True)
    old, new = (" , ".join(phrase or NOTHING for phrase in side) for side in sides)
    return f"replace {old} with {new} : {pair.captions[1]}"


def example(rng: random.Random) -> tuple[str, str]:
    """A question and a right answer to it, both within training."""
    if rng.random() < REPLACED_SHARE:
        caption, answer, _ = random_edit(rng)
        return PROMPT.format(caption=caption), answer
    kind = rng.choice(tuple(PROMPTS))
    if kind in OF_TWO and rng.random() < 0.25:
        objects, background = random_content(rng, OF_TWO[kind])
        caption = Content(tuple(map(Group, objects)), background).caption
        return PROMPTS[kind].format(caption=caption), KEEP.format(caption=caption)
    while True:
        pair = draw_kind_pair(rng, kind)
        if not any(group.size for group in pair.contents[0].groups):
            return PROMPTS[kind].format(caption=pair.captions[0]), answer_of(pair)


def train(output: Path) -> None:
    """Train on from the shipped rewriter, or from the checkpoint that is left in `output`, and save to `output`.

    Every step draws from its own seed, so a training that was interrupted ends as one that was not.
    """
    output.mkdir(parents=True, exist_ok=True)
    prepare(SEED)
    old, tokenizer = build_tokenizer(MAX_LENGTH), build_tokenizer(MAX_LENGTH, MORE_WORDS)
    tokenizer.chat_template = CHAT_TEMPLATE
    end = tokenizer.eos_token_id
    known = LlamaForCausalLM.from_pretrained(locate(STARTED_FROM), dtype=torch.float32)
    model = build_model(tokenizer)
    load_grown(model, known.state_dict(), old.get_vocab(), tokenizer.get_vocab())
    optimisers = Optimisers(model, LEARNING_RATE, lambda name: "layers." in name)
    checkpoint = Checkpoint(output / ".checkpoint", {"model": model, "optimisers": optimisers})
    progress = Progress("kinds_prompt_rewriter", STEPS, checkpoint.resume())
    for step in progress:
        rng = random.Random(SEED + step)
        texts = []
        for _ in range(BATCH):
            question, answer = example(rng)
            turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False))
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        # The answer lies between the first end token and the second, which it includes.
        ends_before = (batch.input_ids == end).cumsum(1) - (batch.input_ids == end).long()
        loss = model(**batch, labels=batch.input_ids.masked_fill(ends_before != 1, -100)).loss
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.3))
        progress.report(loss.item())
        checkpoint.keep(step)
    model.half().save_pretrained(output)
    tokenizer.save_pretrained(output)
    checkpoint.remove()
