"""Of the forms that weights are published in, the one is chosen that the libraries load."""

import shutil
from pathlib import Path

import pytest
import torch

from resources.loading import weights
from resources.loading.loaded_files import is_half, loaded_files, variant
from resources.loading.transformers_models import load_model

PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({"model.safetensors", "pytorch_model.bin"}, {"model.safetensors"}),
        ({"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "a.msgpack"}, {"*.bin"}),
        ({*PARTS, "model.safetensors.index.json", "pytorch_model.bin.index.json", "a.safetensors"}, {"model*"}),
        ({*PARTS, "model.safetensors.index.json", "model.safetensors"}, {"model.safetensors"}),
        ({"model.fp16.safetensors", "model.safetensors"}, {"model.safetensors"}),
        ({"model.fp16.safetensors", "pytorch_model.bin"}, {"model.fp16.safetensors"}),
        ({"open_clip_config.json", "open_clip_model.safetensors", "model.safetensors"}, {"open_clip_*"}),
        ({"open_clip_config.json", "model.safetensors"}, {"*"}),
        ({"config.json", "vocab.txt", "merges.txt", "chat_template.jinja"}, {"*"}),
        ({"code.py", "rust_model.ot", "README.md", "onnx/model.onnx", "4bit/model.safetensors"}, set()),
    ],
)
def test_of_several_forms_one_is_chosen(names: set[str], chosen: set[str]) -> None:
    expected = {name for name in names if any(Path(name).match(pattern) for pattern in chosen)}
    assert set(loaded_files(names, dtype="float16")) == expected
    assert set(loaded_files(names)) == expected


@pytest.mark.parametrize(
    ("dtype", "suffix"), [("float16", ".fp16.safetensors"), ("bfloat16", ".safetensors"), ("float32", ".safetensors")]
)
def test_of_a_pipeline_the_precision_is_chosen_by_the_type_it_is_run_in(dtype: str, suffix: str) -> None:
    unet, text = "unet/diffusion_pytorch_model", "text_encoder/model"
    names = [f"{stem}{end}" for stem in (unet, text) for end in (".safetensors", ".fp16.safetensors", ".bin")]
    only_full = "vae/diffusion_pytorch_model.safetensors"
    components = ("unet", "text_encoder", "vae")
    chosen = loaded_files([*names, only_full, "all.safetensors", "model_index.json"], components, dtype)
    assert set(chosen) == {"model_index.json", unet + suffix, text + suffix, only_full}


def test_a_pipeline_of_one_precision_is_run_in_any_type() -> None:
    assert variant(["unet/diffusion_pytorch_model.fp16.safetensors"], "float32") == "fp16"
    assert variant(["unet/diffusion_pytorch_model.safetensors", "vae/model.fp16.safetensors"], "float16") is None


def test_diffusers_takes_the_parts_where_transformers_takes_the_file() -> None:
    parts = [f"unet/diffusion_pytorch_{part}" for part in PARTS]
    assert loaded_files([*parts, "unet/diffusion_pytorch_model.safetensors"], ("unet",)) == parts


class TestTransformers:
    """What `from_pretrained` opens is what is chosen: whatever else is there is damaged."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(weights.MINIATURE_FOLDER / "prompt_rewriter", tmp_path / "model"))

    def embedding(self, folder: Path) -> torch.Tensor:
        from transformers import AutoModelForCausalLM

        weight: torch.Tensor = load_model(AutoModelForCausalLM, folder, "float32", "cpu").get_input_embeddings().weight
        return weight

    def split(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(
            folder / "parts", max_shard_size="100KB"
        )
        for file in (folder / "parts").glob("model*"):
            file.rename(folder / file.name)

    @pytest.mark.parametrize("beside", ["model.fp16.safetensors", "consolidated.safetensors", "pytorch_model.bin"])
    def test_the_whole_file_is_taken(self, folder: Path, beside: str) -> None:
        expected = self.embedding(folder)
        self.split(folder)
        for name in (beside, *(file.name for file in folder.glob("model-*"))):
            (folder / name).write_bytes(b"damaged")
        assert torch.equal(self.embedding(folder), expected)
        assert [file.name for file in weights.weight_files(folder)] == ["model.safetensors"]

    def test_the_parts_are_taken_without_it(self, folder: Path) -> None:
        expected = self.embedding(folder)
        self.split(folder)
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"damaged")
        assert torch.equal(self.embedding(folder), expected)
        chosen = [file.name for file in weights.files(folder) if file.name.startswith("model")]
        assert len(chosen) > 2
        assert chosen[-1] == "model.safetensors.index.json"

    def test_half_precision_is_taken_where_there_is_no_other(self, folder: Path) -> None:
        expected = self.embedding(folder)
        (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
        assert torch.equal(self.embedding(folder), expected)
        assert [is_half(file.name) for file in weights.weight_files(folder)] == [True]
