"""What a release says of the models that its shards were made by, whichever shard comes first."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.card import body
from imgdiff_assets.release.contents import Contents, contents
from imgdiff_assets.release.making import make_release
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.statistics.diversity import written_and_kept
from imgdiff_assets.statistics.funnel import funnel

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
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n", encoding="utf-8")
    other = override_recipe(drawn_recipe, [f"captioner.model={tmp_path}"])
    run_stages(own_home, other, ["shard-000001"], ["captions", "removal_captions", "fine_tune_set"])
    ledger, shards = Ledger(own_home.ledger), ["shard-000000", "shard-000001"]
    found = contents(ledger, STAGES, gather(ledger, shards), [])
    found = Contents({**found.manifest, "number": 1, "version": "1", "previous": None}, found.samples)
    card = body(ledger, found, funnel(ledger, shards), *written_and_kept(ledger, shards), None, [])
    lines = {line.split(" | ")[0]: line for line in card.splitlines() if line.startswith("| captioner")}
    assert lines.keys() == {"| captioner", "| captioner 2"}
    assert "| `miniature:captioner` |" in lines["| captioner"]
    assert lines["| captioner"].endswith("| Apache-2.0 (part of this project) |")
    assert f"| `{tmp_path}` |" in lines["| captioner 2"]
    assert lines["| captioner 2"].endswith("| cc-by-nc-4.0 |")
    alone = contents(ledger, STAGES, gather(ledger, shards[1:]), []).manifest["models"]
    assert alone["captioner"]["model"] == str(tmp_path)
    assert "captioner 2" not in alone


def test_the_samples_of_0_1_0_keep_their_words(home_of_0_1_0: Home, judge_again: Callable[[Home], None]) -> None:
    def words() -> dict[str, Any]:
        ledger = Ledger(home_of_0_1_0.ledger)
        rows = [row for shard in shard_keys(home_of_0_1_0) for row in ledger.read("fine_tune_set", shard).to_pylist()]
        return {row["sample_id"]: (row["kept"], row["conversations"]) for row in rows}

    before = words()
    judge_again(home_of_0_1_0)
    assert any(kept for kept, _ in before.values())
    assert words() == before
