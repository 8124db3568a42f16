"""The pair generator's autoencoder: a diffusers AutoencoderKL that halves the image twice, to four channels."""

import random
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from resources.miniature.scenes import draw_scene
from resources.miniature.training import AveragedWeights, Optimisers, Progress, constant_then_linear, prepare

SEED = 20
SCENES = 20_000
STEPS = 5_000
BATCH = 8


def draw_images(count: int, seed: int) -> NDArray[np.uint8]:
    """`count` random scenes' images, uint8 (count, H, W, 3)."""
    rng = random.Random(seed)
    return np.stack([draw_scene(rng).image for _ in range(count)])


def to_model_range(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def build_autoencoder() -> AutoencoderKL:
    autoencoder = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=(8, 16, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        mid_block_add_attention=False,
    )
    # Start with little noise on the latents: half of the outputs are log variances.
    autoencoder.quant_conv.weight.data[4:] *= 0.1
    autoencoder.quant_conv.bias.data[4:] = -6.0
    return autoencoder


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Absolute, squared and edge differences: crisp outlines and right hues."""
    error = made - wanted
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges


def peak_signal_to_noise(made: Tensor, wanted: Tensor) -> float:
    """Mean PSNR in dB of images in [-1, 1]."""
    squared = ((made.clamp(-1, 1) - wanted) / 2).square().mean((1, 2, 3))
    return float((-10 * squared.log10()).mean())


def train(output: Path) -> None:
    """Train from nothing and save to `output`, latents scaled to unit spread."""
    prepare(SEED)
    images = draw_images(SCENES, SEED)
    autoencoder = build_autoencoder()
    ends = ("encoder.conv_in", "encoder.conv_out", "quant_conv", "decoder.conv_in", "decoder.conv_out")
    optimisers = Optimisers(autoencoder, 2e-3, lambda name: not any(end in name for end in ends))
    averages = AveragedWeights(autoencoder, 0.995)
    rng = np.random.default_rng(SEED)
    progress = Progress("autoencoder", STEPS)
    for step in progress:
        batch = to_model_range(images[rng.integers(0, SCENES, BATCH)])
        posterior = autoencoder.encode(batch).latent_dist
        made = autoencoder.decode(posterior.sample()).sample
        loss = reconstruction_loss(made, batch) + 2e-4 / 256 * posterior.kl().mean()
        optimisers.step(loss, constant_then_linear(step, STEPS, constant=0.4))
        averages.update(step)
        progress.report(loss.item())
    averages.swap()
    with torch.no_grad():
        batch = to_model_range(draw_images(256, SEED + 1))
        posterior = autoencoder.eval().encode(batch).latent_dist
        autoencoder.register_to_config(scaling_factor=float(1 / posterior.sample().std()))
        fidelity = peak_signal_to_noise(autoencoder.decode(posterior.mode()).sample, batch)
    print(f"autoencoder: {fidelity:.2f} dB on new scenes", flush=True)
    autoencoder.save_pretrained(output)
