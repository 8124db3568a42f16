"""Editing by every kind of pipeline: each loaded as its publisher saves it, no row depending on another."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.architectures import save
from resources.backends.choice import backend_of
from resources.editor import Editor, EditorSettings
from resources.image_generator import ImageGenerator, ImageGeneratorSettings
from resources.loading import devices
from resources.loading.failures import WeightsMissing
from resources.loading.image_pipelines import EDITING, pipeline_name

# Of the scheduler that SDXL is published with, in diffusers 0.42.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIDE = 96
SEEDS = [7, 8, 9]
TOLD = ["replace the red ball with a red cup", "add a cat", "make it a very blue house on the sea"]
MODELS = (
    "diffusers/sdxl-instructpix2pix-768",
    "black-forest-labs/FLUX.2-klein-4B",
    "Qwen/Qwen-Image-Edit-2511",
    "meituan-longcat/LongCat-Image-Edit",
    "black-forest-labs/FLUX.1-Kontext-dev",
)
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("editors")

    def get(name: str) -> Path:
        place = root / name.replace("/", "--")
        return place if place.exists() else save(name, place)

    return get


@pytest.fixture(autouse=True)
def small_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pipelines scale every picture to a million pixels: here to as many as a small picture has."""
    from diffusers.pipelines.longcat_image import pipeline_longcat_image_edit as longcat
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as qwen

    monkeypatch.setattr(qwen, "CONDITION_IMAGE_SIZE", SIDE * SIDE)
    monkeypatch.setattr(qwen, "VAE_IMAGE_SIZE", SIDE * SIDE)
    of_area = longcat.calculate_dimensions
    monkeypatch.setattr(longcat, "calculate_dimensions", lambda area, ratio: of_area(SIDE * SIDE, ratio))


def settings(model: Path, **fields: object) -> EditorSettings:
    few: dict[str, object] = {"model": str(model), "image_size": SIDE, "num_inference_steps": 2, "device": "cpu"}
    return EditorSettings.model_validate(few | {"guidance_scale": 3.0} | fields)


def pictures(*shapes: tuple[int, int]) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in shapes]


def test_every_pipeline_that_is_known_is_tried(folder: Folder) -> None:
    assert {pipeline_name(folder(name)) for name in MODELS} == set(EDITING)


@pytest.mark.parametrize("name", [MODELS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS[1:])])
def test_a_target_depends_on_its_own_row_alone(name: str, folder: Folder) -> None:
    editor = devices.load(Editor, settings(folder(name)))
    sources = pictures((96, 96), (96, 96), (96, 144))
    together = editor.edit(sources, TOLD, SEEDS)
    assert [target.shape for target in together] == [source.shape for source in sources]
    assert {target.dtype for target in together} == {np.dtype(np.uint8)}
    backwards = editor.edit(sources[::-1], TOLD[::-1], SEEDS[::-1])[::-1]
    alone = [editor.edit([source], [told], [seed])[0] for source, told, seed in zip(sources, TOLD, SEEDS, strict=True)]
    for others in (backwards, alone):
        for one, other in zip(together, others, strict=True):
            # Batches of other shapes may round the last bit otherwise.
            assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("name", [MODELS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS[1:])])
def test_source_instruction_and_seed_matter(name: str, folder: Folder) -> None:
    editor = devices.load(Editor, settings(folder(name)))
    one, other = pictures((96, 96), (96, 96))
    (target,) = editor.edit([one], TOLD[:1], [7])
    for row in (([other], TOLD[:1], [7]), ([one], TOLD[1:2], [7]), ([one], TOLD[:1], [8])):
        (changed,) = editor.edit(*row)
        assert (changed != target).any()


def test_it_is_what_the_stock_pipeline_makes(folder: Folder) -> None:
    import torch
    from PIL import Image

    editor = Editor(settings(folder(MODELS[0]), image_guidance_scale=2.0))
    (source,) = pictures((96, 96))
    (target,) = editor.edit([source], TOLD[:1], [7])
    stock = editor.pipeline(
        prompt=TOLD[0],
        image=Image.fromarray(source),
        height=SIDE,
        width=SIDE,
        num_inference_steps=2,
        guidance_scale=3.0,
        image_guidance_scale=2.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    np.testing.assert_array_equal(target, np.asarray(stock))


def test_noise_is_drawn_in_float32_whatever_the_dtype(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    editor = Editor(settings(folder(MODELS[0]), dtype="bfloat16"))
    drawn = []
    draw = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **how: drawn.append(how["dtype"]) or draw(*size, **how))
    editor.edit(pictures((96, 96)), TOLD[:1], [7])
    assert set(drawn) == {torch.float32}


@pytest.mark.slow
def test_one_model_is_editor_and_generator_and_in_memory_once(folder: Folder) -> None:
    own = settings(folder("black-forest-labs/FLUX.2-klein-4B"))
    values = {name: getattr(own, name) for name in ("model", "image_size", "num_inference_steps", "device")}
    drawing = ImageGeneratorSettings.model_validate(values)
    try:
        editor = devices.load(Editor, own)
        assert devices._bytes_needed(drawing) == 0
        generator = devices.load(ImageGenerator, drawing)
        assert generator.pipeline is editor.pipeline
        (picture,) = generator.generate(TOLD[:1], [7])
        assert editor.edit([picture], TOLD[:1], [7])[0].shape == picture.shape
    finally:
        devices.unload_all()


def test_counts_must_fit(folder: Folder) -> None:
    editor = devices.load(Editor, settings(folder(MODELS[0])))
    assert editor.edit([], [], []) == []
    with pytest.raises(ValueError, match="there are 1, 2 and 1 of them"):
        editor.edit(pictures((96, 96)), TOLD[:2], [7])


def test_a_pipeline_that_cannot_edit_is_named(tiny_pipeline_folder: Path, tmp_path: Path) -> None:
    wrong = settings(tiny_pipeline_folder)
    with pytest.raises(WeightsMissing, match=r"StableDiffusionXLPipeline.*wants a diffusers pipeline that edits"):
        backend_of(wrong).load(wrong)
    (tmp_path / "model_index.json").write_text('{"_class_name": "Flux9Pipeline"}', encoding="utf-8")
    with pytest.raises(WeightsMissing, match=r"is a Flux9Pipeline, which diffusers .* does not have"):
        Editor(settings(tmp_path))
