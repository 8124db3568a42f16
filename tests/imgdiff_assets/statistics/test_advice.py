"""What a run leaves to be done."""

import shutil
from pathlib import Path

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_path
from imgdiff_assets.ledger import memory
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.statistics import advice
from imgdiff_assets.statistics.advice import no_samples, not_drawable
from imgdiff_assets.statistics.funnel import Funnel, StageFunnel, funnel

SHARD = "shard-000000"


def counts(*stages: tuple[str, int, int, dict[str, int]], shards: int = 1) -> Funnel:
    return Funnel(
        (SHARD,),
        tuple(StageFunnel(name, shards, rows, rows, kept, 0, why, {}) for name, rows, kept, why in stages),
    )


def test_no_sample_is_told_with_the_stage_that_kept_nothing() -> None:
    rejected = {"unknown_words": 3, "too_long": 1}
    lines = no_samples(counts(("prompt_pairs", 4, 0, rejected), ("fine_tune_set", 0, 0, {})))
    assert lines == [
        "NO SAMPLE AT ALL came of 4 captions.",
        "prompt_pairs kept none of 4 rows:",
        "  3 × the caption has words that the models have never seen (unknown_words)",
        "  1 × the caption has too many words for the image models (too_long)",
    ]


def test_samples_or_stages_that_were_not_run_are_no_failure(drawn_home: Home) -> None:
    assert no_samples(counts(("prompt_pairs", 4, 4, {}), ("fine_tune_set", 2, 1, {}))) == []
    assert no_samples(counts(("prompt_pairs", 4, 4, {}), ("fine_tune_set", 0, 0, {}), shards=0)) == []
    assert no_samples(funnel(Ledger(drawn_home.ledger), [SHARD])) == []


def test_captions_of_the_shards_are_counted(miniature_recipe: Recipe, tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "captions.txt"
    file.write_text("a red ball on the grass\na dog\na cat and a kitchen\n")
    ingest([file], home, shard_size=2)
    told = str(not_drawable(home, miniature_recipe, ["shard-000000", "shard-000001"]))
    assert told.startswith("2 of 3 captions name things")
    assert not_drawable(home, load_recipe("modern"), [SHARD]) is None


def test_captions_that_can_all_be_drawn_are_read_once(
    miniature_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "YOUNG_SECONDS", 0.0)
    home, file = Home(tmp_path / "home"), tmp_path / "captions.txt"
    file.write_text("a red ball on the grass\n")
    ingest([file], home)
    assert not_drawable(home, miniature_recipe, [SHARD]) is None
    read = advice.read_captions
    monkeypatch.setattr(advice, "read_captions", None)
    assert not_drawable(home, miniature_recipe, [SHARD]) is None
    monkeypatch.setattr(advice, "read_captions", read)
    file.write_text("a quokka\n")
    ingest([file], home)
    for _ in range(2):
        assert "quokka" in str(not_drawable(home, miniature_recipe, [SHARD, "shard-000001"]))
    assert "quokka" not in "".join(path.read_text() for path in home.local.glob("cache/drawable/*"))
    # The same shard with other captions, as after a takedown.
    assert not_drawable(home, miniature_recipe, [SHARD]) is None
    shutil.copyfile(shard_path(home, "shard-000001"), shard_path(home, SHARD))
    assert "quokka" in str(not_drawable(home, miniature_recipe, [SHARD]))
