"""What the shipped recipes promise of memory and licences, counted from the published configurations."""

import pytest

from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.setup.model_list import distinct, model_states
from resources.loading.devices import ACTIVATION_SHARE
from resources.loading.known_models import is_for_research
from resources.loading.settings import ServableSettings

CARD = 24 * 2**30
SMALL_FOR_A_CPU = 2e9


def test_each_role_of_small_fits_a_card_of_24_gb_alone() -> None:
    recipe = load_recipe("small")
    sizes = {state.role: state.memory_bytes for state in model_states(recipe)}
    assert set(sizes) >= {"prompt_rewriter", "editor", "image_generator", "segmenter", "captioner"}
    for role, size in sizes.items():
        assert size is not None
        assert size <= (1 - ACTIVATION_SHARE) * CARD, role
    editor, generator = recipe.role("editor"), recipe.role("image_generator")
    assert editor.shares_weights
    assert (editor.model, editor.dtype) == (generator.model, generator.dtype), "else both are loaded for each batch"


def test_served_loads_nothing_large() -> None:
    recipe = load_recipe("served")
    served = {role for role, own in recipe.roles.items() if isinstance(own, ServableSettings) and own.base_url}
    assert served == {"prompt_rewriter", "captioner", "editor", "image_generator"}
    here = {role: own for role, own in recipe.roles.items() if role in recipe.roles.keys() - served}
    asked = {"image_text_encoder", "image_text_matcher", "segmenter"}
    for role in asked:
        assert here[role].dtype == "float32", "half precision is slow on a CPU"
    sizes = {state.role: state.memory_bytes for state in model_states(load_recipe("small")) if state.role in asked}
    assert all(size is not None and size < SMALL_FOR_A_CPU for size in sizes.values())


def test_what_two_roles_share_is_fetched_once() -> None:
    states = model_states(load_recipe("small"))
    once = distinct(states)
    assert len(states) == len(once) + 1
    assert [state.model for state in once].count("black-forest-labs/FLUX.2-klein-4B") == 1


@pytest.mark.parametrize("name", ["modern", "small", "served"])
def test_no_model_is_for_research_only(name: str) -> None:
    assert not [own.model for own in load_recipe(name).roles.values() if is_for_research(own.model)]
    assert is_for_research("black-forest-labs/FLUX.1-Kontext-dev")
    assert load_recipe(name, ["models.editor.model=black-forest-labs/FLUX.1-Kontext-dev"]), "by name it is allowed"
