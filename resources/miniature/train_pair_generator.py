"""The pair generator: a diffusers StableDiffusionXLPipeline for the drawn world, saved in half precision."""

import shutil
from pathlib import Path

from diffusers import AutoencoderKL, StableDiffusionXLPipeline

from resources.miniature import train_autoencoder, train_denoiser
from resources.miniature.train_denoiser import MAX_TOKENS, Denoiser, build_scheduler
from resources.miniature.vocabulary import build_tokenizer

CHECKPOINTS = Path(__file__).parent / ".checkpoints"


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


def train(output: Path) -> None:
    """Train autoencoder and denoiser and save the pipeline to `output`.

    Until then CHECKPOINTS holds the finished autoencoder and the denoiser as it was a few minutes ago: run again after
    an interruption, training goes on from there.
    """
    CHECKPOINTS.mkdir(exist_ok=True)
    if not (CHECKPOINTS / "autoencoder").exists():
        train_autoencoder.train(CHECKPOINTS / "autoencoder")
    autoencoder = AutoencoderKL.from_pretrained(CHECKPOINTS / "autoencoder").eval()
    denoiser = train_denoiser.train(autoencoder, CHECKPOINTS / "denoiser.pt")
    pipeline = assemble(autoencoder, denoiser)
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2):
        part.half()
    pipeline.save_pretrained(output)
    shutil.rmtree(CHECKPOINTS)
