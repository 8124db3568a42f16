"""Damage to what was measured: found, named, set aside; and nothing that reads well is measured again."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.engine.parents import MissingInput
from imgdiff_assets.home import Home
from imgdiff_assets.ledger import tables
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from tests.imgdiff_assets.engine.test_materialize import SHARD, Calls, go, limits, rows_of

ASSET = "filtered_pairs"
OTHER = "shard-000001"
"""All of its rows could be measured, so that a run leaves what is fresh alone."""


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table has several."""
    monkeypatch.setattr(tables, "PLACE_ROWS_PER_GROUP", 16)


def flip(path: Path, column: str, group: int) -> None:
    """Flip a bit in the last byte of a column in a row group."""
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    chunk = metadata.row_group(group).column(names.index(column))
    begin = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[begin + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "column", ["square", "square_fingerprint", "image.part", "product", "factor", "run_id", "kept"]
)
def test_what_is_whole_of_a_damaged_table_is_not_measured_again(tmp_path: Path, column: str) -> None:
    go(tmp_path)
    whole, ledger = rows_of(tmp_path), Ledger(tmp_path / "ledger")
    path = ledger.table_path(ASSET, SHARD)
    flip(path, column, 1)
    with pytest.raises(DamagedTable, match=rf"{column.partition('.')[0]} of rows 16 to 31 cannot be read"):
        ledger.verify(ASSET, SHARD)
    aside = ledger.set_aside_damaged(ASSET, SHARD)
    assert aside is not None
    assert aside.exists()
    said: list[str] = []
    _, calls = go(tmp_path, log=said.append)
    assert rows_of(tmp_path) == whole
    assert ["is damaged; measuring again what is lost of it" in line for line in said] == [True] * (column != "kept")
    lost, beside = whole[16:32], {whole[15]["number"], whole[32]["number"]}
    numbers = {row["number"] for row in lost}
    squared = sum(row["square"] is not None for row in lost)
    expected = {
        "square": {"square": squared},
        "square_fingerprint": {"square": squared},
        "run_id": {},
        "kept": {},
    }.get(column)
    if expected is None:  # a number's rows are one result: all of them are whole, or none is used
        assert calls.counts.keys() == {"multiply"}
        assert len(numbers) <= calls.counts["multiply"] <= len(numbers | beside)
    else:
        assert calls.counts == expected


def test_a_damaged_image_is_noticed_before_it_is_in_the_next_table(tmp_path: Path) -> None:
    """Scores read well, so that the damage is found when it is looked where the image lies."""
    for root in (tmp_path, tmp_path / "unbroken"):
        go(root)
    go(tmp_path / "unbroken", recipe=limits(low=0.4))
    path = Ledger(tmp_path / "ledger").table_path(ASSET, SHARD)
    flip(path, "image.part", 2)
    said: list[str] = []
    _, calls = go(tmp_path, recipe=limits(low=0.4), log=said.append)
    assert rows_of(tmp_path) == rows_of(tmp_path / "unbroken")
    assert calls.counts.keys() == {"multiply"}
    assert calls.counts["multiply"] < 16
    assert "image of rows 32 to 47 cannot be read" in said[0]
    assert len(list(path.parent.glob("rows.parquet.damaged-*"))) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_images_of_a_damaged_part_are_made_again_and_no_others(tmp_path: Path, gone: bool) -> None:
    go(tmp_path)
    whole, ledger = rows_of(tmp_path), Ledger(tmp_path / "ledger")
    part = Path(ledger.parts_named(ASSET, SHARD)[1])
    places = enumerate(pq.read_table(ledger.table_path(ASSET, SHARD))["image"].to_pylist())
    there = [(row, place["row"]) for row, place in places if place is not None and place["part"] == part.stem]
    if gone:
        part.unlink()
    else:
        flip(part, "image.bytes", 1)
        there = [(row, place) for row, place in there if 4 <= place < 8]
    with pytest.raises(
        DamagedTable, match="it is not there" if gone else r"image of rows 4 to 7 cannot be read"
    ) as one:
        ledger.verify(ASSET, SHARD)
    assert one.value.path == part
    assert ledger.set_aside_damaged(ASSET, SHARD) is not None
    lost = {whole[row]["number"] for row, _ in there}
    beside = {whole[row + step]["number"] for row, _ in there for step in (-1, 1)}
    _, calls = go(tmp_path)
    assert rows_of(tmp_path) == whole
    assert calls.counts.keys() == {"multiply"}
    assert len(lost) <= calls.counts["multiply"] <= len(lost | beside), "a number's rows are one result"
    ledger.verify(ASSET, SHARD)
    assert len(list(part.parent.glob("*.damaged-*"))) == (not gone)


