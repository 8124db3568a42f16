"""The editor: a diffusers StableDiffusionXLInstructPix2PixPipeline that changes a drawn scene as it is told to.

Its parts are the pair generator's, but for the denoiser: that one's UNet with four more input channels, the latents of
the picture that is to be changed (Brooks et al., "InstructPix2Pix", 2023), and its text encoders, which read
instructions now; trained on together from the pair generator's weights.

What an instruction leaves open is little: the change stands in the place and size of what it changes, and what is
added in the middle of the half that is free. So two steps of the denoising are enough. The model is trained for these
two, and for no others: the second on what the first makes of the same noise, not on the picture that it should have
made. The loss looks where something changes, and where things stand that are to stay.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionXLInstructPix2PixPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from resources.loading.weights import locate
from resources.miniature.contents import draw_content
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scenes import Placement
from resources.miniature.train_autoencoder import to_model_range
from resources.miniature.train_denoiser import MAX_TOKENS, TIMESTEPS, Denoiser, is_hidden
from resources.miniature.training import Course, prepare, train_steps
from resources.miniature.vocabulary import MORE_WORDS, build_tokenizer

STARTED_FROM = "miniature:pair_generator"
CHECKPOINTS = Path(__file__).parent / ".checkpoints"
SEED = 61
PAIRS = 5_000
BATCH = 16
CHECKPOINT_EVERY = 100
SAMPLED_STEPS = 2
FIRST, SECOND = TIMESTEPS - 1, TIMESTEPS // SAMPLED_STEPS - 1
# Without an instruction, nothing changes: for guidance. Never without a picture, so `image_guidance_scale` is to be 1.
INSTRUCTION_DROP = 0.06
# Where nothing changes and nothing stands there is less to learn.
PLAIN_WEIGHT = 0.3
CHANGED_PIXEL = 6
HALVES = (Placement(17, 32, 25), Placement(47, 32, 25))
"""Where a thing is added: in the middle of where `random_layout` places one of two."""


@dataclass(frozen=True)
class Round:
    """So many steps over pairs of these kinds, each drawn as often as it is named."""

    kinds: tuple[str, ...]
    steps: int
    learning_rate: float


ADDED, REMOVED = ("object_added",), ("object_removed",)
REPLACED, CHANGED, ELSEWHERE = ("object_replaced",), ("attribute_changed",), ("background_changed",)
ROUNDS = (
    Round(REPLACED * 4 + CHANGED * 2 + ADDED + REMOVED + ELSEWHERE, 700, 1e-3),
    Round(REPLACED * 3 + CHANGED * 3 + ADDED * 2 + REMOVED * 2 + ELSEWHERE, 1_200, 1e-3),
)
"""Where things are to be counted, moved or put into another pose, more training is needed: an instruction leaves open
where new things stand."""


@dataclass(frozen=True)
class LatentEdits:
    """Encoded pairs: latents of source and target, float32 (N, 4, 16, 16), unscaled; how much each place counts,
    float32 (N, 1, 16, 16), of sum 1; and the instruction's token ids, (N, 16)."""

    sources: Tensor
    targets: Tensor
    places: Tensor
    tokens: Tensor


class Editor(Denoiser):
    """The UNet and the text encoders as one module, started as the pair generator's, with more words.

    It sees the picture's latents, which are not scaled, as it sees those that it denoises.
    """

    def __init__(self, pipeline: StableDiffusionXLPipeline, tokenizer: CLIPTokenizer) -> None:
        super().__init__(tokenizer)
        places = {place: tokenizer.get_vocab()[token] for token, place in pipeline.tokenizer.get_vocab().items()}
        for name in ("text_encoder", "text_encoder_2"):
            encoder = getattr(self, name)
            own, known = encoder.state_dict(), getattr(pipeline, name).state_dict()
            for key, weights in known.items():
                if key.endswith("token_embedding.weight"):
                    own[key][list(places.values())] = weights[list(places)]
                else:
                    own[key] = weights
            encoder.load_state_dict(own)
        self.unet = UNet2DConditionModel.from_config({**pipeline.unet.config, "in_channels": 8})
        weights = pipeline.unet.state_dict()
        first = weights["conv_in.weight"]
        weights["conv_in.weight"] = torch.cat([first, first * pipeline.vae.config.scaling_factor], 1)
        self.unet.load_state_dict(weights)


