"""Every model of the shipped recipes: its published configuration, and the way from its published files to answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segment_anything
import torch

from benchmarks.architectures import ARCHITECTURES, parameter_counts, save, small_sam
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.captioner import Captioner, CaptionerSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcher, ImageTextMatcherSettings
from resources.inpainter import Inpainter, InpainterSettings
from resources.loading import weights
from resources.loading.known_models import KNOWN_MODELS
from resources.pair_generator import PairGenerator, PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.segmenter import Segmenter, SegmenterSettings

# Of the scheduler that SDXL is published with, in diffusers 0.42.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

PUBLISHED = {
    "stabilityai/stable-diffusion-xl-base-1.0": {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    },
    "stabilityai/sdxl-turbo": 3_468_837_867,
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": 3_468_837_867 + 5 * 320 * 3 * 3,
    "timm/vit_base_patch32_clip_224.openai": 151_277_313,
    "Salesforce/blip-itm-large-coco": 446e6,
    "sam_vit_b_01ec64.pth": 93_735_472,
    "sam_vit_l_0b3195.pth": 312_342_832,
    "sam_vit_h_4b8939.pth": 641_090_608,
    "lmsys/vicuna-13b-v1.5": 13_015_864_320,
    "llava-hf/llava-v1.6-vicuna-7b-hf": 7.06e9,
    "llava-hf/llava-v1.6-vicuna-13b-hf": 13.35e9,
    "Qwen/Qwen3-4B-Instruct-2507": 4_022_468_096,
    "Qwen/Qwen3-VL-8B-Instruct": 8.77e9,
    # Of a denoiser, a text encoder and an autoencoder, each counted by its publisher.
    "black-forest-labs/FLUX.2-klein-4B": {
        "transformer": 3_875_544_576,
        "vae": 84_046_115,
        "text_encoder": 4_022_468_096,
    },
    "Tongyi-MAI/Z-Image-Turbo": 6_154_908_736 + 83_819_683 + 4_022_468_096,
    "meituan-longcat/LongCat-Image-Edit": 6_270_668_864 + 83_819_683 + 8_292_166_656,
    "Qwen/Qwen-Image": 20_430_401_088 + 126_892_531 + 8_292_166_656,
    "Qwen/Qwen-Image-Edit-2511": 20_430_401_088 + 126_892_531 + 8_292_166_656,
    "black-forest-labs/FLUX.1-Kontext-dev": {
        "transformer": 11_901_408_320,
        "vae": 83_819_683,
        "text_encoder": 123_060_480,
        "text_encoder_2": 4_762_310_656,
    },
    "diffusers/sdxl-instructpix2pix-768": 3_468_837_867 + 4 * 320 * 3 * 3,
    "stabilityai/stable-diffusion-3.5-medium": 2_243_171_520 + 83_819_683 + 123_650_304 + 694_659_840 + 4_762_310_656,
    "google/siglip2-base-patch16-224": 375_187_970,
    "google/siglip2-so400m-patch14-384": 1_136_008_498,
    "facebook/dinov3-vitb16-pretrain-lvd1689m": 85.7e6,
    "facebook/dinov3-vitl16-pretrain-lvd1689m": 303_129_600,
    # The publisher counts 224.4 million with the memory of videos, and 848 million with the tracker's.
    "facebook/sam2.1-hiera-large": 216_924_865,
    "facebook/sam3": 840_376_374,
}
"""Parameters as their publishers and their users count them; to three digits where only those are known."""

TEXTS = ["a red ball", "a cat and a very long sentence about it, indeed", "x", "dogs"]
SAVED: dict[str, Path] = {}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The small form of an architecture, as its publisher lays it out."""
    root = tmp_path_factory.mktemp("architectures")

    def get(name: str) -> Path:
        if name not in SAVED:
            SAVED[name] = save(name, root / name.replace("/", "--"))
        return SAVED[name]

    return get


@pytest.fixture(scope="module")
def images() -> list[list[np.ndarray]]:
    """Questions about one image or two, of many shapes."""
    rng = np.random.default_rng(0)
    shapes = [[(16, 16)], [(20, 70), (64, 30)], [(33, 47)], [(90, 20), (8, 8)], [(24, 24)]]
    return [[rng.integers(0, 255, (*shape, 3), dtype=np.uint8) for shape in group] for group in shapes]


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_published_configuration_has_the_known_number_of_parameters(name: str) -> None:
    counts = parameter_counts(name)
    expected = PUBLISHED[name]
    if isinstance(expected, dict):
        assert counts == expected
    else:
        assert sum(counts.values()) == (expected if isinstance(expected, int) else pytest.approx(expected, rel=1e-3))
    assert KNOWN_MODELS[name].parameters == sum(counts.values())


@pytest.mark.parametrize("recipe", ["paper", "modern", "small", "served"])
def test_all_models_of_the_shipped_recipes_are_known(recipe: str) -> None:
    models = load_recipe(recipe).models
    named = [settings for role in type(models).model_fields if (settings := getattr(models, role)) is not None]
    assert {settings.model for settings in named} <= KNOWN_MODELS.keys()


def test_the_encoder_s_name_is_the_one_that_open_clip_publishes() -> None:
    from open_clip.pretrained import get_pretrained_cfg

    model = load_recipe("paper").models.image_text_encoder.model
    assert get_pretrained_cfg("ViT-B-32-quickgelu", "openai")["hf_hub"].rstrip("/") == model


