"""The editor: a diffusers StableDiffusionXLInstructPix2PixPipeline that changes a drawn scene as it is told to.

Its parts are the pair generator's, but for the denoiser: that one's UNet with four more input channels, the latents of
the picture that is to be changed (Brooks et al., "InstructPix2Pix", 2023), and its text encoders, which read
instructions now; trained on together from the pair generator's weights.

What an instruction leaves open is little: the change stands in the place and size of what it changes. So the first
step of the denoising decides nearly all, and few are enough: the model is trained for those that SAMPLED_STEPS steps
take, and for no others. The loss looks where something changes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
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
from resources.miniature.kind_pairs import KindPair, draw_kind_pair
from resources.miniature.scenes import IMAGE_SIZE
from resources.miniature.train_autoencoder import to_model_range
from resources.miniature.train_denoiser import MAX_TOKENS, TIMESTEPS, Denoiser, is_hidden
from resources.miniature.training import Course, prepare, train_steps
from resources.miniature.vocabulary import MORE_WORDS, build_tokenizer

STARTED_FROM = "miniature:pair_generator"
CHECKPOINTS = Path(__file__).parent / ".checkpoints"
SEED = 61
PAIRS = 4_000
BATCH = 8
CHECKPOINT_EVERY = 100
SAMPLED_STEPS = 2
# Without an instruction, nothing changes: for guidance. Never without a picture, so `image_guidance_scale` is to be 1.
INSTRUCTION_DROP = 0.06
GRID = IMAGE_SIZE // 4
# Where nothing changes there is less to learn.
UNCHANGED_WEIGHT = 0.3
CHANGED_PIXEL = 6


@dataclass(frozen=True)
class Round:
    """So many steps over pairs of these kinds, each drawn as often as it is named."""

    kinds: tuple[str, ...]
    steps: int
    learning_rate: float


REPLACED, CHANGED, ADDED = ("object_replaced",), ("attribute_changed",), ("object_added", "object_removed")
ROUNDS = (Round(REPLACED * 4 + CHANGED * 2 + ADDED + ("background_changed",), 1_400, 1e-3),)
"""Replaced objects most of all, as in the graph. Where things are to be counted, moved or put into another pose, more
training is needed: an instruction leaves open where new things stand."""


@dataclass(frozen=True)
class LatentEdits:
    """Encoded pairs: latents of source and target, float32 (N, 4, 16, 16), unscaled; where they differ, float32
    (N, 1, 16, 16), 1 there; and the instruction's token ids, (N, 16)."""

    sources: Tensor
    targets: Tensor
    changed: Tensor
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
    changed: list[Tensor] = []
    instructions: list[str] = []
    for start in range(0, count, 50):
        pairs = [draw_kind_pair(rng, rng.choice(kinds)) for _ in range(start, min(start + 50, count))]
        pictures = np.stack([scene.image for pair in pairs for scene in pair.scenes])
        latents.append(autoencoder.encode(to_model_range(pictures)).latent_dist.mode())
        changed.append(torch.stack([changed_places(pair) for pair in pairs]))
        instructions.extend(pair.instruction for pair in pairs)
    tokens = tokenizer(instructions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    both = torch.cat(latents)
    return LatentEdits(both[::2], both[1::2], torch.cat(changed), tokens)


def changed_places(pair: KindPair) -> Tensor:
    """Where the latents of the pair differ, and next to that: float32 (1, 16, 16)."""
    pixels = [scene.image.astype(np.int16) for scene in pair.scenes]
    differs = torch.from_numpy(np.abs(pixels[0] - pixels[1]).max(2) > CHANGED_PIXEL).float()[None, None]
    return functional.max_pool2d(functional.max_pool2d(differs, 4), 3, stride=1, padding=1)[0]


def editing_loss(editor: Editor, edits: LatentEdits, scale: float, signal_shares: Tensor) -> Tensor:
    """The weighted squared error of the predicted velocity for random pairs, the steps' timesteps in turns.

    Weighted as the error of the picture that the velocity means, but never below a tenth.
    """
    chosen = torch.randint(0, len(edits.sources), (BATCH,))
    wanted, changed = edits.targets[chosen] * scale, edits.changed[chosen]
    timesteps = TIMESTEPS - 1 - torch.arange(BATCH) % SAMPLED_STEPS * (TIMESTEPS // SAMPLED_STEPS)
    signal = signal_shares[timesteps]
    keep, spoil = signal.sqrt()[:, None, None, None], (1 - signal).sqrt()[:, None, None, None]
    told = torch.rand(BATCH) >= INSTRUCTION_DROP
    # What is not told to change stays.
    wanted = torch.where(told[:, None, None, None], wanted, edits.sources[chosen] * scale)
    noise = torch.randn_like(wanted)
    noisy = torch.cat([keep * wanted + spoil * noise, edits.sources[chosen]], 1)
    predicted = editor(noisy, timesteps, edits.tokens[chosen], told.float())
    error = (predicted - (keep * noise - spoil * wanted)).square().mean(1, keepdim=True)
    places = changed + UNCHANGED_WEIGHT
    weights = (1 - signal).clamp(min=0.1)
    loss: Tensor = ((error * places).sum((1, 2, 3)) / places.sum((1, 2, 3)) * weights).mean()
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
