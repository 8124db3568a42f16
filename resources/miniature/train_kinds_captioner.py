"""Train the miniature captioner on, for every kind of difference: poses, whole pictures, and what is behind things.

It keeps its questions about crops, and learns what is there in a whole picture (how many, how big, where), and what is
behind: each of one picture, and what is different of two.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

from resources.images.crops import cut, squash
from resources.loading.weights import locate
from resources.miniature.contents import MIDDLE
from resources.miniature.grown import load_grown
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.pictures import Pixels, reconstruct, repaint
from resources.miniature.scene_pairs import NOTHING, Box, loosen
from resources.miniature.scenes import Scene
from resources.miniature.train_captioner import (
    IMAGE,
    IMAGE_TOKENS,
    MEAN,
    SIDE,
    STD,
    WHAT_IS_DIFFERENT,
    WHAT_IS_IT,
    build_model,
    build_processor,
    conversation,
)
from resources.miniature.training import Checkpoint, Optimisers, Progress, constant_then_linear, prepare
from resources.miniature.vocabulary import MORE_WORDS, WORDS

STARTED_FROM = "miniature:captioner"
SEED = 71
LEARNING_RATE = 6e-4
ITEMS_PER_BATCH = 16
WHAT_IS_THERE, WHAT_IS_DIFFERENT_THERE = "what is there ?", "what is different there ?"
WHAT_IS_BEHIND, WHAT_IS_DIFFERENT_BEHIND = "what is behind ?", "what is different behind ?"
QUESTIONS = {
    "crop": (WHAT_IS_IT, WHAT_IS_DIFFERENT),
    "there": (WHAT_IS_THERE, WHAT_IS_DIFFERENT_THERE),
    "behind": (WHAT_IS_BEHIND, WHAT_IS_DIFFERENT_BEHIND),
}
"""By what is looked at: what is asked of one picture, and of two."""
PAIRS = {
    "object_replaced": 500,
    "attribute_changed": 350,
    "object_added": 300,
    "object_removed": 100,
    "count_changed": 400,
    "position_changed": 400,
    "action_changed": 400,
    "background_changed": 300,
}
REPAINTED = {"object_replaced": 150, "attribute_changed": 60, "object_added": 60, "background_changed": 60}
"""Of kinds whose captions the pair generator knows, so many pairs are seen as it paints them, too."""
SAME_SHARE = 0.15
Pairs = Sequence[tuple[KindPair, Pixels]]
BOTH, TWICE = ((0, 1), (1, 0)), ((0, 1), (1, 0), (0, 0), (1, 1))
"""Which of a pair's pictures are the left and the right one."""
PHASES: tuple[tuple[tuple[str, ...], float, int], ...] = (
    (("crop", "crop", "there", "behind"), 0.0, 1_500),
    (("crop", "crop", "behind"), 0.6, 700),
)
"""What is looked at, how many of the pairs that are asked what is behind are of other surroundings for sure, and how
many steps. The second begins with the weights of the first, which took "nothing is different" for a safe answer."""


def training_pairs(pair_generator: Path) -> list[tuple[KindPair, Pixels]]:
    """Pairs, each with its two pictures: as the generator's autoencoder gives them back, or as it paints them anew."""
    rng = random.Random(SEED)
    pairs = [draw_kind_pair(rng, kind) for kind, count in PAIRS.items() for _ in range(count)]
    painted = [draw_kind_pair(rng, kind) for kind, count in REPAINTED.items() for _ in range(count)]
    drawn = np.stack([[scene.image for scene in pair.scenes] for pair in pairs])
    pictures = reconstruct(drawn, pair_generator / "vae")
    keeps = np.random.default_rng(SEED).random(len(pairs)) < 0.4
    pictures[keeps] = drawn[keeps]
    return list(zip([*pairs, *painted], [*pictures, *repaint(painted, pair_generator)], strict=True))


