"""The inpainter: a diffusers StableDiffusionXLInpaintPipeline that fills a masked box with the background around it.

Its parts are the pair generator's, but for the denoiser: that one's UNet with five more input channels (the mask, and
the latents of the image without what is masked, as in Stable Diffusion's own inpainting model), trained on from the
pair generator's weights. Only one prompt is ever trained, and it says that there is nothing.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from resources.loading.weights import locate
from resources.miniature.scene_pairs import NOTHING, loosen
from resources.miniature.scenes import IMAGE_SIZE, draw_scene, random_content
from resources.miniature.train_autoencoder import to_model_range
from resources.miniature.train_denoiser import TIMESTEPS, is_hidden, loss_weights
from resources.miniature.training import AveragedWeights, Optimisers, Progress, constant_then_linear, prepare

STARTED_FROM = "miniature:pair_generator"
SEED = 51
SCENES = 5_000
STEPS = 1_000
BATCH = 16
LEARNING_RATE = 7e-4
GRID = IMAGE_SIZE // 4
# What is outside the mask is pasted back from the image, so it matters only as far as it leads to what is inside.
OUTSIDE_WEIGHT = 0.1


@dataclass(frozen=True)
class MaskedScenes:
    """Encoded scenes: latents of the scene without the object and of what is left under the mask, float32
    (N, 4, 16, 16), and the masks, float32 (N, 1, 16, 16), 1 inside."""

    wanted: Tensor
    left: Tensor
    masks: Tensor


class Inpainter(nn.Module):
    """The UNet under the one prompt, conditioned as the SDXL inpainting pipeline conditions it."""

    words: Tensor
    summary: Tensor
    sizes: Tensor

    def __init__(self, pipeline: StableDiffusionXLPipeline) -> None:
        super().__init__()
        config = {**pipeline.unet.config, "in_channels": 9}
        self.unet = UNet2DConditionModel.from_config(config)
        weights = pipeline.unet.state_dict()
        # Starts as the pair generator's, deaf to the new channels.
        weights["conv_in.weight"] = functional.pad(weights["conv_in.weight"], (0, 0, 0, 0, 0, 5))
        self.unet.load_state_dict(weights)
        with torch.no_grad():
            words, _, summary, _ = pipeline.encode_prompt(NOTHING, do_classifier_free_guidance=False)
        sizes = torch.tensor([[IMAGE_SIZE, IMAGE_SIZE, 0, 0, IMAGE_SIZE, IMAGE_SIZE]], dtype=torch.float32)
        for name, constant in (("words", words), ("summary", summary), ("sizes", sizes)):
            self.register_buffer(name, constant, persistent=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, masks: Tensor, left: Tensor) -> Tensor:
        """The predicted velocity, (N, 4, 16, 16)."""
        count = len(noisy)
        velocity: Tensor = self.unet(
            torch.cat([noisy, masks, left], 1),
            timesteps,
            encoder_hidden_states=self.words.expand(count, -1, -1),
            added_cond_kwargs={
                "text_embeds": self.summary.expand(count, -1),
                "time_ids": self.sizes.expand(count, -1),
            },
            return_dict=False,
        )[0]
        return velocity


@torch.no_grad()
def encode_scenes(pipeline: StableDiffusionXLPipeline, count: int, seed: int) -> MaskedScenes:
    """Draw scenes, mask a loose box around one object of each, and encode them without that object."""
    rng = random.Random(seed)
    wanted: list[Tensor] = []
    left: list[Tensor] = []
    masks: list[Tensor] = []
    for start in range(0, count, 50):
        bare, masked, boxes = [], [], []
        for _ in range(start, min(start + 50, count)):
            objects, background = random_content(rng)
            index = rng.randrange(len(objects))
            scene = draw_scene(rng, objects, background)
            others = (*objects[:index], *objects[index + 1 :])
            bare.append(draw_scene(rng, others, background, scene.layout.without(index)).image)
            x1, y1, x2, y2 = loosen(rng, tuple(scene.boxes[index].tolist()))
            inside = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 1), np.float32)
            inside[y1:y2, x1:x2] = 1
            boxes.append(inside)
            masked.append(scene.image)
        mask = torch.from_numpy(np.stack(boxes)).permute(0, 3, 1, 2)
        pictures = to_model_range(np.stack(bare)), to_model_range(np.stack(masked)) * (mask < 0.5)
        for latents, images in zip((wanted, left), pictures, strict=True):
            latents.append(pipeline.vae.encode(images).latent_dist.mode() * pipeline.vae.config.scaling_factor)
        masks.append(functional.interpolate(mask, (GRID, GRID)))
    return MaskedScenes(torch.cat(wanted), torch.cat(left), torch.cat(masks))


def inpainting_loss(inpainter: Inpainter, scenes: MaskedScenes, signal_shares: Tensor) -> Tensor:
    """The weighted squared error of the predicted velocity for random scenes, at timesteps spread over the batch."""
    chosen = torch.randint(0, len(scenes.wanted), (BATCH,))
    wanted, masks = scenes.wanted[chosen], scenes.masks[chosen]
    timesteps = ((torch.arange(BATCH) + torch.rand(BATCH)) / BATCH * TIMESTEPS).long()
    signal = signal_shares[timesteps]
    keep, spoil = signal.sqrt()[:, None, None, None], (1 - signal).sqrt()[:, None, None, None]
    noise = torch.randn_like(wanted)
    predicted = inpainter(keep * wanted + spoil * noise, timesteps, masks, scenes.left[chosen])
    error = (predicted - (keep * noise - spoil * wanted)).square().mean(1, keepdim=True)
    places = masks + OUTSIDE_WEIGHT
    loss: Tensor = ((error * places).sum((1, 2, 3)) / places.sum((1, 2, 3)) * loss_weights(signal)).mean()
    return loss


def train(output: Path) -> None:
    """Train on from the shipped pair generator, and save the pipeline to `output` in half precision."""
    prepare(SEED)
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        locate(STARTED_FROM), dtype=torch.float32, add_watermarker=False
    )
    scenes = encode_scenes(pipeline, SCENES, SEED)
    inpainter = Inpainter(pipeline)
    optimisers = Optimisers(inpainter, LEARNING_RATE, is_hidden)
    averages = AveragedWeights(inpainter, 0.99)
    signal_shares = pipeline.scheduler.alphas_cumprod.float()
    progress = Progress("inpainter", STEPS)
    for step in progress:
        loss = inpainting_loss(inpainter, scenes, signal_shares)
        optimisers.step(loss, constant_then_linear(step, STEPS, warmup=100))
        averages.update(step)
        progress.report(loss.item())
    averages.swap()
    saved = StableDiffusionXLInpaintPipeline(**{**pipeline.components, "unet": inpainter.unet.eval()})
    for part in (saved.vae, saved.unet, saved.text_encoder, saved.text_encoder_2):
        part.half()
    for part in (saved.vae, saved.unet):
        part.register_to_config(_name_or_path=STARTED_FROM)  # else it is the folder's place on this machine
    saved.save_pretrained(output)
