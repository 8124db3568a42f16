"""Distilled checkpoints: a few steps without guidance, under the scheduler that they were saved with."""

from pathlib import Path

import numpy as np
import pytest

from resources.pair_generator import PairGenerator, PairGeneratorSettings

# Some schedulers hand a tensor to numpy in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SOURCES = ["a red ball on the grass", "a blue house on the sand"]
TARGETS = ["a red star on the grass", "a blue house and a green tree on the sand"]
SEEDS = [7, 8]
# What is published with each kind of checkpoint, and the four steps that it is to take.
SCHEDULERS = {
    "LCMScheduler": ({"original_inference_steps": 50}, [999, 759, 499, 259]),
    "EulerAncestralDiscreteScheduler": ({"timestep_spacing": "trailing"}, [999, 749, 499, 249]),
    "EulerDiscreteScheduler": ({"timestep_spacing": "trailing"}, [999, 749, 499, 249]),
}


@pytest.fixture(
    scope="module",
    params=[
        "LCMScheduler",
        "EulerAncestralDiscreteScheduler",
        pytest.param("EulerDiscreteScheduler", marks=pytest.mark.slow),
    ],
)
def folder(
    request: pytest.FixtureRequest, tiny_pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny pipeline, saved with the scheduler of a distilled one."""
    import diffusers

    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(tiny_pipeline_folder, add_watermarker=False)
    changed, _ = SCHEDULERS[request.param]
    config = pipeline.scheduler.config | {"timestep_spacing": "leading", "prediction_type": "epsilon"} | changed
    pipeline.scheduler = getattr(diffusers, request.param).from_config(config)
    saved = tmp_path_factory.mktemp("distilled")
    pipeline.save_pretrained(saved)
    return saved


def generator(folder: Path, **fields: object) -> PairGenerator:
    few = {"model": str(folder), "image_size": 16, "num_inference_steps": 4, "guidance_scale": 0, "device": "cpu"}
    return PairGenerator(PairGeneratorSettings.model_validate(few | fields))


def test_steps_are_the_saved_schedulers_own_and_unguided(folder: Path) -> None:
    few, rows = generator(folder), []
    few.pipeline.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
    sources, targets = few.generate(SOURCES, TARGETS, SEEDS)
    assert few.pipeline.scheduler.timesteps.tolist() == SCHEDULERS[type(few.pipeline.scheduler).__name__][1]
    assert rows == [4] * 4
    assert (np.abs(sources.astype(int) - targets).mean(axis=(1, 2, 3)) > 0.02).all()


@pytest.mark.parametrize("shared_steps", [0, 0.5])
def test_both_sides_are_given_the_same_noise_at_every_step(folder: Path, shared_steps: float) -> None:
    # No edit holds, so nothing but the noise makes the two sides equal.
    few = generator(folder, cross_replace_steps=0, self_replace_steps=0, shared_steps=shared_steps)
    sources, targets = few.generate(SOURCES, SOURCES, SEEDS)
    assert np.abs(sources.astype(int) - targets).max() <= 1


def test_windows_are_whole_steps(folder: Path) -> None:
    few = generator(folder)

    def targets(**windows: float) -> np.ndarray:
        few.settings = few.settings.model_copy(update=windows)
        return few.generate(SOURCES, TARGETS, SEEDS)[1]

    three, one = targets(cross_replace_steps=0.75), targets(cross_replace_steps=0.25)
    np.testing.assert_array_equal(targets(cross_replace_steps=0.8), three)
    np.testing.assert_array_equal(targets(cross_replace_steps=0.2), one)
    assert (three != one).any()
    two = targets(self_replace_steps=0.5)
    np.testing.assert_array_equal(targets(self_replace_steps=0.4), two)
    assert (targets(self_replace_steps=0.3) != two).any()


def test_a_unet_that_is_told_the_weight_of_guidance(tiny_pipeline_folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    few = generator(tiny_pipeline_folder, guidance_scale=8)
    config = {**few.pipeline.unet.config, "time_cond_proj_dim": 8}
    few.pipeline.unet = UNet2DConditionModel.from_config(config).eval()
    sources, targets = few.generate(SOURCES, TARGETS, SEEDS)
    assert (sources != targets).any()
    few.settings = few.settings.model_copy(update={"shared_steps": 0.5})
    with pytest.raises(ValueError, match=r"told the weight of guidance.* set the field `shared_steps` to 0"):
        few.generate(SOURCES, TARGETS, SEEDS)
