"""The pair generator's denoiser: an SDXL UNet and its two CLIP text encoders, trained together in the latent space.

Velocity prediction with zero terminal signal-to-noise ratio; one caption in ten is dropped to zero embeddings, which
is what the SDXL pipeline uses for an empty prompt, so that classifier-free guidance works.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from resources.miniature.scenes import IMAGE_SIZE, Scene, draw_scene, random_content
from resources.miniature.train_autoencoder import to_model_range
from resources.miniature.training import Course, prepare, train_steps
from resources.miniature.vocabulary import build_tokenizer

SEED = 21
SCENES = 30_000
TWO_OBJECT_SHARE = 0.4
STEPS = 7_000
BATCH = 16
LEARNING_RATE = 1e-3
CAPTION_DROP = 0.1
MAX_TOKENS = 16
TIMESTEPS = 1000
CHECKPOINT_EVERY = 250
PIECE = 50
"""Scenes that are encoded at once."""


@dataclass(frozen=True)
class LatentScenes:
    """Encoded scenes: the latent's mean and spread, float32 (N, 4, 16, 16), and the caption's token ids, (N, 16)."""

    mean: Tensor
    spread: Tensor
    tokens: Tensor

    def sample(self, count: int, scale: float) -> tuple[Tensor, Tensor]:
        """Scaled latents and tokens of `count` random scenes."""
        chosen = torch.randint(0, len(self.mean), (count,))
        mean, spread = self.mean[chosen], self.spread[chosen]
        return (mean + spread * torch.randn_like(mean)) * scale, self.tokens[chosen]


class Denoiser(nn.Module):
    """The UNet and the text encoders as one module, conditioned as the SDXL pipeline conditions them."""

    sizes: Tensor

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=64,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        self.text_encoder = CLIPTextModel(text)
        self.text_encoder_2 = CLIPTextModelWithProjection(text)
        self.unet = UNet2DConditionModel(
            sample_size=IMAGE_SIZE // 4,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            mid_block_type="UNetMidBlock2DCrossAttn",
            block_out_channels=(32, 96),
            layers_per_block=1,
            cross_attention_dim=128,
            attention_head_dim=(1, 3),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=16,
            projection_class_embeddings_input_dim=64 + 6 * 16,
            norm_num_groups=16,
        )
        sizes = torch.tensor([IMAGE_SIZE, IMAGE_SIZE, 0, 0, IMAGE_SIZE, IMAGE_SIZE], dtype=torch.float32)
        self.register_buffer("sizes", sizes, persistent=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, kept: Tensor) -> Tensor:
        """The predicted velocity; `kept` is 0 for the rows whose caption is dropped, else 1."""
        first = self.text_encoder(tokens, output_hidden_states=True)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        words = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1) * kept[:, None, None]
        extra = {"text_embeds": second.text_embeds * kept[:, None], "time_ids": self.sizes.expand(len(tokens), 6)}
        velocity: Tensor = self.unet(
            noisy, timesteps, encoder_hidden_states=words, added_cond_kwargs=extra, return_dict=False
        )[0]
        return velocity


def build_scheduler() -> DDIMScheduler:
    """The noise schedule, which sampling uses as well."""
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def encode_scenes(autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, count: int, seed: int) -> LatentScenes:
    """Draw random scenes and encode them."""
    rng = random.Random(seed)

    def scenes() -> Iterator[Scene]:
        for start in range(0, count, PIECE):
            contents = [
                random_content(rng, 1 + (rng.random() < TWO_OBJECT_SHARE))
                for _ in range(start, min(start + PIECE, count))
            ]
            yield from [draw_scene(rng, *content) for content in contents]

    return encode(autoencoder, tokenizer, scenes())


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, tokenizer: CLIPTokenizer, scenes: Iterable[Scene]) -> LatentScenes:
    """The scenes' latents and their captions."""
    means: list[Tensor] = []
    spreads: list[Tensor] = []
    captions: list[str] = []
    waiting = iter(scenes)
    while piece := list(islice(waiting, PIECE)):
        posterior = autoencoder.encode(torch.cat([to_model_range(scene.image[None]) for scene in piece])).latent_dist
        means.append(posterior.mean)
        spreads.append(posterior.std)
        captions.extend(scene.caption for scene in piece)
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return LatentScenes(torch.cat(means), torch.cat(spreads), tokens)


def loss_weights(signal: Tensor) -> Tensor:
    """Weights of the velocity's loss for the share of `signal` (alpha bar) at each timestep, (N,) to (N,).

    Minimum-SNR weights with a limit of five, and a little more where there is mostly noise: that is where a caption
    decides what will be in the picture.
    """
    ratio = signal / (1 - signal).clamp(min=1e-8)
    weights = ratio.clamp(max=5) / (ratio + 1)
    weights = torch.where(ratio < 5, weights + 0.15 * (1 - weights), weights)
    return torch.where(ratio < 1e-3, weights.clamp(min=0.3), weights)


def denoising_loss(denoiser: Denoiser, latents: Tensor, tokens: Tensor, signal_shares: Tensor) -> Tensor:
    """The weighted squared error of the predicted velocity, at timesteps spread evenly over the batch."""
    count = len(latents)
    timesteps = ((torch.arange(count) + torch.rand(count)) / count * TIMESTEPS).long()
    signal = signal_shares[timesteps]
    keep, spoil = signal.sqrt()[:, None, None, None], (1 - signal).sqrt()[:, None, None, None]
    noise = torch.randn_like(latents)
    kept = (torch.rand(count) >= CAPTION_DROP).float()
    predicted = denoiser(keep * latents + spoil * noise, timesteps, tokens, kept)
    error = (predicted - (keep * noise - spoil * latents)).square().mean((1, 2, 3))
    loss: Tensor = (error * loss_weights(signal)).mean()
    return loss


def is_hidden(name: str) -> bool:
    outer = ("token_embedding", "position_embedding", "conv_in", "conv_out")
    return not any(part in name for part in outer)


def train(autoencoder: AutoencoderKL, checkpoint: Path) -> Denoiser:
    """Train from nothing, or go on from `checkpoint` if that file exists. Returns the averaged weights."""
    prepare(SEED)
    tokenizer = build_tokenizer(MAX_TOKENS)
    scenes = encode_scenes(autoencoder, tokenizer, SCENES, SEED)
    prepare(SEED)
    denoiser = Denoiser(tokenizer)
    signal_shares = build_scheduler().alphas_cumprod.float()

    def loss() -> Tensor:
        latents, tokens = scenes.sample(BATCH, autoencoder.config.scaling_factor)
        return denoising_loss(denoiser, latents, tokens, signal_shares)

    course = Course("denoiser", SEED, STEPS, LEARNING_RATE, 200, 0.9985, CHECKPOINT_EVERY)
    train_steps(denoiser, loss, is_hidden, course, checkpoint)
    return denoiser.eval()