def test_stable_diffusion_xl_makes_a_pair(saved: Callable[[str], Path]) -> None:
    folder = saved("stabilityai/stable-diffusion-xl-base-1.0")
    settings = PairGeneratorSettings(model=str(folder), image_size=64, num_inference_steps=2)
    source, target = PairGenerator(settings).generate(["a red ball"], ["a red cat"], [1])
    assert source.shape == target.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("name", ["stabilityai/sdxl-turbo", "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"])
def test_both_kinds_of_inpainting_model_erase(
    name: str, saved: Callable[[str], Path], images: list[list[np.ndarray]]
) -> None:
    settings = InpainterSettings(model=str(saved(name)), image_size=64, num_inference_steps=2)
    (image,) = images[2]
    mask = np.zeros(image.shape[:2], bool)
    mask[4:20, 4:20] = True
    (erased,) = Inpainter(settings).erase([image], [mask], [0])
    assert np.array_equal(erased != image, (erased != image) & mask[..., None])
    assert (erased != image).any()


def test_clip_encodes(saved: Callable[[str], Path], images: list[list[np.ndarray]]) -> None:
    encoder = ImageTextEncoder(ImageTextEncoderSettings(model=str(saved("timm/vit_base_patch32_clip_224.openai"))))
    vectors = encoder.encode_images([image for group in images for image in group])
    assert vectors.shape == (7, 32)
    assert encoder.encode_texts(TEXTS).shape == (4, 32)


def test_blip_matches(saved: Callable[[str], Path], images: list[list[np.ndarray]]) -> None:
    matcher = ImageTextMatcher(ImageTextMatcherSettings(model=str(saved("Salesforce/blip-itm-large-coco"))))
    itc, itm = matcher.match([images[0][0], images[2][0]], ["a red ball", "tree"])
    assert np.all(np.abs(itc) <= 1)
    assert np.all((itm > 0) & (itm < 1))


@pytest.mark.parametrize("kind", ["vit_b", "vit_l", "vit_h"])
def test_segment_anything_proposes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: list[list[np.ndarray]]
) -> None:
    monkeypatch.setitem(segment_anything.sam_model_registry, kind, small_sam)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (name,) = [name for name in weights.CHECKPOINTS if kind in name]
    save(name, weights.checkpoint_folder())
    settings = SegmenterSettings(model=name, points_per_side=2, pred_iou_threshold=0.0, stability_threshold=0.0)
    ((boxes, scores),) = Segmenter(settings).propose(images[0])
    assert len(boxes) == len(scores)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", ["lmsys/vicuna-13b-v1.5", "Qwen/Qwen3-4B-Instruct-2507"])
def test_a_rewrite_does_not_depend_on_its_neighbours(
    name: str, temperature: float, saved: Callable[[str], Path]
) -> None:
    def rewrites(batch_size: int, texts: list[str]) -> list[str]:
        settings = PromptRewriterSettings(
            model=str(saved(name)),
            prompt="Say: {caption}",
            max_new_tokens=16,
            temperature=temperature,
            batch_size=batch_size,
        )
        return PromptRewriter(settings).rewrite(texts, [len(text) for text in texts])

    alone = rewrites(1, TEXTS)
    assert rewrites(4, TEXTS) == alone == rewrites(3, TEXTS[::-1])[::-1]
    assert len(set(alone)) == len(TEXTS)


@pytest.mark.parametrize("name", ["llava-hf/llava-v1.6-vicuna-7b-hf", "Qwen/Qwen3-VL-8B-Instruct"])
def test_a_caption_does_not_depend_on_its_neighbours(
    name: str, saved: Callable[[str], Path], images: list[list[np.ndarray]]
) -> None:
    questions = ["what?", "a long question about both images, is it not", "hm", "left or right", "x"]

    def answers(batch_size: int, step: int) -> list[str]:
        settings = CaptionerSettings(model=str(saved(name)), max_new_tokens=16, batch_size=batch_size)
        return Captioner(settings).answer(images[::step], questions[::step])

    alone = answers(1, 1)
    assert answers(5, 1) == alone == answers(2, -1)[::-1]
    assert len(set(alone)) == len(images)


@pytest.mark.parametrize("name", ["llava-hf/llava-v1.6-vicuna-7b-hf", "Qwen/Qwen3-VL-8B-Instruct"])
def test_a_caption_depends_on_what_is_shown(
    name: str, saved: Callable[[str], Path], images: list[list[np.ndarray]]
) -> None:
    captioner = Captioner(CaptionerSettings(model=str(saved(name)), max_new_tokens=16))
    one, other, swapped = captioner.answer([images[1], images[1][:1], images[1][::-1]], ["which?"] * 3)
    assert len({one, other, swapped}) == 3


def test_answers_end_before_a_stop_string(saved: Callable[[str], Path]) -> None:
    def rewrite(**fields: Any) -> str:
        settings = PromptRewriterSettings(
            model=str(saved("lmsys/vicuna-13b-v1.5")), prompt="{caption}", temperature=0, max_new_tokens=24, **fields
        )
        return PromptRewriter(settings).rewrite(["a red ball"], [0])[0]

    whole = rewrite()
    stop = whole[6:8]
    assert rewrite(stop=["never said", stop]) == whole[: whole.index(stop)].strip()


def test_full_precision_is_saved_as_such_and_half_as_a_variant(tmp_path: Path) -> None:
    folder = save("stabilityai/stable-diffusion-xl-base-1.0", tmp_path, dtype=torch.float16)
    assert list((folder / "unet").glob("*.fp16.safetensors"))
    assert PairGenerator(PairGeneratorSettings(model=str(folder), dtype="bfloat16")).pipeline.dtype == torch.bfloat16
