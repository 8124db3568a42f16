"""A model of another kind than its role runs is told before it is loaded."""

import json
from pathlib import Path

import pytest

from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.backends.choice import backend_of
from resources.loading.failures import WeightsMissing
from resources.loading.model_kinds import WANTED, wrong_kind
from resources.loading.weights import MINIATURE_FOLDER

NAMED = ("verifier", "witness", "editor", "image_generator", "image_encoder")
ROLES = load_recipe("miniature", [f"models.{role}.model=miniature:{role}" for role in NAMED]).roles
FLUX = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}


def of(role: str, model: Path) -> str | None:
    return wrong_kind(ROLES[role].model_copy(update={"model": str(model)}), model)


SHIPPED = [role for role in WANTED if (MINIATURE_FOLDER / role).exists()]
"""The miniature has one captioner, and one that draws."""


@pytest.mark.parametrize("role", SHIPPED)
def test_a_role_takes_its_own_model_and_none_of_the_others(role: str) -> None:
    taken = {other for other in SHIPPED if of(role, MINIATURE_FOLDER / other) is None}
    # A pipeline of SDXL that was not trained to inpaint inpaints; a captioner also rewrites, and judges.
    also = {"inpainter": {"pair_generator"}, "prompt_rewriter": {"captioner"}, "verifier": {"captioner"}}
    assert taken == {role} | also.get(role, set())
    assert (of("witness", MINIATURE_FOLDER / role) is None) == (of("captioner", MINIATURE_FOLDER / role) is None)
    assert (of("image_generator", MINIATURE_FOLDER / role) is None) == (role == "pair_generator")


def test_what_it_is_and_what_is_wanted_are_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps(FLUX))
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "diffusion_pytorch_model.safetensors").touch()
    settings = ROLES["pair_generator"].model_copy(update={"model": str(tmp_path)})
    missing = backend_of(settings).presence(settings).missing
    assert missing is not None
    assert "is a diffusers pipeline (FluxPipeline), and the role pair_generator wants" in missing
    assert "StableDiffusionXLPipeline" in missing
    with pytest.raises(WeightsMissing, match="FluxPipeline"):
        backend_of(settings).load(settings)


@pytest.mark.parametrize(
    ("role", "architecture", "fits"),
    [
        ("prompt_rewriter", "Qwen3ForCausalLM", True),
        ("prompt_rewriter", "BertModel", False),
        ("captioner", "Qwen3VLForConditionalGeneration", True),
        ("captioner", "LlavaNextForConditionalGeneration", True),
        ("captioner", "Qwen3ForCausalLM", False),
        ("image_text_matcher", "BlipForConditionalGeneration", False),
        ("verifier", "Qwen2_5_VLForConditionalGeneration", True),
        ("verifier", "ViTForImageClassification", True),
        ("verifier", "ViTModel", False),
    ],
)
def test_transformers_models_are_known_by_their_class(
    role: str, architecture: str, fits: bool, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert (of(role, tmp_path) is None) == fits


def test_what_tells_nothing_of_itself_is_left_to_the_library(tmp_path: Path) -> None:
    assert {of(role, tmp_path) for role in WANTED} == {None}
    (tmp_path / "config.json").write_text("{")
    assert {of(role, tmp_path) for role in WANTED} == {None}
