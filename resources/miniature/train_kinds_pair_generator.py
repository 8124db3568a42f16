"""Train the miniature pair generator on, for things that come and go: one thing may stand where one of two would.

What it was trained on alone stands in the middle, and is larger; beside nothing, a thing would move there.
"""

import random
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline

from resources.loading.weights import locate
from resources.miniature.scenes import Scene, draw_scene, random_content, random_layout
from resources.miniature.train_denoiser import (
    BATCH,
    MAX_TOKENS,
    Denoiser,
    build_scheduler,
    denoising_loss,
    encode,
    is_hidden,
)
from resources.miniature.training import AveragedWeights, Checkpoint, Optimisers, Progress, prepare
from resources.miniature.training import constant_then_linear as factor
from resources.miniature.vocabulary import build_tokenizer

STARTED_FROM = "miniature:pair_generator"
SEED = 81
SCENES = 6_000
STEPS = 900
LEARNING_RATE = 5e-4
TWO_SHARE, ASIDE_SHARE = 0.45, 0.35
"""Of the scenes: those of two things, and those of one where one of two would stand."""


def random_scene(rng: random.Random) -> Scene:
    """A scene within training: of two things, of one anywhere, or of one on a side."""
    draw = rng.random()
    if draw < TWO_SHARE:
        return draw_scene(rng, *random_content(rng, 2))
    objects, background = random_content(rng, 1)
    if draw < TWO_SHARE + ASIDE_SHARE:
        return draw_scene(rng, objects, background, random_layout(rng, 2).without(rng.randrange(2)))
    return draw_scene(rng, objects, background)


def train(output: Path) -> None:
    """Train on from the shipped pair generator, or from the checkpoint that is left in `output`; save to `output`.

    Every step draws from its own seed, so a training that was interrupted ends as one that was not.
    """
    output.mkdir(parents=True, exist_ok=True)
    prepare(SEED)
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        locate(STARTED_FROM), dtype=torch.float32, add_watermarker=False
    )
    rng = random.Random(SEED)
    tokenizer = build_tokenizer(MAX_TOKENS)
    scenes = encode(pipeline.vae, tokenizer, (random_scene(rng) for _ in range(SCENES)))
    denoiser = Denoiser(tokenizer)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        getattr(denoiser, part).load_state_dict(getattr(pipeline, part).state_dict())
    optimisers, averages = Optimisers(denoiser, LEARNING_RATE, is_hidden), AveragedWeights(denoiser, 0.995)
    parts = {"denoiser": denoiser, "optimisers": optimisers, "averages": averages}
    checkpoint = Checkpoint(output / ".checkpoint", parts)
    signal_shares = build_scheduler().alphas_cumprod.float()
    progress = Progress("kinds_pair_generator", STEPS, checkpoint.resume())
    for step in progress:
        torch.manual_seed(SEED + step)
        latents, tokens = scenes.sample(BATCH, pipeline.vae.config.scaling_factor)
        loss = denoising_loss(denoiser, latents, tokens, signal_shares)
        optimisers.step(loss, factor(step, STEPS, warmup=60))
        averages.update(step)
        progress.report(loss.item())
        checkpoint.keep(step)
    averages.swap()
    denoiser.eval()
    trained = {part: getattr(denoiser, part) for part in ("unet", "text_encoder", "text_encoder_2")}
    saved = StableDiffusionXLPipeline(**{**pipeline.components, **trained}, add_watermarker=False)
    for module in (saved.vae, *trained.values()):
        module.half()
    saved.vae.register_to_config(_name_or_path=STARTED_FROM)  # else it is the folder's place on this machine
    saved.save_pretrained(output)
    checkpoint.remove()
