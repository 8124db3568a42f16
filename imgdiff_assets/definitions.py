"""What `dagster dev` and the web UI load: the graph over the home and the recipe of the environment."""

from imgdiff_assets.common.own_resources import require_own_resources

require_own_resources()  # before what follows imports them

from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe

defs = build_definitions(Home.from_environment(), load_recipe())
