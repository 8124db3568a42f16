import subprocess
import sys

import dagster as dg
import pydantic
import pytest

from imgdiff_assets.defs.role_resources import (
    ROLES,
    SegmenterResource,
    role_resource,
    role_resources,
)
from resources.captioner import CaptionerSettings
from resources.editor import EditorSettings
from resources.image_encoder import ImageEncoderSettings
from resources.image_generator import ImageGeneratorSettings
from resources.image_text_encoder import ImageTextEncoder, ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcherSettings
from resources.inpainter import InpainterSettings
from resources.loading import devices
from resources.pair_generator import PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.segmenter import SegmenterSettings
from resources.verifier import VerifierSettings
from resources.witness import WitnessSettings


class Models(pydantic.BaseModel):
    prompt_rewriter: PromptRewriterSettings = PromptRewriterSettings(
        model="miniature:prompt_rewriter", prompt="{caption}", temperature=0.5
    )
    pair_generator: PairGeneratorSettings = PairGeneratorSettings(model="miniature:pair_generator", image_size=64)
    image_text_encoder: ImageTextEncoderSettings = ImageTextEncoderSettings(model="miniature:image_text_encoder")
    image_text_matcher: ImageTextMatcherSettings = ImageTextMatcherSettings(model="miniature:image_text_matcher")
    segmenter: SegmenterSettings = SegmenterSettings(model="miniature:segmenter", points_per_side=5)
    captioner: CaptionerSettings = CaptionerSettings(model="miniature:captioner", max_new_tokens=9)
    inpainter: InpainterSettings = InpainterSettings(model="miniature:inpainter", prompt="nothing")
    verifier: VerifierSettings = VerifierSettings(model="miniature:verifier")
    witness: WitnessSettings = WitnessSettings(model="miniature:captioner")
    image_encoder: ImageEncoderSettings = ImageEncoderSettings(model="facebook/dinov3-vitb16-pretrain-lvd1689m")
    editor: EditorSettings = EditorSettings(model="miniature:editor")
    image_generator: ImageGeneratorSettings = ImageGeneratorSettings(model="miniature:pair_generator")


@pytest.fixture
def job():
    """A job whose one asset returns the settings of its segmenter."""

    @dg.asset
    def settings(segmenter: SegmenterResource) -> dict[str, object]:
        return segmenter.settings.model_dump()

    definitions = dg.Definitions(assets=[settings], resources=role_resources(Models()))
    return definitions.resolve_implicit_global_asset_job_def()


def run(job, **config):
    run_config = {"resources": {"segmenter": {"config": config}}} if config else {}
    return job.execute_in_process(run_config=run_config).output_for_node("settings")


def test_a_run_has_the_recipe_s_settings_and_what_the_launchpad_overrides(job):
    recipe = Models().segmenter.model_dump()
    assert run(job) == recipe
    assert run(job, pred_iou_threshold=0.5) == recipe | {"pred_iou_threshold": 0.5}


def test_an_unknown_or_impossible_setting_fails_before_anything_runs(job):
    with pytest.raises(dg.DagsterInvalidConfigError, match="points_per_sid"):
        run(job, points_per_sid=3)
    with pytest.raises(dg.DagsterResourceFunctionError, match="segmenter"):
        run(job, points_per_side=0)


def test_each_role_has_a_resource_of_its_settings():
    resources = role_resources(Models())
    assert resources.keys() == ROLES.keys() == Models.model_fields.keys()
    for name, resource in resources.items():
        assert isinstance(resource, ROLES[name])
        assert resource.settings == getattr(Models(), name)


@pytest.mark.parametrize("name", ROLES)
def test_the_launchpad_shows_every_setting_with_its_description_and_the_recipe_s_value_and_none_as_default(name):
    settings = getattr(Models(), name)
    shown = role_resource(settings).to_config_schema().as_field().config_type.fields
    assert shown.keys() == type(settings).model_fields.keys()
    for field, value in settings:
        described = f"{type(settings).model_fields[field].description} The recipe has {value!r}."
        assert shown[field].description == described
        assert shown[field].default_value is None


def test_a_resource_loads_its_model_once_and_only_when_it_is_opened():
    devices.unload_all()
    resource = role_resource(Models().image_text_encoder)
    role = f"{ImageTextEncoder.__module__}.{ImageTextEncoder.__qualname__}"

    def loads():
        return devices.uses()[role].loads if role in devices.uses() else 0

    before = loads()
    encoder = resource.open()
    assert isinstance(encoder, ImageTextEncoder)
    assert encoder is role_resource(Models().image_text_encoder).open()
    assert loads() == before + 1
    devices.unload_all()


def test_definitions_load_no_model_library():
    libraries = ("torch", "torchvision", "diffusers", "transformers", "open_clip", "segment_anything")
    program = (
        f"import sys, imgdiff_assets.defs.role_resources; print([name for name in {libraries} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
