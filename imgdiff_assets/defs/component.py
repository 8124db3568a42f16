"""The graph as a component of another Dagster project: `dg` finds it, and a `defs.yaml` of a few lines places it."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from imgdiff_assets.defs.names import Names
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.whole_graph import graph_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes


class ImgDiffComponent(dg.Component, dg.Model, dg.Resolvable):
    """Image-difference training data: captions or pairs to a fine-tune set, a table of samples with their images.

    Several of them stand side by side when each has a home and a key prefix of its own.
    """

    home: str = Field(description="The folder of captions, ledger and releases; seen from the file if not absolute.")
    recipe: str = Field("miniature", description="A shipped recipe, or a YAML file seen from this one.")
    key_prefix: list[str] = Field(
        [],
        description="Before the keys of all assets, and joined by `_` before the names of jobs, sensors, schedules, "
        "resources and the set of shards.",
    )
    browser_url: str = Field("", description="Where `imgdiff browse` serves the samples, for links to them.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Raises RecipeError."""
        here = Path(context.path)
        recipe = self.recipe if self.recipe in shipped_recipes() else str(here / Path(self.recipe).expanduser())
        home = Home((here / Path(self.home).expanduser()).resolve())
        graph = PlacedGraph(home, Names(tuple(self.key_prefix)), recipe, self.browser_url)
        return graph_definitions(graph, load_recipe(recipe))
