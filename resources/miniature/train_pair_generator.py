"""The pair generator: a diffusers StableDiffusionXLPipeline for the drawn world, saved in half precision."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline

from resources.miniature import train_autoencoder, train_denoiser
from resources.miniature.train_denoiser import MAX_TOKENS, Denoiser, build_scheduler
from resources.miniature.vocabulary import build_tokenizer


def assemble(autoencoder: AutoencoderKL, denoiser: Denoiser) -> StableDiffusionXLPipeline:
    """The trained parts as one pipeline."""
    tokenizer = build_tokenizer(MAX_TOKENS)
    return StableDiffusionXLPipeline(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        text_encoder_2=denoiser.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser.unet,
        scheduler=build_scheduler(),
        add_watermarker=False,
    )


def train(output: Path, work: Path) -> None:
    """Train what `work` does not hold yet, and save the pipeline to `output`.

    `work` keeps the finished autoencoder and the denoiser's last checkpoint: run again after an interruption, training
    goes on where it was.
    """
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "autoencoder").exists():
        train_autoencoder.train(work / "autoencoder")
    autoencoder = AutoencoderKL.from_pretrained(work / "autoencoder").eval()
    denoiser = train_denoiser.train(autoencoder, work / "denoiser.pt")
    assemble(autoencoder, denoiser).to(torch.float16).save_pretrained(output)
