"""Of several attempts at a pair the best is kept, and of each it is known how to draw it again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import seed_of
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.best_of import scores
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000001"
THREE = ("image_pairs.attempts=3", "image_pairs.attempt_guidance_scale=[3, 5]")


class Painter:
    """Paints each seed in a grey of its own; `guidance` is what it was told last."""

    def __init__(self, drawn: list[tuple[int, Any]], guidance: float | None = None) -> None:
        self.drawn, self.guidance = drawn, guidance

    def varied(self, guidance_scale: float) -> "Painter":
        return Painter(self.drawn, guidance_scale)

    def generate(self, sources: Sequence[str], targets: Sequence[str], seeds: Sequence[int]) -> tuple[Pixels, Pixels]:
        self.drawn += [(seed, self.guidance) for seed in seeds]
        painted = [np.full((8, 8, 3), seed % 200, np.uint8) for seed in seeds]
        return np.stack(painted), np.stack([picture + 40 for picture in painted])


class Encoder:
    """Finds that a target fits the better, the brighter it is."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(np.float32([1, 0]), (len(texts), 1))

    def encode_images(self, images: Sequence[Pixels]) -> np.ndarray:
        angles = [np.pi / 2 - image.mean() / 255 for image in images]
        return np.float32([[np.cos(angle), np.sin(angle)] for angle in angles])


def run(home: Home, recipe: Recipe, models: Any) -> Any:
    stage = stage_named("image_pairs")
    return materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, Ledger(home.ledger), models, "run-2")


def test_the_best_is_kept_and_all_are_told(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    recipe, drawn = override_recipe(drawn_recipe, [*THREE, "image_pairs.best_by=fit"]), list[tuple[int, Any]]()
    record = run(own_home, recipe, drawn_models(recipe, pair_generator=Painter(drawn), image_text_encoder=Encoder()))
    rows = Ledger(own_home.ledger).read("image_pairs", SHARD).to_pylist()
    assert rows
    assert record.calls == {"generate": len(rows)}
    assert set(record.models) == {"pair_generator", "image_text_encoder"}
    for row in rows:
        first, *others = row["attempts"]
        assert first["seed"] == seed_of(recipe.seed, "image_pair", row["pair_id"]), "the one without others"
        assert [each["guidance_scale"] for each in row["attempts"]] == [3, 5, 3]
        assert {(each["seed"], each["guidance_scale"]) for each in row["attempts"]} <= set(drawn)
        assert len({each["seed"] for each in row["attempts"]}) == 3
        best = max(row["attempts"], key=lambda each: each["score"])
        assert {name: row[name] for name in ("seed", "source_hash", "target_hash")} == {
            name: best[name] for name in ("seed", "source_hash", "target_hash")
        }
        assert row["source_hash"] == pixel_hash(np.full((8, 8, 3), row["seed"] % 200, np.uint8))
        assert all(each["cross_replace_steps"] is None for each in others)
    assert any(row["seed"] != row["attempts"][0]["seed"] for row in rows)


def test_one_attempt_is_what_there_was(own_home: Home, drawn_recipe: Recipe, drawn_models: Any) -> None:
    named = override_recipe(drawn_recipe, ["image_pairs.attempts=1", "image_pairs.best_by=direction"])
    assert named.hash == drawn_recipe.hash
    assert not any(run(own_home, named, drawn_models(named)).calls.values())
    assert {row["attempts"] for row in Ledger(own_home.ledger).read("image_pairs", SHARD).to_pylist()} == {None}
    assert stage_named("image_pairs").under(named).roles == ("pair_generator",)


def test_a_direction_is_that_of_the_captions() -> None:
    class Plain:
        encode_texts = encode_images = staticmethod(lambda values: np.float32(values))

    texts = [[1, 0], [1, 0]], [[0, 1], [0, 1]]
    pictures = [[0.6, 0.8], [0.8, 0.6]], [[0, 1], [1, 0]]
    there, back = scores(Plain(), "direction", texts, pictures)  # type: ignore[arg-type]
    assert there > 0.8 > 0 > back
    fits = scores(Plain(), "fit", texts, pictures)  # type: ignore[arg-type]
    assert fits.tolist() == pytest.approx([0.6, 0.0])


@pytest.mark.parametrize("override", ["attempts=0", "attempt_self_replace_steps=[0.4, 1.4]"])
def test_attempts_that_cannot_be_made_are_told(override: str) -> None:
    with pytest.raises(RecipeError, match=rf"image_pairs\.{override.partition('=')[0]}"):
        load_recipe("modern", [f"image_pairs.{override}"])
