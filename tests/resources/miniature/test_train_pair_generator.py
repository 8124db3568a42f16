"""Training the pair generator, for a few steps: it saves a pipeline, and goes on after an interruption."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from resources.miniature import train_autoencoder, train_denoiser, train_pair_generator
from resources.miniature.train_autoencoder import build_autoencoder

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (train_autoencoder, train_denoiser):
        monkeypatch.setattr(module, "SCENES", 12)
        monkeypatch.setattr(module, "STEPS", 3)
        monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(train_denoiser, "CHECKPOINT_EVERY", 2)


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    autoencoder = build_autoencoder().eval()
    whole = train_denoiser.train(autoencoder, tmp_path / "whole.pt")
    loss = train_denoiser.denoising_loss
    calls = []

    def power_cut(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return loss(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as interruption:
        interruption.setattr(train_denoiser, "denoising_loss", power_cut)
        with pytest.raises(KeyboardInterrupt):
            train_denoiser.train(autoencoder, tmp_path / "cut.pt")
    resumed = train_denoiser.train(autoencoder, tmp_path / "cut.pt")
    for wanted, got in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(got, wanted)


def test_it_saves_a_pipeline_that_makes_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_pair_generator, "CHECKPOINTS", tmp_path / "checkpoints")
    train_pair_generator.train(tmp_path / "pair_generator")
    assert not (tmp_path / "checkpoints").exists()
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        tmp_path / "pair_generator", dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("a red ice cream on the sand", num_inference_steps=2, output_type="np").images
    assert images.shape == (1, 64, 64, 3)
