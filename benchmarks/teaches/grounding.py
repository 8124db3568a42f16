"""The second half of learning single images: to find a named thing, which conversations did not teach.

In the conversations of `base` an answer can often be copied from an earlier one. Here all questions about a picture
stand beside each other: each sees the picture and itself alone, at the place it has when it is asked alone.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.teaches.model import IGNORED, Asked, Encoder, load, pixels, save
from benchmarks.teaches.skills import ask
from resources.miniature.scenes import draw_scene
from resources.miniature.training import Checkpoint, Optimisers, Progress, constant_then_linear, prepare

SEED = 72
STEPS = 900
BATCH = 16
LEARNING_RATE = 1e-3
CHECKPOINT_EVERY = 100
QUESTIONS = ("caption", "which thing", "where", "where", "is there", "is there", "is there", "is there")


def questions(rng: random.Random) -> list[Asked]:
    """All that is asked of one picture that is drawn, in any order."""
    scene = draw_scene(rng)
    return [ask(rng, skill, scene, scene.image) for skill in QUESTIONS]


def side_by_side(encoder: Encoder, pictures: Sequence[Sequence[Asked]]) -> dict[str, Tensor]:
    """A batch of pictures with their questions; the mask, float32 (pictures, 1, L, L), is added to attention: 0 where
    a token is seen, else the lowest float."""
    rows = [_row(encoder, asked) for asked in pictures]
    longest = max(len(ids) for ids, *_ in rows)
    ids, places = torch.zeros((2, len(rows), longest), dtype=torch.long)
    ids[:] = encoder.tokenizer.pad_token_id
    labels = torch.full_like(ids, IGNORED)
    parts = torch.full_like(ids, -1)
    for number, (tokens, answers, part, place) in enumerate(rows):
        for whole, values in ((ids, tokens), (labels, answers), (parts, part), (places, place)):
            whole[number, : len(values)] = torch.tensor(values)
    seen = (parts[:, :, None] == parts[:, None, :]) | (parts[:, None, :] == 0)
    seen &= torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    return {
        "input_ids": ids,
        "attention_mask": mask[:, None],
        "position_ids": places,
        "labels": labels,
        "pixel_values": pixels([asked[0].images[0] for asked in pictures]),
    }


def _row(encoder: Encoder, asked: Sequence[Asked]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Tokens, labels, the part each belongs to (0: what all see), and its place."""
    taught = [encoder.taught(each) for each in asked]
    picture = encoder.tokenizer.convert_tokens_to_ids("<image>")
    common = max(number for number, token in enumerate(taught[0][0]) if token == picture) + 1
    ids, labels = taught[0][0][:common], [IGNORED] * common
    parts, places = [0] * common, list(range(common))
    for number, (tokens, answers) in enumerate(taught, 1):
        ids += tokens[common:]
        labels += [IGNORED, *answers[common + 1 :]]
        parts += [number] * (len(tokens) - common)
        places += range(common, len(tokens))
    return ids, labels, parts, places


def train(base: Path, output: Path) -> None:
    """Go on from the model in `base`, or from the checkpoint in `output`, where model and processor are saved."""
    output.mkdir(parents=True, exist_ok=True)
    prepare(SEED)
    encoder, model = Encoder(), load(base).train()
    model.model.vision_tower.requires_grad_(False)
    optimisers = Optimisers(model, LEARNING_RATE, lambda name: "layers." in name and "vision_tower" not in name)
    parts = {"model": model, "optimisers": optimisers}
    checkpoint = Checkpoint(output / ".checkpoint", parts, every=CHECKPOINT_EVERY)
    progress = Progress("grounding", STEPS, checkpoint.resume())
    for step in progress:
        rng = random.Random(f"{SEED} {step}")
        loss = model(**side_by_side(encoder, [questions(rng) for _ in range(BATCH)])).loss
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.6))
        progress.report(loss.item())
        checkpoint.keep(step)
    save(model.eval(), output)
    checkpoint.remove()
