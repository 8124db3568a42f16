"""What `dagster dev`, the web UI and `imgdiff run` load: the graph over the home and the recipe of the environment."""

from imgdiff_assets.common.own_resources import require_own_resources

require_own_resources()  # before what follows imports them

import os

import dagster as dg

from imgdiff_assets.defs.home_resource import SAMPLES_ROOT
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.whole_graph import graph_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe


def build_definitions(home: Home, recipe: Recipe) -> dg.Definitions:
    """The graph over one home, with the values of one recipe; what it runs by itself reads the recipe anew."""
    graph = PlacedGraph(home, browser_url=os.environ.get("IMGDIFF_BROWSER_URL") or SAMPLES_ROOT)
    # One process for all stages of a run: a process per step would load every model again.
    return dg.Definitions.merge(graph_definitions(graph, recipe), dg.Definitions(executor=dg.in_process_executor))


defs = build_definitions(Home.from_environment(), load_recipe())
