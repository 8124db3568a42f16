"""Looking at every byte of a home: what is damaged is set aside or restored, and the next run makes it whole."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks.damage import damage
from imgdiff_assets.engine.record import BOOKKEEPING
from imgdiff_assets.engine.verifying import Verified, Verifying
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import caption_path, pair_images_path, read_captions, shard_keys
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, Review, add_review, read_reviews
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES

SHARDS = ("shard-000000", "shard-000001")
RunStages = Callable[..., None]


def state(home: Home) -> dict[str, Any]:
    ledger = Ledger(home.ledger)
    found: dict[str, Any] = {
        f"{stage.name} of {shard}": ledger.read(stage.name, shard, images=True).drop_columns(list(BOOKKEEPING))
        for stage in STAGES
        for shard in ledger.shards(stage.name)
    }
    return found | {key: read_captions(home, key)["caption"].to_pylist() for key in shard_keys(home)}


def verified(home: Home, **options: Any) -> Verified:
    return Verifying(home, **options).home()


def test_a_sound_home_is_left_as_it_is(drawn_home: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn_home.root.rglob("*.parquet")}
    result = verified(drawn_home)
    assert (result.findings, result.unreadable, result.without_checksums) == ([], {}, 0)
    assert result.files == len(before)
    assert result.bytes == sum(path.stat().st_size for path in before)
    assert {path: path.stat().st_mtime_ns for path in drawn_home.root.rglob("*.parquet")} == before


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 36))])
def test_random_damage_is_healed_and_costs_nothing_else(
    own_home: Home, drawn_home: Home, drawn_recipe: Recipe, run_stages: RunStages, seed: int
) -> None:
    """As `python -m benchmarks.damage` does with every file and all commands."""
    chance = random.Random(seed)
    for name in ("Ann", "Bob"):
        add_review(own_home, Review("0123456789abcdef", "shard-000009", name, ACCEPT))
    run_stages(own_home, drawn_recipe, SHARDS)
    before = state(own_home)
    file = chance.choice(sorted(own_home.root.rglob("*.parquet")) + sorted(own_home.root.rglob("*.jsonl")))
    what = damage(file, seed % 6 == 0 and "captions" not in file.parts, chance)
    told = verified(own_home)
    run_stages(own_home, drawn_recipe, SHARDS)
    assert state(own_home) == before, (file, what)
    assert verified(own_home).findings == []
    assert bool(told.findings) == (file.suffix == ".parquet"), (file, what)
    if file.name != "reviews.jsonl":
        assert len(read_reviews(own_home).by_sample["0123456789abcdef"]) == 2


def test_a_table_of_before_whose_rows_are_not_those_it_names_is_measured_again(home_of_0_1_0: Home) -> None:
    """It has no checksums, but its record has a hash of what its rows mean."""
    ledger = Ledger(home_of_0_1_0.ledger)
    path, record = ledger.table_path("captions", SHARDS[0]), ledger.record("captions", SHARDS[0])
    rows = ledger.read("captions", SHARDS[0])
    changed = rows.set_column(0, rows.column_names[0], pa.array(["0123456789abcdef"] * len(rows)))
    ledger.commit("captions", SHARDS[0], changed.schema, changed, [None] * len(rows), record or {})
    _without_checksums(path)
    (finding,) = verified(home_of_0_1_0).findings
    assert "captions/shard=shard-000000/rows.parquet is damaged: its rows are not those" in str(finding)
    assert not ledger.exists("captions", SHARDS[0])
    assert ledger.latest_aside("captions", SHARDS[0]) is None, "nobody knows what of it is right"


def _without_checksums(path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.replace_schema_metadata({tables.RECORD_KEY: tables.read_said(path).record}), path)


def test_files_of_before_are_given_checksums_once_and_nothing_is_stale(home_of_0_1_0: Home) -> None:
    first = verified(home_of_0_1_0)
    assert first.findings == []
    assert first.without_checksums == first.files == 28
    assert verified(home_of_0_1_0, add=True).given_checksums == 28
    again = verified(home_of_0_1_0)
    assert (again.without_checksums, again.findings) == (0, [])


@pytest.mark.parametrize("column", ["caption", "caption_id", "source", "footer"])
def test_captions_are_restored_from_the_table_made_of_them(own_home: Home, column: str) -> None:
    path, key = caption_path(own_home, SHARDS[0]), SHARDS[0]
    before = read_captions(own_home, key).to_pylist()
    _damage(path, column)
    (finding,) = verified(own_home).findings
    assert "restored, the damaged file is shard-000000.parquet.damaged-" in finding.outcome
    lost = {"source": None} if column == "source" else {}
    assert read_captions(own_home, key).to_pylist() == [{**row, **lost} for row in before]
    assert shard_keys(own_home) == [*SHARDS, "shard-000002"]


def test_captions_that_nothing_was_made_of_are_not_restored_and_keep_no_other_from_being_read(
    own_home: Home, drawn_recipe: Recipe, run_stages: RunStages
) -> None:
    path = caption_path(own_home, "shard-000002")
    _damage(path, "caption")
    (finding,) = verified(own_home).findings
    assert finding.outcome.startswith("nothing restores it")
    assert path.exists()
    run_stages(own_home, drawn_recipe, [SHARDS[1]])


@pytest.mark.parametrize("column", ["source_image", "pair_id", "everything"])
def test_given_images_are_restored_from_the_table_that_has_them(home_of_0_1_0: Home, column: str) -> None:
    path = pair_images_path(home_of_0_1_0, "shard-000002")
    verified(home_of_0_1_0, add=True)
    before = tables.read_table(path, images=True)
    if column == "everything":
        path.write_bytes(b"\0" * 5000)
    else:
        _damage(path, column)
    (finding,) = verified(home_of_0_1_0).findings
    assert finding.outcome.startswith("restored")
    after = tables.read_table(path, images=True)
    assert after["pair_id"] == before["pair_id"]
    for name in ("source_image", "target_image"):
        assert [cell["bytes"] for cell in after[name].to_pylist()] == [
            cell["bytes"] for cell in before[name].to_pylist()
        ]


def _damage(path: Path, column: str) -> None:
    import pyarrow.parquet as pq

    data = bytearray(path.read_bytes())
    place = len(data) - 12
    if column != "footer":
        metadata = pq.read_metadata(path)
        names = [metadata.schema.column(number).path.partition(".")[0] for number in range(metadata.num_columns)]
        place = metadata.row_group(0).column(names.index(column)).data_page_offset + 5
    data[place] ^= 4
    path.write_bytes(data)


def test_nothing_is_restored_that_is_not_what_its_hash_says(home_of_0_1_0: Home) -> None:
    ledger = Ledger(home_of_0_1_0.ledger)
    verified(home_of_0_1_0, add=True)
    path = pair_images_path(home_of_0_1_0, "shard-000002")
    _damage(path, "source_image")
    shutil.rmtree(ledger.table_path("image_pairs", "shard-000002").parent)
    assert [finding.outcome[:19] for finding in verified(home_of_0_1_0).findings] == ["nothing restores it"]


def test_a_rate_is_kept(drawn_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("imgdiff_assets.engine.verifying.time.sleep", waited.append)
    result = verified(drawn_home, rate=1e3)
    assert max(waited) > result.bytes / 1e4
