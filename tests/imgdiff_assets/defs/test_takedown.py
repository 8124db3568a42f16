"""What is taken down is nowhere any more, and stays away; what is of others stays, to the last row."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from imgdiff_assets.cli.main import main
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.takedown import foresee, remove_source
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.removed_shards import remove_shard, restore_shard
from imgdiff_assets.ingest.shards import caption_id, read_captions, shard_keys
from imgdiff_assets.ledger.aside import copy_aside
from imgdiff_assets.ledger.corrections import CORRECTIONS, Correction, counting
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, Review, add_review, read_reviews
from imgdiff_assets.ledger.tags import TAGS, Tagged
from imgdiff_assets.ledger.views import VIEWS, View, views
from imgdiff_assets.lineage.takedown import IMAGE_HASHES, TakedownError
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import SCHEMA, Contents, write_contents
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from tests.imgdiff_assets.conftest import KEPT, SECOND, RunStages
from tests.imgdiff_assets.defs.test_unheld_shards import files
from tests.imgdiff_assets.ingest.test_ingest_pairs import write_folder

SHARD, OTHER, NEW = "shard-000000", "shard-000001", "shard-000002"
GOES = KEPT[1]


@pytest.fixture(autouse=True)
def no_instance_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def rows_of(home: Home, shard: str, ledger: Ledger | None = None) -> dict[str, list[Row]]:
    """All rows of a shard, with their images."""
    ledger = ledger or Ledger(home.ledger)
    return {name: ledger.read(name, shard, images=True).to_pylist() for name in STAGE_NAMES}


def naming(home: Home, text: str) -> Iterator[Path]:
    """The files below a home in which a text stands, or whose name has it."""
    for file in home.root.rglob("*"):
        if file.is_file() and (text in file.name or text.encode() in file.read_bytes()):
            yield file.relative_to(home.root)


def sources(home: Home) -> dict[str, str]:
    """By id of a pair, the caption that it was made of."""
    rows = Ledger(home.ledger).read("prompt_pairs", SHARD).to_pylist()
    return {row["pair_id"]: row["caption_id"] for row in rows}


def told_pair(of_pair: dict[str, str], caption: str) -> str:
    return next(pair for pair, of in of_pair.items() if of == caption)


def test_all_that_came_of_a_caption_goes(own_home: Home, drawn_recipe: Recipe, run_stages: RunStages) -> None:
    ledger, goes = Ledger(own_home.ledger), caption_id(GOES)
    of_pair, before, others = sources(own_home), rows_of(own_home, SHARD), rows_of(own_home, OTHER)
    samples = [row["sample_id"] for row in before["fine_tune_set"] if row["caption_id"] == goes]
    assert samples
    stays = next(row["sample_id"] for row in before["fine_tune_set"] if row["caption_id"] != goes)
    for sample in (samples[0], stays):
        add_review(own_home, Review(sample, SHARD, "ada", ACCEPT))
    regions = {row["caption_id"]: row["region_id"] for row in before["fine_tune_set"] if row["region_id"]}
    for caption, region in ((goes, regions[goes]), *(each for each in regions.items() if each[0] != goes)):
        TAGS.add(own_home, [Tagged("0" * 16, caption, "ada", pair_id=told_pair(of_pair, caption))])
        CORRECTIONS.add(own_home, [Correction(region, SHARD, "ada", {"difference_caption": f"{caption} is secret"})])
    VIEWS.add(own_home, [View("of it", f"/gallery?after={samples[0]}"), View("of all", "/gallery")])
    with CORRECTIONS.address(own_home).open("a") as file:  # type: ignore[attr-defined]
        file.write(f'{{"region_id": "{regions[goes]}", torn')
    add_review(own_home, Review("1" * 16, SHARD, "ada", ACCEPT, pair_id=told_pair(of_pair, goes)))
    copy_aside(ledger.table_path("captions", SHARD))
    ledger.stage_batch("captions", SHARD, "describe", [{"pair_id": "1"}], STAGES[0].schema)
    thumbnail = own_home.local / "cache" / "aa" / "x.webp"
    thumbnail.parent.mkdir(parents=True)
    thumbnail.write_bytes(b"small")
    release = own_home.releases / "1"
    release.mkdir(parents=True)
    held = [dict.fromkeys(SCHEMA.names, "") | {"caption_id": goes}] * 2
    write_contents(Contents({"number": 1}, held), release)

    told = foresee(own_home, "caption", goes[:8])
    state = files(own_home)
    assert told.releases == {"1": 2}
    assert told.rows["fine_tune_set"] == samples
    assert told.reviews == 1
    assert told.said == {"corrections.jsonl": 2, "tags.jsonl": 1, "views.jsonl": 1}
    assert files(own_home) == state, "foreseeing changes nothing"

    assert remove_source(own_home, "caption", goes[:8]) == told
    assert counting(own_home).keys() == {region for caption, region in regions.items() if caption != goes}
    assert {said.tag for said in TAGS.read(own_home).values} == regions.keys() - {goes}
    assert views(own_home) == {"of all": "/gallery"}
    Path(CORRECTIONS.address(own_home)).unlink()  # else the others' samples would say something new
    assert read_reviews(own_home).by_sample.keys() == {stays}, "also of a sample that has another id by now"
    after = rows_of(own_home, SHARD)
    for stage in STAGES:
        gone = set(told.rows.get(stage.name, ()))
        assert after[stage.name] == [row for row in before[stage.name] if row[stage.id_column] not in gone]
    assert rows_of(own_home, OTHER) == others
    assert set(told.rows["image_pairs"]) == {pair for pair, caption in of_pair.items() if caption == goes}
    left = {row[name] for rows in after.values() for row in rows for name in IMAGE_HASHES if name in row}
    assert not left & set(told.images)
    assert set(told.images)
    parts = [path for path in own_home.root.glob("parts/*/*/*") if path.is_file()]
    assert not set(told.images) & {known for path in parts for known in pq.read_table(path)["hash"].to_pylist()}
    assert {shard_of.parent.name for shard_of in parts} == {f"shard={SHARD}", f"shard={OTHER}"}
    assert list(naming(own_home, GOES)) == []
    assert not thumbnail.exists()
    assert not ledger.all_staged()
    assert list(read_reviews(own_home).by_sample) == [stays]
    for name in STAGE_NAMES:
        record = ledger.record(name, SHARD)
        assert record is not None
        assert record["rows"] == len(after[name])
    assert Staleness(own_home, drawn_recipe, STAGE_NAMES).unusable(SHARD)[0] == "prompt_pairs", "no release has it now"
    run_stages(own_home, drawn_recipe, [SHARD])
    records = [ledger.record(name, SHARD) for name in STAGE_NAMES]
    assert [record["measured"] for record in records if record is not None and record["measured"]] == []
    assert list(naming(own_home, GOES)) == []


@pytest.mark.slow
def test_it_stays_away(own_home: Home, tmp_path: Path) -> None:
    remove_source(own_home, "caption", caption_id(GOES))
    (tmp_path / "again.txt").write_text(f"{GOES}\na pink kite on the road\n", encoding="utf-8")
    report = ingest([tmp_path / "again.txt"], own_home)
    assert (report.accepted, report.duplicates, report.rejected_count) == (1, 0, 1)
    assert "was removed on 20" in report.rejected[0].reason
    assert report.rejected[0].text == ""
    assert foresee(own_home, "caption", caption_id(GOES)).earlier is not None
    assert list(naming(own_home, GOES)) == []


@pytest.mark.slow
def test_a_file_may_be_all_of_a_shard(own_home: Home, tmp_path: Path) -> None:
    told = remove_source(own_home, "file", "second.txt")
    assert told.captions == {OTHER: [caption_id(text) for text in SECOND]}
    assert shard_keys(own_home) == [SHARD, NEW]
    assert [Ledger(own_home.ledger).shards(name) for name in STAGE_NAMES] == [[SHARD]] * len(STAGE_NAMES)
    remove_source(own_home, "file", "third.txt")
    (tmp_path / "new.txt").write_text("a pink kite on the road\n")
    assert ingest([tmp_path / "new.txt"], own_home).shards == ["shard-000003"], "no key is given twice"
    assert not remove_source(own_home, "file", "second.txt").captions


@pytest.mark.slow
def test_it_leaves_the_trash_too(own_home: Home) -> None:
    before = rows_of(own_home, SHARD)
    remove_shard(own_home, SHARD)
    told = remove_source(own_home, "caption", caption_id(GOES))
    assert list(naming(own_home, GOES)) == []
    restore_shard(own_home, SHARD)
    for name, rows in rows_of(own_home, SHARD).items():
        assert len(rows) == len(before[name]) - len(told.rows.get(name, ()))
    assert GOES not in read_captions(own_home, SHARD)["caption"].to_pylist()


@pytest.mark.slow
def test_what_was_stopped_in_the_middle_goes_on(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, calls = Ledger.keep_rows, 0

    def stop(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        keep(*arguments)

    told = foresee(own_home, "caption", caption_id(GOES))
    monkeypatch.setattr(Ledger, "keep_rows", stop)
    with pytest.raises(KeyboardInterrupt):
        remove_source(own_home, "caption", caption_id(GOES))
    rest = remove_source(own_home, "file", "no such file")
    assert rest.captions == told.captions
    assert 0 < len(rest.rows) < len(told.rows)
    assert list(naming(own_home, GOES)) == []


def test_a_drawn_picture_stands_for_its_caption(own_home: Home) -> None:
    row = Ledger(own_home.ledger).read("image_pairs", SHARD).to_pylist()[0]
    told = foresee(own_home, "picture", row["target_hash"])
    assert told.captions == {SHARD: [sources(own_home)[row["pair_id"]]]}


@pytest.mark.slow
def test_a_picture_is_not_taken_in_another_pair(tmp_path: Path) -> None:
    home, folder = Home(tmp_path / "home"), write_folder(tmp_path / "photos", 2)
    ingest_pairs([folder], home)
    first, second = read_captions(home, SHARD).to_pylist()
    told = remove_source(home, "picture", first["target_hash"])
    assert told.captions == {SHARD: [first["caption_id"]]}
    assert read_captions(home, SHARD)["caption_id"].to_pylist() == [second["caption_id"]]
    Image.open(folder / "pair1_0.png").save(folder / "pair0_0.png")
    report = ingest_pairs([folder], home)
    assert (report.accepted, report.duplicates, report.rejected_count) == (0, 1, 1)
    assert "shows a picture that was removed" in report.rejected[0].reason


@pytest.mark.parametrize(("by", "name"), [("caption", "xyz"), ("caption", "ab"), ("picture", "ab" * 8)])
def test_what_names_nothing(tmp_path: Path, by: str, name: str) -> None:
    with pytest.raises(TakedownError):
        foresee(Home(tmp_path), by, name)


@pytest.mark.slow
def test_dagster_shows_it_no_more(own_home: Home) -> None:
    """Its databases too have no byte of it left: neither of tables' events nor of a release's card."""
    with dagster_instance(own_home) as instance:
        for asset, partition in (("fine_tune_set", SHARD), ("release", None)):
            shown = {"examples": dg.MetadataValue.md(GOES)}
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=shown, partition=partition))
    assert [path for path in naming(own_home, GOES) if path.parts[0] == "dagster"]
    remove_source(own_home, "caption", caption_id(GOES))
    assert list(naming(own_home, GOES)) == []


def test_the_command_asks_first(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))
    state = files(own_home)
    told = CliRunner().invoke(main, ["remove", "--caption", caption_id(GOES)], input="n\n")
    assert told.exit_code == 1
    assert "Remove this for good?" in told.output
    told = CliRunner().invoke(main, ["remove", "--caption", caption_id(GOES), "--dry-run", "--json"])
    assert json.loads(told.stdout)["captions"] == {SHARD: [caption_id(GOES)]}
    assert CliRunner().invoke(main, ["remove"]).exit_code == 2
    told = CliRunner().invoke(main, ["remove", "--file", "nowhere.txt", "--yes"])
    assert (told.exit_code, "nothing in" in told.output) == (1, True)
    assert files(own_home) == state
