"""The pictures that the judging models are trained on.

Those models judge generated images, through boxes that a segmenter proposes. So each pair of scenes comes in several
views: as it is drawn, as the pair generator's autoencoder reconstructs it, and as the generator repaints it from a
noisy start. The truth about a scene holds in all its views. They take minutes to make and are kept in a hidden folder.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLImg2ImgPipeline
from numpy.typing import NDArray

from resources.images.crops import cut
from resources.loading import weights
from resources.miniature.scene_pairs import CHANGES, ScenePair, draw_pair, loosen
from resources.miniature.scenes import Scene, SceneObject

View = Literal["drawn", "reconstructed", "repainted"]
Pixels = NDArray[np.uint8]
# A training has phases: each runs on some views for some steps, and starts from the weights of the one before.
Phases = Sequence[tuple[Sequence[View], int]]

PAIRS = 4_000
REPAINTED_PAIRS = 1_000
# Shares of the denoising that the generator does over.
STRENGTHS = (0.5, 0.7, 0.6, 0.8)
SEED = 30
CACHE = Path(__file__).parent / ".pictures"


class Drawn(Protocol):
    """Two scenes, each with its caption."""

    @property
    def scenes(self) -> tuple[Scene, Scene]: ...


class Pictures:
    """Pairs of scenes, and views of them: uint8 (pairs, 2, H, W, 3), perhaps only of the first pairs."""

    def __init__(self, pairs: Sequence[ScenePair], views: Sequence[Pixels]) -> None:
        self.pairs = pairs
        self.views = views

    def _pick(self, rng: random.Random) -> tuple[ScenePair, Pixels]:
        view = rng.choice(self.views)
        row = rng.randrange(len(view))
        return self.pairs[row], view[row]

    def pair(self, rng: random.Random) -> tuple[tuple[Scene, Pixels], tuple[Scene, Pixels]]:
        """The two scenes of a random pair, each with its picture."""
        pair, pictures = self._pick(rng)
        return (pair.scenes[0], pictures[0]), (pair.scenes[1], pictures[1])

    def scene(self, rng: random.Random) -> tuple[Scene, Pixels]:
        """A random scene and a picture of it."""
        return rng.choice(self.pair(rng))

    def crops(self, rng: random.Random) -> tuple[tuple[Pixels, Pixels], tuple[SceneObject | None, SceneObject | None]]:
        """Both images' crops of a random region through a loosened box, and what they show, in either order."""
        pair, pictures = self._pick(rng)
        region = rng.choice(pair.regions)
        box = loosen(rng, region.box)
        (left, right), (this, that) = (cut(picture, box) for picture in pictures), region.contents
        return ((left, right), (this, that)) if rng.random() < 0.5 else ((right, left), (that, this))


def training_pictures(views: Sequence[View], pair_generator: Path) -> Pictures:
    """The training pairs in these views, made with the weights in the folder `pair_generator`."""
    rng = random.Random(SEED)
    pairs = [draw_pair(rng, rng.choice(CHANGES)) for _ in range(PAIRS)]
    drawn = np.stack([[scene.image for scene in pair.scenes] for pair in pairs])
    makers: dict[View, Callable[[], Pixels]] = {
        "drawn": lambda: drawn,
        "reconstructed": lambda: _kept(
            "reconstructed", pair_generator / "vae", lambda: reconstruct(drawn, pair_generator / "vae")
        ),
        "repainted": lambda: _kept(
            "repainted", pair_generator, lambda: repaint(pairs[:REPAINTED_PAIRS], pair_generator)
        ),
    }
    return Pictures(pairs, [makers[view]() for view in views])


def _kept(name: str, folder: Path, make: Callable[[], Pixels]) -> Pixels:
    """What `make` makes, made once for each state of the weights in `folder`."""
    file = CACHE / f"{name}-{weights.digest(folder)[:16]}.npy"
    if not file.is_file():
        CACHE.mkdir(exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
        np.save(file, make())
    made: Pixels = np.load(file)
    return made


def _batches(count: int, size: int, label: str) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
        if start // size % 20 == 19:
            print(f"{label}: {start + size} of {count} images", flush=True)


def _to_uint8(images: torch.Tensor) -> Pixels:
    """float (N, 3, H, W) in [-1, 1] to uint8 (N, H, W, 3)."""
    pixels: Pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


@torch.inference_mode()
def reconstruct(images: Pixels, autoencoder_folder: Path) -> Pixels:
    """Images (of any leading shape) through the autoencoder and back, some noise on the latents."""
    autoencoder = AutoencoderKL.from_pretrained(autoencoder_folder, torch_dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(SEED)
    flat = images.reshape(-1, *images.shape[-3:])
    made = np.empty_like(flat)
    for rows in _batches(len(flat), 50, "reconstructed"):
        pixels = torch.from_numpy(flat[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = autoencoder.encode(pixels).latent_dist.mode()
        spread = 0.1 * torch.rand(len(latents), 1, 1, 1, generator=generator) / autoencoder.config.scaling_factor
        noise = torch.randn(latents.shape, generator=generator)
        made[rows] = _to_uint8(autoencoder.decode(latents + spread * noise).sample)
    return made.reshape(images.shape)


@torch.inference_mode()
def repaint(pairs: Sequence[Drawn], pair_generator: Path) -> Pixels:
    """The pairs' pictures, noised and painted anew by the generator from their captions, uint8 (pairs, 2, H, W, 3).

    Both pictures of a pair start from the same noise. How much of the drawing is left varies from pair to pair.
    """
    pipeline = StableDiffusionXLImg2ImgPipeline.from_pretrained(pair_generator, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    made = []
    for rows in _batches(len(pairs), 8, "repainted"):
        scenes = [scene for pair in pairs[rows] for scene in pair.scenes]
        drawn = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).float() / 255
        images = pipeline(
            prompt=[scene.caption for scene in scenes],
            image=drawn,
            strength=STRENGTHS[rows.start // 8 % len(STRENGTHS)],
            num_inference_steps=10,
            guidance_scale=3.0,
            generator=[torch.Generator().manual_seed(SEED + rows.start + index // 2) for index in range(len(scenes))],
            output_type="pt",
        ).images
        made.append(_to_uint8(images * 2 - 1).reshape(-1, 2, *pairs[0].scenes[0].image.shape))
    return np.concatenate(made)