@torch.no_grad()
def encode_pairs(
    autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, kinds: Sequence[str], count: int, seed: int
) -> LatentEdits:
    """Draw pairs of these kinds and encode them."""
    rng = random.Random(seed)
    latents: list[Tensor] = []
    places: list[Tensor] = []
    instructions: list[str] = []
    for start in range(0, count, 50):
        pairs = [
            in_the_middle(rng, draw_kind_pair(rng, rng.choice(kinds))) for _ in range(start, min(start + 50, count))
        ]
        pictures = np.stack([scene.image for pair in pairs for scene in pair.scenes])
        latents.append(autoencoder.encode(to_model_range(pictures)).latent_dist.mode())
        places.append(torch.stack([places_that_count(pair) for pair in pairs]))
        instructions.extend(pair.instruction for pair in pairs)
    tokens = tokenizer(instructions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    both = torch.cat(latents)
    return LatentEdits(both[::2], both[1::2], torch.cat(places), tokens)


def in_the_middle(rng: random.Random, pair: KindPair) -> KindPair:
    """The pair with what is added to it in the middle of the half that is free; others as they are."""
    if pair.kind not in ADDED:
        return pair
    first, second = pair.scenes
    new = second.objects.index(next(thing for thing in second.objects if thing not in first.objects))
    placements = list(second.layout.placements)
    placements[new] = HALVES[new]
    return replace(
        pair, scenes=(first, draw_content(rng, pair.contents[1], second.layout.with_placements(placements)))
    )


def places_that_count(pair: KindPair) -> Tensor:
    """How much the latents' places count: where the pair differs, or a thing stands, and next to that, more than
    elsewhere; float32 (1, 16, 16), of sum 1."""
    pixels = [scene.image.astype(np.int16) for scene in pair.scenes]
    matters = np.abs(pixels[0] - pixels[1]).max(2) > CHANGED_PIXEL
    for scene in pair.scenes:
        matters |= scene.masks.any(0)
    pooled = functional.max_pool2d(torch.from_numpy(matters).float()[None, None], 4)
    places = functional.max_pool2d(pooled, 3, stride=1, padding=1)[0] + PLAIN_WEIGHT
    return places / places.sum()


def editing_loss(editor: Editor, edits: LatentEdits, scale: float, signal_shares: Tensor) -> Tensor:
    """The squared error of the picture that the first step means, and of the one that the second means, for random
    pairs: half of them each.

    The second step sees what the first, as it is now, makes of the noise: the steps are learned as they are taken.
    """
    chosen = torch.randint(0, len(edits.sources), (BATCH,))
    told = torch.rand(BATCH) >= INSTRUCTION_DROP
    sources, tokens, kept = edits.sources[chosen], edits.tokens[chosen], told.float()
    # What is not told to change stays.
    wanted = torch.where(told[:, None, None, None], edits.targets[chosen], sources) * scale
    noise = torch.randn_like(wanted)
    timesteps = torch.full((BATCH,), FIRST)
    timesteps[BATCH // 2 :] = SECOND
    later = slice(BATCH // 2, BATCH)
    with torch.no_grad():
        first = torch.full((BATCH - BATCH // 2,), FIRST)
        # At the first timestep there is no signal: the velocity is the picture, but for its sign.
        meant = -editor(torch.cat([noise[later], sources[later]], 1), first, tokens[later], kept[later])
    signal = signal_shares[timesteps]
    keep, spoil = signal.sqrt()[:, None, None, None], (1 - signal).sqrt()[:, None, None, None]
    noisy = keep * torch.cat([wanted[: BATCH // 2], meant]) + spoil * noise
    velocity = editor(torch.cat([noisy, sources], 1), timesteps, tokens, kept)
    error = (keep * noisy - spoil * velocity - wanted).square().mean(1, keepdim=True)
    loss: Tensor = (error * edits.places[chosen]).sum((1, 2, 3)).mean()
    return loss


def train(output: Path) -> None:
    """Train on from the shipped pair generator, and save the pipeline to `output` in half precision.

    Until then CHECKPOINTS hold the editor as it was a few minutes ago: run again after an interruption, training goes
    on from there.
    """
    prepare(SEED)
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        locate(STARTED_FROM), dtype=torch.float32, add_watermarker=False
    )
    tokenizer = build_tokenizer(MAX_TOKENS, MORE_WORDS)
    editor = Editor(pipeline, tokenizer)
    for number in range(len(ROUNDS)):
        train_round(number, editor, pipeline)
    assemble(pipeline, editor, tokenizer).save_pretrained(output)
    for checkpoint in map(checkpoint_of, range(len(ROUNDS))):
        checkpoint.unlink(missing_ok=True)


def train_round(number: int, editor: Editor, pipeline: StableDiffusionXLPipeline) -> None:
    """One of ROUNDS, over pairs of its own, or the rest of it where it was interrupted."""
    round_ = ROUNDS[number]
    tokenizer = build_tokenizer(MAX_TOKENS, MORE_WORDS)
    edits = encode_pairs(pipeline.vae, tokenizer, round_.kinds, PAIRS, SEED + number)
    signal_shares, scale = pipeline.scheduler.alphas_cumprod.float(), pipeline.vae.config.scaling_factor
    seed = SEED + 10_000 * number
    course = Course("editor", seed, round_.steps, round_.learning_rate, 100, 0.997, CHECKPOINT_EVERY)
    CHECKPOINTS.mkdir(exist_ok=True)
    loss = partial(editing_loss, editor, edits, scale, signal_shares)
    train_steps(editor, loss, is_hidden, course, checkpoint_of(number))


def checkpoint_of(number: int) -> Path:
    return CHECKPOINTS / f"editor_{number}.pt"


def assemble(
    pipeline: StableDiffusionXLPipeline, editor: Editor, tokenizer: CLIPTokenizer
) -> StableDiffusionXLInstructPix2PixPipeline:
    """The trained parts and the pair generator's others as one pipeline, in half precision."""
    saved = StableDiffusionXLInstructPix2PixPipeline(
        vae=pipeline.vae,
        text_encoder=editor.text_encoder.eval(),
        text_encoder_2=editor.text_encoder_2.eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=editor.unet.eval(),
        scheduler=pipeline.scheduler,
        add_watermarker=False,
    )
    for part in (saved.vae, saved.unet, saved.text_encoder, saved.text_encoder_2):
        part.half()
    for part in (saved.vae, saved.unet):
        part.register_to_config(_name_or_path=STARTED_FROM)  # else it is the folder's place on this machine
    return saved
