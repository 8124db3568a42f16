"""What a release says of the models that its shards were made by, whichever shard comes first."""

import shutil
from collections.abc import Callable
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.recipe import Recipe, override_recipe
from imgdiff_assets.release.contents import contents
from imgdiff_assets.release.making import make_release

DRAWN, GIVEN = ["shard-000000", "shard-000001"], ["shard-000002"]


def test_a_release_of_0_1_0_is_still_the_latest(released_home: Home, miniature_recipe: Recipe) -> None:
    assert make_release(released_home, miniature_recipe).made is False


def test_the_card_names_the_models_of_every_shard(
    home_of_0_1_0: Home, miniature_recipe: Recipe, judge_again: Callable[[Home], None]
) -> None:
    """The first shard's pairs were given; those of the others were drawn by models, which have licences."""
    home = home_of_0_1_0
    for number, shard in enumerate(DRAWN, 3):
        for path in [home.captions / f"{shard}.parquet", *home.ledger.glob(f"*/shard={shard}")]:
            path.rename(path.with_name(path.name.replace(shard, f"shard-{number:06d}")))
    judge_again(home)
    shutil.rmtree(home.releases)
    made = make_release(home, miniature_recipe)
    assert made.shards == [*GIVEN, "shard-000003", "shard-000004"]
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    for role in ("captioner", "pair_generator", "prompt_rewriter"):
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {role} |")]
        assert line.endswith("| Apache-2.0 (part of this project) |")


def test_a_role_that_several_models_played_has_a_line_for_each(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any
) -> None:
    other = override_recipe(drawn_recipe, ["captioner.model=elsewhere/captioner"])
    run_stages(own_home, other, ["shard-000001"], ["captions", "removal_captions", "fine_tune_set"])
    ledger = Ledger(own_home.ledger)
    found = contents(ledger, gather(ledger, ["shard-000000", "shard-000001"]), []).manifest["models"]
    assert found["captioner"]["model"] == "miniature:captioner"
    assert found["captioner 2"]["model"] == "elsewhere/captioner"
    assert [role for role in found if role.endswith(" 2")] == ["captioner 2"]
    alone = contents(ledger, gather(ledger, ["shard-000001"]), []).manifest["models"]
    assert alone["captioner"]["model"] == "elsewhere/captioner"
    assert "captioner 2" not in alone
