"""Shards are taken out and put back whole, unless somebody is at work on them."""

import hashlib
from pathlib import Path

import dagster as dg
import pytest

from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.runs_in_progress import PARTITION
from imgdiff_assets.defs.unheld_shards import remove_shards, restore_shards
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.removed_shards import remove_shard, restore_shard
from imgdiff_assets.ingest.shards import ShardError, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.samples import read_samples
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.statistics.shard_facts import facts_text, list_text, shard_facts

FIRST, SECOND, THIRD = "shard-000000", "shard-000001", "shard-000002"


def files(home: Home) -> dict[str, str]:
    """The content of all captions and tables, by path."""
    paths = [path for folder in (home.captions, home.ledger) for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in paths if ".lock" not in path.name and ".locks" not in path.parts]
    return {str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.fixture(autouse=True)
def no_instance_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def test_what_is_removed_is_gone_until_it_is_restored(own_home: Home, tmp_path: Path, drawn_recipe: Recipe) -> None:
    before, ledger = files(own_home), Ledger(own_home.ledger)
    samples = len(list(read_samples(ledger, FIRST)))
    with dagster_instance(own_home) as instance:
        register_shards(instance, own_home)
    remove_shards(own_home, [FIRST, THIRD])
    assert shard_keys(own_home) == [SECOND]
    assert [ledger.shards(name) for name in STAGE_NAMES] == [[SECOND]] * len(STAGE_NAMES)
    with dagster_instance(own_home) as instance:
        assert instance.get_dynamic_partitions("shard") == [SECOND]
    (tmp_path / "new.txt").write_text("a pink kite on the road\n")
    assert ingest([tmp_path / "new.txt"], own_home).shards == ["shard-000003"], "no key is given twice"
    remove_shard(own_home, "shard-000003")
    restore_shards(own_home, [THIRD, FIRST])
    assert files(own_home) == before
    assert len(list(read_samples(ledger, FIRST))) == samples
    with dagster_instance(own_home) as instance:
        assert set(instance.get_dynamic_partitions("shard")) == {FIRST, SECOND, THIRD}


def test_what_was_stopped_in_the_middle_goes_on(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    before = files(own_home)
    for function, name in ((remove_shard, "take_out"), (restore_shard, "put_back")):
        with monkeypatch.context() as patch:
            patch.setattr(
                f"imgdiff_assets.ingest.removed_shards.{name}", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                function(own_home, FIRST)
        assert FIRST not in shard_keys(own_home)
        function(own_home, FIRST)
    assert files(own_home) == before


def test_captions_that_came_in_again_are_not_there_twice(own_home: Home, tmp_path: Path) -> None:
    remove_shard(own_home, SECOND)
    (tmp_path / "again.txt").write_text("a red tree on the sand\n")
    assert ingest([tmp_path / "again.txt"], own_home).accepted == 1
    with pytest.raises(ShardError, match=r"1 of its captions came in again .*\(shard-000003\)"):
        restore_shard(own_home, SECOND)
    remove_shard(own_home, "shard-000003")
    restore_shard(own_home, SECOND)
    assert shard_keys(own_home) == [FIRST, SECOND, THIRD]


def test_a_shard_that_a_run_holds_stays(own_home: Home) -> None:
    with dagster_instance(own_home) as instance:
        register_shards(instance, own_home)
        run = dg.DagsterRun("job", tags={PARTITION: SECOND}, status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        with pytest.raises(ShardError, match=f"{SECOND}: a run holds it"):
            remove_shards(own_home, [FIRST, SECOND])
    held = f"captions of {FIRST} is held by run 7: stop that first"
    with Ledger(own_home.ledger).lock("captions", FIRST, "run 7"), pytest.raises(ShardError, match=held):
        remove_shards(own_home, [FIRST])
    assert shard_keys(own_home) == [FIRST, SECOND, THIRD]


def test_mistakes_move_nothing(own_home: Home) -> None:
    with pytest.raises(ShardError, match="is not in the trash"):
        restore_shard(own_home, FIRST)
    with pytest.raises(ShardError, match="no such shard"):
        remove_shard(own_home, "shard-000009")
    with pytest.raises(ShardError, match="is not a shard key"):
        remove_shard(own_home, "../captions")
    assert shard_keys(own_home) == [FIRST, SECOND, THIRD]


def test_facts_of_shards(drawn_home: Home) -> None:
    facts = [shard_facts(drawn_home, key) for key in (FIRST, THIRD)]
    assert (facts[0].holds, facts[0].rows, len(facts[0].tables)) == ("captions", 10, len(STAGE_NAMES))
    assert facts[0].samples == Ledger(drawn_home.ledger).record("fine_tune_set", FIRST)["kept"]  # type: ignore[index]
    assert (facts[1].samples, facts[1].tables) == (None, {})
    text = list_text(facts, ["shard-000007"])
    assert text.splitlines()[2].startswith(f"{THIRD}  1 caption             0/{len(STAGE_NAMES)}")
    assert "shards restore KEY`): shard-000007" in text
    assert "image_pairs" in facts_text(facts[0])
    assert "\u202e" not in facts_text(facts[0])
