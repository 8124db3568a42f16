"""What a materialisation shows: numbers to plot, tables, and pictures that are small and safe."""

import base64
import io
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from imgdiff_assets.defs.asset_metadata import materialization_metadata
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.pictures.inline_sheet import SHOWN, kept_and_rejected
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

SHARD = "shard-000000"
MOST_CHARACTERS = 150_000


def metadata_of(home: Home, stage: Stage, **changes: Any) -> dict[str, Any]:
    ledger = Ledger(home.ledger)
    record = Materialization.from_json({**(ledger.record(stage.name, SHARD) or {}), **changes})
    return materialization_metadata(record, stage, ledger, "http://browser/", home.report)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_shows_its_numbers(drawn_home: Home, stage: Stage) -> None:
    shown = metadata_of(drawn_home, stage)
    assert 0 <= shown["kept"] <= shown["dagster/row_count"]
    assert 0 <= shown["keep_rate"] <= 1
    assert shown["browse"].url.startswith("http://browser/")
    for name, value in shown.items():
        assert isinstance(value, int | float | str | dg.MetadataValue), name
    assert sum(len(value.md_str) for value in shown.values() if hasattr(value, "md_str")) < MOST_CHARACTERS


def test_scores_have_a_median_and_a_spread_and_rejections_their_reasons(drawn_home: Home) -> None:
    shown = metadata_of(drawn_home, stage_named("bounding_boxes"))
    assert 0 <= shown["area_fraction_spread"] <= 1
    assert -1 <= shown["region_similarity_median"] <= 1
    assert "rank_median" not in shown, "a rank is no score"
    rows = [record.data for record in shown["rejections"].records]
    assert [row["rejected_by"] for row in rows][:3] == ["no_proposals", "too_small", "too_large"]
    assert all(row["because"] for row in rows)
    errors = metadata_of(drawn_home, stage_named("image_pairs"))["rejections"].records
    assert [(row.data["rejected_by"], row.data["rejected"]) for row in errors] == [("error:out_of_memory", 1)]


def test_seconds_and_memory_are_told_by_model(drawn_home: Home) -> None:
    shown = metadata_of(drawn_home, stage_named("bounding_boxes"), step_seconds={"propose": 2.0, "compare": 1.0})
    models = {row.data["model"]: row.data for row in shown["models"].records}
    assert (models["segmenter"]["seconds"], models["image_text_encoder"]["seconds"]) == (2.0, 1.0)
    assert (shown["propose_seconds"], shown["compare_seconds"]) == (2.0, 1.0)


def test_a_table_that_was_up_to_date_shows_the_same_pictures_and_numbers_and_no_speed(drawn_home: Home) -> None:
    made = metadata_of(drawn_home, stage_named("bounding_boxes"))
    shown = metadata_of(drawn_home, stage_named("bounding_boxes"), changed=False, calls={}, measured=0)
    assert "(run run-1)" in shown["unchanged_since"]
    for name in ("kept_examples", "rejected_examples", "rejections", "keep_rate", "region_similarity_median"):
        assert shown[name] == made[name]
    assert not {"items_per_second", "models"} & set(shown)


def test_pictures_are_as_wide_as_the_page_and_the_same_each_time(drawn_home: Home) -> None:
    first, second = (
        kept_and_rejected(Ledger(drawn_home.ledger), stage_named("bounding_boxes"), SHARD) for _ in range(2)
    )
    assert first == second
    assert set(first) == {"kept", "rejected"}
    for markdown in first.values():
        data = base64.b64decode(markdown.partition("base64,")[2].removesuffix(")"))
        with Image.open(io.BytesIO(data)) as image:
            assert image.width <= 984
            assert len(set(image.convert("L").resize((40, 4)).get_flattened_data())) > SHOWN


def test_captions_are_text_and_nothing_else(drawn_home: Home) -> None:
    """A caption with markup, braces and direction marks stands in the table as it is."""
    shown = kept_and_rejected(Ledger(drawn_home.ledger), stage_named("prompt_pairs"), SHARD)
    text = "\n".join(shown.values())
    assert "<b>" not in text
    assert "&lt;b&gt;a red ball" in text
    assert all(line.count("|") == 4 for line in text.splitlines())


def test_a_damaged_image_costs_the_picture_and_nothing_else(own_home: Home) -> None:
    path: Path = Ledger(own_home.ledger).table_path("image_pairs", SHARD)
    path.write_bytes(path.read_bytes()[:2000])
    shown = metadata_of(own_home, stage_named("bounding_boxes"))
    assert shown["examples"].startswith("cannot be drawn")
    assert shown["kept"] > 0
