"""Every role on another device than the CPU, which `tests.simulated_device` simulates: all tensors are where they
have to be, and the results are those of the CPU."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.captioner import Captioner
from resources.editor import Editor, EditorSettings
from resources.image_generator import ImageGenerator, ImageGeneratorSettings
from resources.image_text_encoder import ImageTextEncoder
from resources.image_text_matcher import ImageTextMatcher
from resources.inpainter import Inpainter
from resources.miniature.scenes import draw_scene
from resources.pair_generator import PairGenerator
from resources.prompt_rewriter import PromptRewriter
from resources.segmenter import Segmenter
from resources.verifier import Verifier, VerifierSettings
from tests.simulated_device import TwoDevices, simulated_device

SCENES = [draw_scene(random.Random(seed)) for seed in range(3)]
IMAGES = [SCENES[0].image, SCENES[1].image[:40], SCENES[2].image]
MASK = np.zeros((64, 64), bool)
MASK[10:30, 5:30] = True
QUESTION = "what is this ?"


def _captions(captioner: Captioner) -> list[str]:
    """Of one image and of two, one of them asked about twice."""
    return captioner.answer([IMAGES[:1], IMAGES[1:], IMAGES[:1]], [QUESTION, "what is different ?", QUESTION])


def _pairs(generator: PairGenerator) -> tuple[np.ndarray, np.ndarray]:
    targets = ["a red star on the grass", "a blue ball on the grass"]
    return generator.generate(["a red ball on the grass"] * 2, targets, [1, 2])


SCENE = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
ROLES: dict[str, tuple[str, Any, Callable[[Any], Any], dict[str, Any]]] = {
    "prompt_rewriter": (
        "prompt_rewriter",
        PromptRewriter,
        lambda role: role.rewrite(["a red ball"] * 3, [1, 2, 3]),
        {},
    ),
    "pair_generator with everything": (
        "pair_generator",
        PairGenerator,
        _pairs,
        {
            "num_inference_steps": 4,
            "shared_steps": 0.3,
            "guidance_steps": 0.6,
            "inner_blocks_every": 2,
            "local_blend_threshold": 0.3,
            "changed_word_weight": 2.0,
        },
    ),
    "image_text_encoder": (
        "image_text_encoder",
        ImageTextEncoder,
        lambda role: [role.encode_images(IMAGES), role.encode_texts(["a red ball", "a cat"])],
        {},
    ),
    "image_text_matcher": (
        "image_text_matcher",
        ImageTextMatcher,
        lambda role: [*role.match(IMAGES, ["a red ball", "a cat", "a cat"])],
        {},
    ),
    "segmenter": ("segmenter", Segmenter, lambda role: role.propose(IMAGES), {}),
    "captioner": ("captioner", Captioner, _captions, {}),
    "inpainter": (
        "inpainter",
        Inpainter,
        lambda role: role.erase([IMAGES[0]], [MASK], [0]),
        {"num_inference_steps": 2},
    ),
    "editor": (
        "editor",
        Editor,
        lambda role: role.edit([SCENE], ["replace the red ball with a red cup"], [1]),
        {"num_inference_steps": 2},
    ),
    "image_generator": (
        "image_generator",
        ImageGenerator,
        lambda role: role.generate(["a red ball on the grass"], [1]),
        {"num_inference_steps": 2},
    ),
    "verifier": ("verifier", Verifier, lambda role: role.judge([[image] for image in IMAGES], [""] * 3), {}),
    "verifier that is asked": (
        "verifier",
        Verifier,
        lambda role: role.judge([IMAGES[:1], IMAGES[1:]], [QUESTION] * 2),
        {"model": "miniature:captioner"},
    ),
}

MODELS = {
    **load_recipe("miniature").roles,
    "verifier": VerifierSettings(model="miniature:verifier"),
    "editor": EditorSettings(model="miniature:editor", image_size=64),
    "image_generator": ImageGeneratorSettings(model="miniature:pair_generator", image_size=64),
}


def _assert_same(one: Any, other: Any) -> None:
    if isinstance(one, np.ndarray):
        whole_numbers = one.dtype == np.uint8
        np.testing.assert_allclose(one.astype(float), other, rtol=1e-4, atol=1 if whole_numbers else 1e-3)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for ours, theirs in zip(one, other, strict=True):
            _assert_same(ours, theirs)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-3)
    else:
        assert one == other


@pytest.mark.parametrize("name", ROLES)
def test_a_role_computes_there_what_it_computes_here(name: str) -> None:
    role, build, use, changes = ROLES[name]
    settings = MODELS[role].model_copy(update=changes)
    here = use(build(settings))
    with simulated_device() as device:
        there = use(build(settings.model_copy(update={"device": device})))
    _assert_same(here, there)


# Without two whose casts the simulation cannot follow: open_clip's through `.data`, and those of `torch.autocast`.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROLES if name not in ("image_text_encoder", "segmenter")])
def test_a_role_runs_there_in_half_precision(name: str) -> None:
    role, build, use, changes = ROLES[name]
    settings = MODELS[role].model_copy(update={**changes, "dtype": "bfloat16"})
    with simulated_device() as device:
        assert len(use(build(settings.model_copy(update={"device": device}))))


def test_the_simulation_objects_to_what_an_accelerator_would() -> None:
    with simulated_device() as device:
        away, here = torch.ones(2, 3, device=device), torch.ones(2, 3)
        assert (away + away).device.type == device
        with pytest.raises(TwoDevices, match=r"aten::add has tensors on the CPU \[\[2, 3\]\]"):
            away + here
        with pytest.raises(RuntimeError, match="numpy"):
            away.numpy()
        assert torch.equal((away * 2).cpu(), here * 2)
        away[0] = here[0] * 5
        assert away.sum().item() == 18