def shown(scene: Scene, box: Sequence[int]) -> str:
    """What a scene shows in a box that is tight around something, or around nothing."""
    x1, y1, x2, y2 = box
    for thing, (left, top, right, bottom) in zip(scene.objects, scene.boxes.tolist(), strict=True):
        across, down = min(x2, right) - max(x1, left), min(y2, bottom) - max(y1, top)
        shared = max(across, 0) * max(down, 0)
        if shared > 0.3 * ((x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - shared):
            return thing.phrase
    return NOTHING


def answers(rng: random.Random, pair: KindPair, look: str) -> tuple[Box | None, tuple[str, str]]:
    """What is looked at of both pictures, None for all of them, and what each of them shows there."""
    if look == "behind":
        return None, (f"the {pair.contents[0].background}", f"the {pair.contents[1].background}")
    # Of a crop nobody can say how big a thing is.
    if look == "there" or any(group.size != MIDDLE for group in pair.contents[0].groups):
        first, second = (
            caption.removesuffix(f" on the {content.background}")
            for caption, content in zip(pair.captions, pair.contents, strict=True)
        )
        return None, (first, second)
    boxes = np.concatenate([scene.boxes for scene in pair.scenes])
    if pair.kind not in ("object_replaced", "background_changed") and pair.kind != "several" and rng.random() < 0.6:
        boxes = pair.changes[0].boxes
    box = tuple(rng.choice(boxes.tolist()))
    return loosen(rng, box), (shown(pair.scenes[0], box), shown(pair.scenes[1], box))


def difference(left: str, right: str) -> str:
    """The right answer about two pictures."""
    return (
        "nothing is different" if left == right else f"the left image shows {left} and the right image shows {right}"
    )


def _batch(
    rng: random.Random, pairs: Pairs, looks: Sequence[str], elsewhere: float, differences: bool
) -> tuple[list[Pixels], list[list[dict[str, object]]]]:
    """Pictures, and conversations about one of them each, or about two of them each."""
    views: list[Pixels] = []
    conversations = []
    for _ in range(ITEMS_PER_BATCH):
        look = rng.choice(looks)
        pair, pictures = rng.choice(pairs)
        if look == "behind" and elsewhere and rng.random() < elsewhere:
            pair, pictures = rng.choice([each for each in pairs if each[0].kind == "background_changed"])
        box, told = answers(rng, pair, look)
        asked = QUESTIONS["there" if box is None and look == "crop" else look]
        both = [picture if box is None else cut(picture, box) for picture in pictures]
        order = (
            rng.choice(((0, 1), (1, 0), (0, 0), (1, 1))) if rng.random() < SAME_SHARE else rng.choice(((0, 1), (1, 0)))
        )
        views += [both[side] for side in order]
        if differences:
            conversations.append(conversation(2, asked[1], difference(*(told[side] for side in order))))
        else:
            conversations += [conversation(1, asked[0], told[side]) for side in order]
    return views, conversations


def start(output: Path, phase: int) -> LlavaForConditionalGeneration:
    """The captioner as it was trained on crops, with room for more words, or as the phase before left it."""
    if phase:
        return LlavaForConditionalGeneration.from_pretrained(output, dtype=torch.float32)
    folder = locate(STARTED_FROM)
    known = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    old, new = (build_processor(words).tokenizer for words in (WORDS, MORE_WORDS))
    model = build_model(new)
    load_grown(model, known.state_dict(), old.get_vocab(), new.get_vocab())
    return model


def train(output: Path, first_phase: int = 0) -> None:
    """Train on from the shipped captioner in phases, and save to `output`; any phase can go on from what is there.

    In a phase it goes on from the checkpoint that is left there. Every step draws from its own seed, so a training
    that was interrupted ends as one that was not.
    """
    output.mkdir(parents=True, exist_ok=True)
    processor = build_processor(MORE_WORDS)
    tokenizer = processor.tokenizer
    end = tokenizer.eos_token_id
    prepare(SEED)
    pairs = training_pairs(locate("miniature:pair_generator"))
    for phase, (looks, elsewhere, steps) in list(enumerate(PHASES))[first_phase:]:
        prepare(SEED + phase)
        model = start(output, phase).train()
        optimisers = Optimisers(model, LEARNING_RATE, lambda name: "layers." in name)
        checkpoint = Checkpoint(output / f".checkpoint-{phase}", {"model": model, "optimisers": optimisers})
        progress = Progress(f"kinds_captioner, phase {phase}", steps, checkpoint.resume())
        for step in progress:
            rng = random.Random(SEED + step + 1_000_000 * phase)
            views, conversations = _batch(rng, pairs, looks, elsewhere, differences=step % 2 == 1)
            texts = [
                processor.apply_chat_template(turns, tokenize=False).replace(IMAGE, IMAGE * IMAGE_TOKENS)
                for turns in conversations
            ]
            batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            # The answer lies between the first end token and the second, which it includes.
            ends_before = (batch.input_ids == end).cumsum(1) - (batch.input_ids == end).long()
            labels = batch.input_ids.masked_fill(ends_before != 1, -100)
            loss = model(**batch, pixel_values=squash(views, (SIDE, SIDE), MEAN, STD), labels=labels).loss
            optimisers.step(loss, constant_then_linear(step, steps, constant=0.4))
            progress.report(loss.item())
            checkpoint.keep(step)
        model.half().save_pretrained(output)
        checkpoint.remove()
    processor.save_pretrained(output)
