"""Stages between image pairs and samples, run over one shard with a recipe's own models."""

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stages_of
from resources.captioner import Captioner
from resources.image_text_encoder import ImageTextEncoder
from resources.image_text_matcher import ImageTextMatcher
from resources.inpainter import Inpainter
from resources.loading import devices
from resources.pair_generator import PairGenerator
from resources.segmenter import Segmenter
from resources.witness import Witness

SHARD = "shard-000000"
STAGES = ("filtered_pairs", "bounding_boxes", "captions")

ROLES = {
    "pair_generator": PairGenerator,
    "image_text_encoder": ImageTextEncoder,
    "image_text_matcher": ImageTextMatcher,
    "segmenter": Segmenter,
    "captioner": Captioner,
    "inpainter": Inpainter,
    "witness": Witness,
}


def open_models(recipe: Recipe) -> LoadedModels:
    """The recipe's models, loaded on first use."""
    settings = {role: settings for role, settings in recipe.roles.items() if role in ROLES}
    openers = {role: (lambda role=role: devices.load(ROLES[role], settings[role])) for role in settings}
    return LoadedModels(settings, openers)


def run_stages(home: Home, recipe: Recipe, models: LoadedModels, names: Sequence[str] = STAGES) -> None:
    """The stages over the drawn pairs, with a bar for each measurement."""
    for stage in [stage for stage in stages_of(recipe) if stage.name in names]:
        with tqdm(disable=None, leave=False) as bar:

            def show(what: str, done: int, total: int, bar: Any = bar) -> None:
                bar.set_description_str(what, refresh=False)
                bar.total, bar.n = total, done
                bar.refresh()

            inputs = read_inputs(stage, home, SHARD)
            materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), models, "quality", progress=show)
