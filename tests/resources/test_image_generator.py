"""Drawing captions by any pipeline of text to image: each loaded as its publisher saves it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.architectures import save
from resources.image_generator import ImageGenerator, ImageGeneratorSettings
from resources.loading import devices
from resources.pair_generator import PairGenerator, PairGeneratorSettings

SIDE = 64
CAPTIONS = ["a red ball", "a cat and a very long sentence about it, indeed", "x"]
SEEDS = [7, 8, 9]
MODELS = (
    "black-forest-labs/FLUX.2-klein-4B",
    "Qwen/Qwen-Image",
    "stabilityai/stable-diffusion-3.5-medium",
    "Tongyi-MAI/Z-Image-Turbo",
)
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_pipeline_folder: Path) -> Folder:
    root = tmp_path_factory.mktemp("generators")

    def get(name: str) -> Path:
        if name == "sdxl":
            return tiny_pipeline_folder
        place = root / name.replace("/", "--")
        return place if place.exists() else save(name, place)

    return get


def settings(model: Path, **fields: object) -> ImageGeneratorSettings:
    few: dict[str, object] = {"model": str(model), "image_size": SIDE, "num_inference_steps": 2, "device": "cpu"}
    return ImageGeneratorSettings.model_validate(few | fields)


@pytest.mark.parametrize("name", ["sdxl", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS)])
def test_a_picture_depends_on_its_own_row_alone(name: str, folder: Folder) -> None:
    generator = devices.load(ImageGenerator, settings(folder(name)))
    together = generator.generate(CAPTIONS, SEEDS)
    assert {picture.shape for picture in together} == {(SIDE, SIDE, 3)}
    alone = [generator.generate([caption], [seed])[0] for caption, seed in zip(CAPTIONS, SEEDS, strict=True)]
    for one, other in zip(together, alone, strict=True):
        # Batches of other shapes may round the last bit otherwise.
        assert np.abs(one.astype(int) - other).max() <= 1
    other_seed, other_caption = generator.generate(CAPTIONS[:1], [8]), generator.generate(CAPTIONS[1:2], [7])
    assert (other_seed[0] != together[0]).any()
    assert (other_caption[0] != together[0]).any()


def test_of_stable_diffusion_xl_it_is_the_source_of_a_pair(tiny_pipeline_folder: Path) -> None:
    """So a pair by two texts and one by Prompt-to-Prompt have the same source, for the same seed."""
    fields = {"model": str(tiny_pipeline_folder), "image_size": SIDE, "num_inference_steps": 2, "device": "cpu"}
    sources, _ = PairGenerator(PairGeneratorSettings.model_validate({**fields, "guidance_scale": 4.0})).generate(
        CAPTIONS[:1], CAPTIONS[1:2], SEEDS[:1]
    )
    (picture,) = ImageGenerator(settings(tiny_pipeline_folder)).generate(CAPTIONS[:1], SEEDS[:1])
    # Alone and beside the target, the last bit may be rounded otherwise.
    assert np.abs(picture.astype(int) - sources[0]).max() <= 1


def test_counts_must_fit(tiny_pipeline_folder: Path) -> None:
    with pytest.raises(ValueError, match="there are 1 and 0 of them"):
        ImageGenerator(settings(tiny_pipeline_folder)).generate(["a cat"], [])
