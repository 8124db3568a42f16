"""The models of a recipe: a section for each role."""

from imgdiff_assets.recipe.keys import section_in
from imgdiff_assets.stages.settings import StageSettings, off_unless_named
from resources.captioner import CaptionerSettings
from resources.editor import EditorSettings
from resources.image_encoder import ImageEncoderSettings
from resources.image_generator import ImageGeneratorSettings
from resources.image_text_encoder import ImageTextEncoderSettings
from resources.image_text_matcher import ImageTextMatcherSettings
from resources.inpainter import InpainterSettings
from resources.loading.settings import ModelSettings
from resources.pair_generator import PairGeneratorSettings
from resources.prompt_rewriter import PromptRewriterSettings
from resources.segmenter import SegmenterSettings
from resources.verifier import VerifierSettings
from resources.witness import WitnessSettings


class RoleModels(StageSettings):
    """The model of each role."""

    prompt_rewriter: PromptRewriterSettings
    pair_generator: PairGeneratorSettings
    image_text_encoder: ImageTextEncoderSettings
    image_text_matcher: ImageTextMatcherSettings
    segmenter: SegmenterSettings
    captioner: CaptionerSettings
    inpainter: InpainterSettings = InpainterSettings(model="stabilityai/sdxl-turbo")
    image_encoder: ImageEncoderSettings | None = off_unless_named(
        "Compares image pairs and regions where a recipe names it; without, the image-text encoder does."
    )
    verifier: VerifierSettings | None = off_unless_named(
        "Whatever says how right pictures look; `filtered_pairs.plausibility` asks it."
    )
    witness: WitnessSettings | None = off_unless_named(
        "A captioner beside the captioner; `captions.witness` asks it what the regions show."
    )

    editor: EditorSettings | None = off_unless_named(
        "Whatever changes images as it is told; `image_pairs.method: edit` asks it."
    )
    image_generator: ImageGeneratorSettings | None = off_unless_named(
        "Whatever draws images of captions; `image_pairs.method` asks it for `edit` and `text_pair`."
    )

    @classmethod
    def settings_class(cls, role: str) -> type[ModelSettings]:
        """The class of a role's settings. Raises KeyError for what is no role."""
        kind = section_in(cls.model_fields[role].annotation)
        assert kind is not None
        assert issubclass(kind, ModelSettings)
        return kind
