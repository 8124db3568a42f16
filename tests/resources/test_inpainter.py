"""Erasing regions, by both kinds of pipeline: what is outside the mask stays, and no row depends on another."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from resources.inpainter import Inpainter, InpainterSettings
from resources.loading import devices

SIDE = 16
SEEDS = [7, 8, 9]


def settings(folder: Path, **fields: object) -> InpainterSettings:
    tiny: dict[str, object] = {"model": str(folder), "image_size": SIDE, "prompt": "the grass", "device": "cpu"}
    return InpainterSettings.model_validate(tiny | fields)


@pytest.fixture(scope="session")
def inpainting_folder(tiny_pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved StableDiffusionXLInpaintPipeline whose UNet sees the mask: 9 input channels, random weights."""
    import torch
    from diffusers import StableDiffusionXLInpaintPipeline, UNet2DConditionModel

    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(tiny_pipeline_folder, add_watermarker=False)
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_config({**pipeline.unet.config, "in_channels": 9})
    folder = tmp_path_factory.mktemp("inpainting")
    StableDiffusionXLInpaintPipeline(**{**pipeline.components, "unet": unet.eval()}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["plain", "inpainting"])
def folder(request: pytest.FixtureRequest) -> Path:
    name = "tiny_pipeline_folder" if request.param == "plain" else "inpainting_folder"
    return Path(request.getfixturevalue(name))


def pictures(*shapes: tuple[int, int]) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in shapes]
    masks = [np.zeros(shape, bool) for shape in shapes]
    for mask in masks:
        mask[: mask.shape[0] // 2, mask.shape[1] // 4 :] = True
    return images, masks


def test_only_what_is_under_the_mask_changes(folder: Path) -> None:
    images, masks = pictures((16, 16), (16, 16), (11, 30))
    erased = Inpainter(settings(folder)).erase(images, masks, SEEDS)
    for before, after, mask in zip(images, erased, masks, strict=True):
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        np.testing.assert_array_equal(after[~mask], before[~mask])
        assert (after[mask] != before[mask]).mean() > 0.5


def test_a_row_depends_on_nothing_but_its_own(folder: Path) -> None:
    images, masks = pictures((16, 16), (16, 16), (11, 30), (16, 16))
    seeds = [*SEEDS, 7]
    inpainter = Inpainter(settings(folder, batch_size=8))
    together = inpainter.erase(images, masks, seeds)
    backwards = inpainter.erase(images[::-1], masks[::-1], seeds[::-1])[::-1]
    rows = zip(images, masks, seeds, strict=True)
    alone = [inpainter.erase([image], [mask], [seed])[0] for image, mask, seed in rows]
    inpainter.settings = settings(folder, batch_size=2)
    by_two = inpainter.erase(images, masks, seeds)
    for others in (backwards, alone, by_two):
        for one, other in zip(together, others, strict=True):
            # Batches of other shapes may round the last bit otherwise.
            assert np.abs(one.astype(int) - other).max() <= 1


def test_it_is_what_the_stock_pipeline_makes(inpainting_folder: Path) -> None:
    import torch
    from PIL import Image

    images, masks = pictures((16, 16))
    inpainter = Inpainter(settings(inpainting_folder, guidance_scale=3.0, negative_prompt="a red ball"))
    (erased,) = inpainter.erase(images, masks, [7])
    stock = inpainter.pipeline(
        prompt="the grass",
        negative_prompt="a red ball",
        image=Image.fromarray(images[0]),
        mask_image=Image.fromarray(masks[0]),
        height=SIDE,
        width=SIDE,
        strength=0.85,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    np.testing.assert_array_equal(erased[masks[0]], np.asarray(stock)[masks[0]])


def test_seed_and_prompt_matter(inpainting_folder: Path) -> None:
    images, masks = pictures((16, 16))
    inpainter = Inpainter(settings(inpainting_folder))
    (first,) = inpainter.erase(images, masks, [7])
    (other_seed,) = inpainter.erase(images, masks, [8])
    inpainter.settings = settings(inpainting_folder, prompt="a blue house")
    (other_prompt,) = inpainter.erase(images, masks, [7])
    assert (first != other_seed).any()
    assert (first != other_prompt).any()


def test_nothing_to_erase(inpainting_folder: Path) -> None:
    assert Inpainter(settings(inpainting_folder)).erase([], [], []) == []


def test_counts_and_shapes_must_fit(inpainting_folder: Path) -> None:
    images, masks = pictures((16, 16), (16, 16))
    inpainter = Inpainter(settings(inpainting_folder))
    with pytest.raises(ValueError, match="there are 2, 2 and 1 of them"):
        inpainter.erase(images, masks, [7])
    with pytest.raises(ValueError, match=r"mask of shape \(8, 8\)"):
        inpainter.erase(images[:1], [np.zeros((8, 8), bool)], [7])


def test_a_folder_that_is_no_pipeline_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(FileNotFoundError, match=r"no model_index\.json: name the folder of a saved StableDiffusionXL"):
        devices.load(Inpainter, settings(tmp_path))


def test_settings_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no step would be done"):
        settings(tmp_path, num_inference_steps=1, strength=0.5)
