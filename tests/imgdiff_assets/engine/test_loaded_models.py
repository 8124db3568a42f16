"""What models are known by: measurements that users have are found again by it, so it never changes."""

import pytest

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.role_models import RoleModels
from resources.loading.weights import MINIATURE_FOLDER

# As release 0.1.0 computed them.
IDENTITIES = {
    "prompt_rewriter": "288c8d377488776b667d5b17c66ed411b682a849eeab5e7ca19bbd190af106a2",
    "pair_generator": "8dc1a3be586cd6c731fe18a7069a9cbbce0393c98cd54e6f256104da5ef67748",
    "image_text_encoder": "467857c4324d8f000d9148e9e35901f5fcc7996ee96bdfd9f7ff7c1ddde4f0f8",
    "image_text_matcher": "ceddd7e4ffaca9c9500ff35347b1d18914a51f0e60fb6ec6b778ac921956f64d",
    "segmenter": "1f7997d69f738bfcb34bc19895cf95b60e73ab376e4c8b949412604ecb327eff",
    "captioner": "bb014e30bf78de86fab71e3b60f6846b1a0b1421762b0ae191d19e686b5db6cb",
    "inpainter": "9af79c0d087c1e27452f3bd5cf1e55db062c899eb7debf678489990681c18624",
    # As 0.2.0, which has it first.
    "verifier": "8e8831b5ffb263dfcb81416a8b01bf0f7668a19595fdaa51ba42ff54cc306fe6",
    "editor": "306d953724d9701191868089dcd7d8bdc8b78d6336586c59bfa6dfade94dd7c3",
}


def test_every_role_has_an_identity_to_keep() -> None:
    assert IDENTITIES.keys() == {role for role in RoleModels.model_fields if (MINIATURE_FOLDER / role).exists()}


@pytest.mark.parametrize("role", IDENTITIES)
def test_the_identities_of_the_miniature_s_models_are_kept(role: str) -> None:
    settings = load_recipe("miniature", ["verifier.model=miniature:verifier", "editor.model=miniature:editor"]).role(
        role
    )
    assert content_hash(LoadedModels({role: settings}, {}).identity(role)) == IDENTITIES[role]


def test_what_a_recipe_does_not_use_is_in_no_hash_of_it() -> None:
    for settings in load_recipe("miniature").roles.values():
        assert not {"backend", "backend_settings"} & settings.model_dump(mode="json").keys()
