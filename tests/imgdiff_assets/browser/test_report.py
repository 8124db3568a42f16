"""The report: one file with everything in it, and nothing from elsewhere."""

import os
import re
import tarfile
from pathlib import Path

from imgdiff_assets.browser.report import write_report
from imgdiff_assets.defs.asset_metadata import materialization_metadata
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, RANDOM, Review, add_review
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named


def test_everything_is_inside(seen_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    counts = write_report(seen_home, drawn_recipe, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href|action)="(?!data:)', page)
    assert "<script" not in page
    assert not re.search(r"url\(|@import", page)
    assert f"{counts.captions} captions gave {counts.samples} samples" in page
    for stage in counts.stages:
        for reason, count in stage.rejected.items():
            assert (f"{stage.stage}: {reason} <span" in page) is (count > 0), reason
    assert "image_pairs: error:out_of_memory" in page
    assert page.count("data:image/webp;base64,") > 20
    assert page.count('<line class="threshold"') > 5
    assert "&lt;b&gt;a red ball&lt;/b&gt;" in page, "hostile captions are text"


def test_the_same_ledger_gives_the_same_bytes(seen_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    for name in ("first.html", "second.html"):
        write_report(seen_home, drawn_recipe, tmp_path / name)
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


def test_some_shards_alone(seen_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    counts = write_report(seen_home, drawn_recipe, tmp_path / "report.html", ["shard-000001"], rows=1)
    assert counts.captions == 2
    assert "1 shard, shard-000001" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_certificate_is_quoted(own_home: Home, drawn_recipe: Recipe, tmp_path: Path) -> None:
    for row in Ledger(own_home.ledger).read("fine_tune_set", "shard-000000").to_pylist():
        add_review(own_home, Review(row["sample_id"], "shard-000000", "Ann", ACCEPT, queue=RANDOM))
    write_report(own_home, drawn_recipe, tmp_path / "report.html")
    assert "100.0 % are right" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_empty_home_has_a_report(drawn_recipe: Recipe, tmp_path: Path) -> None:
    write_report(Home(tmp_path / "none"), drawn_recipe, tmp_path / "report.html")
    assert "Not made yet." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rows_whose_captions_cannot_be_read_are_shown(miniature_recipe: Recipe, tmp_path: Path) -> None:
    with tarfile.open(Path(__file__).parents[2] / "homes" / "0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    home = Home(tmp_path / "home")
    os.truncate(Ledger(home.ledger).table_path("image_pairs", "shard-000000"), 1000)
    write_report(home, miniature_recipe, tmp_path / "report.html")
    assert "<bdi>no caption</bdi>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_materialisation_links_the_report_if_there_is_one(own_home: Home, drawn_recipe: Recipe) -> None:
    ledger, stage = Ledger(own_home.ledger), stage_named("captions")
    record = Materialization.from_json(ledger.record("captions", "shard-000001") or {})
    assert "report" not in materialization_metadata(record, stage, ledger, "", own_home.report)
    write_report(own_home, drawn_recipe, own_home.report)
    link = materialization_metadata(record, stage, ledger, "", own_home.report)["report"]
    assert link.value == str(own_home.report)
