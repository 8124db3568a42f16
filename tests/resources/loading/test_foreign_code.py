"""Nothing that a checkpoint brings is ever run: each kind of model, with code where its library would look for it."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.architectures import save
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.loading import devices
from resources.loading.failures import ModelUnavailable
from resources.pair_generator import PairGenerator, PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriter, PromptRewriterSettings
from resources.segmenter import Segmenter, SegmenterSettings

LLM, CLIP = "Qwen/Qwen3-4B-Instruct-2507", "timm/vit_base_patch32_clip_224.openai"
SDXL, SAM = "stabilityai/stable-diffusion-xl-base-1.0", "sam_vit_b_01ec64.pth"
PICKLED = r"pickled weights hold more than tensors, .*: take a model that is published as safetensors\."
BRINGS_CODE = (
    r"it brings code of its own, which would be run: take a model whose classes transformers and diffusers have"
)


class Trap:
    """Unpickled as code that leaves a file behind."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sprung),)


@pytest.fixture
def sprung(tmp_path: Path) -> Any:
    """Where a trap leaves its mark; a test that leaves one fails."""
    mark = tmp_path / "sprung"
    yield mark
    devices.unload_all()
    assert not mark.exists()


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def write_code(file: Path, sprung: Path) -> None:
    file.write_text(
        f"import os\nos.mkdir({str(sprung)!r})\nclass Evil: pass\nclass EvilConfig: pass\n", encoding="utf-8"
    )


@pytest.mark.parametrize("dump", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickled_language_model_with_code(dump: Callable[[Any, Path], None], tmp_path: Path, sprung: Path) -> None:
    folder = save(LLM, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    dump({"model.norm.weight": Trap(sprung)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=PICKLED):
        devices.load(PromptRewriter, PromptRewriterSettings(model=str(folder), prompt="{caption}"))


def test_a_pickled_encoder_with_code(tmp_path: Path, sprung: Path) -> None:
    folder = save(CLIP, tmp_path / "model")
    (folder / "open_clip_model.safetensors").unlink()
    torch.save({"logit_scale": Trap(sprung)}, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=PICKLED):
        devices.load(ImageTextEncoder, ImageTextEncoderSettings(model=str(folder)))


def test_a_pickled_segmenter_with_code(tmp_path: Path, sprung: Path) -> None:
    file = tmp_path / SAM
    torch.save({"mask_decoder": Trap(sprung)}, file)
    with pytest.raises(ModelUnavailable, match=PICKLED):
        devices.load(Segmenter, SegmenterSettings(model=str(file)))


@pytest.mark.parametrize("known", [False, True])
def test_a_language_model_with_classes_of_its_own(known: bool, tmp_path: Path, sprung: Path) -> None:
    folder = save(LLM, tmp_path / "model")
    write_code(folder / "evil.py", sprung)
    own = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
    change(folder / "config.json", auto_map=own, **({} if known else {"model_type": "evil"}))
    change(folder / "tokenizer_config.json", auto_map=own)
    settings = PromptRewriterSettings(model=str(folder), prompt="{caption}", max_new_tokens=2)
    if known:
        # What transformers knows it runs by its own classes.
        assert devices.load(PromptRewriter, settings).rewrite(["a"], [0])
    else:
        with pytest.raises(ModelUnavailable, match=BRINGS_CODE):
            devices.load(PromptRewriter, settings)


def test_a_pipeline_with_classes_of_its_own(tmp_path: Path, sprung: Path) -> None:
    folder = save(SDXL, tmp_path / "model")
    change(folder / "model_index.json", unet=["evil", "Evil"])
    for place in (folder, folder / "unet"):
        write_code(place / "evil.py", sprung)
    with pytest.raises(ModelUnavailable, match=BRINGS_CODE):
        devices.load(PairGenerator, PairGeneratorSettings(model=str(folder)))