def test_a_damaged_batch_is_not_committed(tmp_path: Path) -> None:
    def trouble(step: str, row: Row) -> None:
        if step == "square":
            raise KeyboardInterrupt

    go(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, calls=Calls(trouble=trouble))
    batches = Ledger(tmp_path / "ledger").staged_batches(ASSET, SHARD, "multiply")
    flip(batches[3], "image.part", 0)
    flip(batches[5], "product", 0)
    said: list[str] = []
    _, calls = go(tmp_path, log=said.append)
    assert rows_of(tmp_path) == rows_of(tmp_path / "unbroken")
    assert calls.counts["multiply"] == 14
    assert len(said) == 2
    assert batches[3].name in said[0]


def test_a_footer_is_looked_at_by_every_run_and_rows_by_those_that_read_them(tmp_path: Path) -> None:
    go(tmp_path)
    path = Ledger(tmp_path / "ledger").table_path(ASSET, SHARD)
    whole = path.read_bytes()
    flip(path, "square", 1)
    assert not go(tmp_path)[0].changed, "the table is fresh, so nobody reads it"
    os.truncate(path, len(whole) - 9)
    record, calls = go(tmp_path)
    assert record.changed
    assert calls.counts.keys() == {"square"}, "the second footer is there, and one column is lost of it"


def test_damage_to_a_table_above_is_set_aside_and_mended_by_the_next_run(
    own_home: Home, drawn_recipe: Recipe, run_stages: Callable[..., None]
) -> None:
    ledger = Ledger(own_home.ledger)
    path = ledger.table_path("image_pairs", OTHER)
    before = ledger.read("fine_tune_set", OTHER), ledger.read("image_pairs", SHARD, images=True)
    flip(Path(ledger.parts_named("image_pairs", OTHER)[0]), "image.bytes", 0)
    ledger.quarantine("filtered_pairs", OTHER)  # so that somebody reads the images
    ledger.latest_aside("filtered_pairs", OTHER).unlink()  # type: ignore[union-attr]
    with pytest.raises(MissingInput, match=r"image_pairs of shard-000001 is damaged \(image of rows 0 to"):
        run_stages(own_home, drawn_recipe, [OTHER])
    assert not path.exists()
    run_stages(own_home, drawn_recipe, [OTHER])
    after = ledger.read("fine_tune_set", OTHER), ledger.read("image_pairs", SHARD, images=True)
    left_out = ["run_id", "measured_at"]
    for one, other in zip(before, after, strict=True):
        assert one.drop_columns(left_out) == other.drop_columns(left_out)


def test_a_table_that_was_replaced_meanwhile_is_not_set_aside(tmp_path: Path) -> None:
    go(tmp_path)
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.set_aside_damaged(ASSET, SHARD) is None
    assert ledger.exists(ASSET, SHARD)
    assert ledger.set_aside_damaged(ASSET, "shard-000009") is None
    assert Counter(path.name for path in ledger.table_path(ASSET, SHARD).parent.iterdir()) == Counter(
        ["rows.parquet", "history.jsonl"]
    )
