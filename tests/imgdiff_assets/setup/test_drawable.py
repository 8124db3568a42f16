"""Which captions a recipe can draw, told from what its models know."""

from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.setup.drawable import Drawable, known_words, remark_on_pairs
from resources.miniature.vocabulary import CAPTION_WORDS


def counted(recipe: Recipe, *captions: str) -> Drawable:
    drawable = Drawable(recipe)
    for caption in captions:
        drawable.add(caption)
    return drawable


def test_the_words_are_a_fact_of_the_models(miniature_recipe: Recipe) -> None:
    assert known_words(miniature_recipe) == set(miniature_recipe.prompt_pairs.known_words) == CAPTION_WORDS
    without = override_recipe(miniature_recipe, ["prompt_pairs.known_words=[]"])
    assert known_words(without) == CAPTION_WORDS
    fewer = override_recipe(miniature_recipe, ["prompt_pairs.known_words=[a, red, ball, quokka]"])
    assert known_words(fewer) == {"a", "red", "ball"}
    assert known_words(load_recipe("modern")) is None


def test_the_share_is_told_with_the_things_and_who_can(miniature_recipe: Recipe) -> None:
    drawable = counted(miniature_recipe, "A red ball on the grass.", "two dogs with a frisbee", "a DOG on the sofa")
    assert (drawable.captions, drawable.drawable) == (3, 1)
    assert drawable.to_text() == (
        "2 of 3 captions name things that the miniature recipe cannot draw (dog, dogs, frisbee, sofa); "
        "`--recipe modern` and `--recipe paper` and `--recipe served` and `--recipe small` can."
    )
    assert counted(miniature_recipe, "a red ball on the grass").to_text() == "The miniature recipe can draw it."
    assert counted(load_recipe("modern"), "two dogs", "a cat").to_text() == "The modern recipe can draw all 2."


def test_photographs_are_not_for_models_of_a_drawn_world(miniature_recipe: Recipe) -> None:
    assert "`--recipe modern`" in str(remark_on_pairs(miniature_recipe))
    assert remark_on_pairs(load_recipe("modern")) is None
