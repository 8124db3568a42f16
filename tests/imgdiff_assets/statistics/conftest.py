"""A sound home with rows of every kind, from every way in, where all passes that can."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgdiff_assets.engine.given_pairs import stage_of_shard
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ledger.images import pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.tasks import TASKS
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from resources.miniature.scene_pairs import draw_pair

MOST = 1_000


def loosest(recipe: Recipe) -> Iterator[str]:
    """Every threshold of every filter where it lets the most pass, but for the two that limit each other."""
    for stage in (stage for stage in STAGES if stage.name != "removal_captions"):
        settings = stage.settings(recipe)
        for step in stage.filters:
            # A section of its own is off unless a recipe names it.
            if step.score and step.threshold and not step.section:
                bounds = {
                    type(bound).__name__: bound for bound in type(settings).model_fields[step.threshold].metadata
                }
                if step.keeps_larger(settings):
                    yield f"{stage.name}.{step.threshold}={bounds['Ge'].ge}"
                else:
                    yield f"{stage.name}.{step.threshold}={bounds['Le'].le if 'Le' in bounds else MOST}"


class Proud:
    """A segmenter whose masks are predicted to be better than they can be, as Segment Anything's are at times."""

    def __init__(self, artist: Any) -> None:
        self._artist = artist

    def propose(self, images: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(boxes, 1.07 * qualities) for boxes, qualities in self._artist.propose(images)]


def add_pairs(home: Home, folder: Path, artist: Any) -> None:
    """Pairs that name no objects, of which two share an image; and others that name them."""
    rng = random.Random(0)
    (folder / "photos").mkdir(parents=True)
    (folder / "named").mkdir()
    scenes = [draw_pair(rng, "replaced").scenes for _ in range(6)]
    for pair in scenes:
        for scene in pair:
            artist.drawn[pixel_hash(scene.image)] = scene
    for number, (source, target) in enumerate([*scenes[:3], (scenes[0][0], scenes[3][1])]):
        Image.fromarray(source.image).save(folder / "photos" / f"pair{number}_0.png")
        Image.fromarray(target.image).save(folder / "photos" / f"pair{number}_1.png")
    lines = []
    for number, (source, target) in enumerate(scenes[3:]):
        names = [f"named/{number}{side}.png" for side in "ab"]
        for name, scene in zip(names, (source, target), strict=True):
            Image.fromarray(scene.image).save(folder / name)
        objects = {"source_object": "red ball", "target_object": "blue cup"}
        captions = {"source_caption": "a red ball on the grass", "target_caption": "a blue cup on the grass"}
        lines.append(json.dumps({"source_image": names[0], "target_image": names[1], **captions, **objects}))
    (folder / "named.jsonl").write_text("\n".join(lines), encoding="utf-8")
    report = ingest_pairs([folder / "photos", folder / "named.jsonl"], home)
    assert report.accepted == 7, report


@pytest.fixture(scope="session")
def whole_home(
    drawn_home: Home, drawn_recipe: Recipe, drawn_models: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """Captions, erased regions, pairs with and without objects, every task; all that can pass does."""
    folder = tmp_path_factory.mktemp("whole")
    home = Home(Path(shutil.copytree(drawn_home.root, folder / "home")))
    add_pairs(home, folder, drawn_models.artist)
    tasks = [f"fine_tune_set.tasks={list(TASKS)}", "fine_tune_set.validation_fraction=0.5"]
    # Pairs that are too similar stay rejected: samples are made of these, too.
    limits = [*loosest(drawn_recipe), f"filtered_pairs.max_similarity={drawn_recipe.filtered_pairs.max_similarity}"]
    recipe = override_recipe(drawn_recipe, ["removed_pairs.enabled=true", *tasks, *limits])
    models, ledger = drawn_models(recipe, segmenter=Proud(drawn_models.artist)), Ledger(home.ledger)
    for key in ("shard-000000", "shard-000003"):
        for stage in STAGES:
            own = stage_of_shard(stage, home, key)
            # Of rows that were measured before, the proposals stay.
            shutil.rmtree(ledger.table_path(stage.name, key).parent, ignore_errors=True)
            materialize(own, key, read_inputs(own, home, key), recipe, ledger, models, "run-1")
    return home
