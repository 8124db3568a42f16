"""What is known of the models of the shipped recipes before they are fetched: how large they are, on what terms.

The numbers of parameters are those of the published configurations, which the tests build without allocating them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from resources.loading.weights import ITEM_SIZES, MINIATURE_PREFIX


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model: parameters, the type they are published in, and licence (whether for `research` only)."""

    parameters: int
    stored: Literal["float32", "float16", "bfloat16"]
    licence: str
    also_half: bool = False
    research: bool = False

    def download_bytes(self, dtype: str) -> int:
        """What is fetched for a role that runs it in `dtype`."""
        half = self.also_half and dtype == "float16"
        return self.parameters * ITEM_SIZES["float16" if half else self.stored]

    def memory_bytes(self, dtype: str) -> int:
        """What its weights take once they are loaded in `dtype`."""
        return self.parameters * ITEM_SIZES[dtype]


KNOWN_MODELS: dict[str, KnownModel] = {
    "stabilityai/stable-diffusion-xl-base-1.0": KnownModel(
        3_468_837_867, "float32", "CreativeML Open RAIL++-M", also_half=True
    ),
    "stabilityai/sdxl-turbo": KnownModel(
        3_468_837_867, "float32", "Stability AI Non-Commercial Research", also_half=True, research=True
    ),
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": KnownModel(
        3_468_852_267, "float32", "CreativeML Open RAIL++-M", also_half=True
    ),
    "timm/vit_base_patch32_clip_224.openai": KnownModel(151_277_313, "float32", "MIT"),
    "Salesforce/blip-itm-large-coco": KnownModel(446_128_642, "float32", "BSD-3-Clause"),
    "sam_vit_b_01ec64.pth": KnownModel(93_735_472, "float32", "Apache-2.0"),
    "sam_vit_l_0b3195.pth": KnownModel(312_342_832, "float32", "Apache-2.0"),
    "sam_vit_h_4b8939.pth": KnownModel(641_090_608, "float32", "Apache-2.0"),
    "facebook/sam2.1-hiera-large": KnownModel(216_924_865, "float32", "Apache-2.0"),
    "facebook/sam3": KnownModel(840_376_374, "float32", "SAM License (not open source)"),
    "google/siglip2-base-patch16-224": KnownModel(375_187_970, "float32", "Apache-2.0"),
    "google/siglip2-so400m-patch14-384": KnownModel(1_136_008_498, "float32", "Apache-2.0"),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": KnownModel(85_660_416, "float32", "DINOv3 License (custom)"),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": KnownModel(303_129_600, "float32", "DINOv3 License (custom)"),
    "lmsys/vicuna-13b-v1.5": KnownModel(13_015_864_320, "float16", "Llama 2 Community"),
    "llava-hf/llava-v1.6-vicuna-7b-hf": KnownModel(7_063_431_168, "float16", "Llama 2 Community"),
    "llava-hf/llava-v1.6-vicuna-13b-hf": KnownModel(13_351_499_776, "float16", "Llama 2 Community"),
    "Qwen/Qwen3-4B-Instruct-2507": KnownModel(4_022_468_096, "bfloat16", "Apache-2.0"),
    "Qwen/Qwen3-VL-8B-Instruct": KnownModel(8_767_123_696, "bfloat16", "Apache-2.0"),
    # Pipelines count with their text encoders, which take most of some.
    "black-forest-labs/FLUX.2-klein-4B": KnownModel(7_982_058_787, "bfloat16", "Apache-2.0"),
    "Tongyi-MAI/Z-Image-Turbo": KnownModel(10_261_196_515, "bfloat16", "Apache-2.0"),
    "meituan-longcat/LongCat-Image-Edit": KnownModel(14_646_655_203, "bfloat16", "Apache-2.0"),
    "Qwen/Qwen-Image": KnownModel(28_849_460_275, "bfloat16", "Apache-2.0"),
    "Qwen/Qwen-Image-Edit-2511": KnownModel(28_849_460_275, "bfloat16", "Apache-2.0"),
    "black-forest-labs/FLUX.1-Kontext-dev": KnownModel(
        16_870_599_139, "bfloat16", "FLUX.1 [dev] Non-Commercial", research=True
    ),
    "diffusers/sdxl-instructpix2pix-768": KnownModel(3_468_849_387, "float32", "CreativeML Open RAIL++-M"),
    "stabilityai/stable-diffusion-3.5-medium": KnownModel(7_907_612_003, "bfloat16", "Stability AI Community"),
}


def is_for_research(model: str) -> bool:
    """Whether the terms of a model, as far as they are known here, allow no commercial use."""
    known = KNOWN_MODELS.get(model)
    return known is not None and known.research


AGREEMENTS: dict[str, str] = {
    "miniature:verifier": "AUC 0.98 to 1.00 between malformed and right drawings of held-out scenes "
    "(python -m benchmarks.plausibility)"
}
"""How far verifiers agree with truth or people, by the model: the figure, and where it was measured."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Those of one encoder, by the recipe's key, and how they were found."""

    values: Mapping[str, float]
    found: str


THRESHOLDS: dict[str, Thresholds] = {
    "timm/vit_base_patch32_clip_224.openai": Thresholds(
        {
            "filtered_pairs.min_similarity": 0.90,
            "filtered_pairs.max_similarity": 0.98,
            "bounding_boxes.max_region_similarity": 0.85,
            "captions.max_caption_similarity": 0.85,
        },
        "the ablation of the paper, by what models trained on the samples did (arXiv 2408.04594)",
    ),
    "miniature:image_text_encoder": Thresholds(
        {"filtered_pairs.min_similarity": 0.0, "filtered_pairs.max_similarity": 0.995},
        "on drawn scenes, whose differences are known (python -m benchmarks.miniature)",
    ),
}
"""The thresholds on cosines of the encoders that have any: another encoder has another scale."""


NOT_STATED = "how far its scores agree with truth or people is not stated, so they reject nothing"


def words_drawn(model: str) -> frozenset[str] | None:
    """The words of the captions that an image model was trained on; None for one that takes any."""
    if not model.startswith(MINIATURE_PREFIX):
        return None
    from resources.miniature.vocabulary import CAPTION_WORDS

    return CAPTION_WORDS
