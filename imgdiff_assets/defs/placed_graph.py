"""One graph as the code location has it: over which home, under which names, and by which recipe."""

from dataclasses import dataclass

from imgdiff_assets.defs.names import PLAIN, Names
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class PlacedGraph:
    """`recipe_name` is a shipped recipe or a YAML file; None is what `load_recipe` chooses.

    `browser_url` is where the pages of samples are; nothing for no links to them.
    """

    home: Home
    names: Names = PLAIN
    recipe_name: str | None = None
    browser_url: str = ""

    def recipe(self) -> Recipe:
        """The recipe as its file is now. Raises RecipeError."""
        return load_recipe(self.recipe_name)
