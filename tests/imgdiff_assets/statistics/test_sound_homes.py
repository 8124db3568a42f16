"""Checks accuse nobody who is innocent: all are silent about sound homes of every way in, by whatever thresholds."""

from typing import Any

import pyarrow.compute as pc
import pytest

from imgdiff_assets.defs.checks import ALL_INVARIANTS
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES


def accusations(home: Home) -> list[Any]:
    """What any check finds in any table."""
    ledger = Ledger(home.ledger)
    return [
        (stage.name, invariant.name, row)
        for stage in STAGES
        for invariant in ALL_INVARIANTS
        if invariant.concerns(stage)
        for row in invariant.violations(stage, ledger, ledger.shards(stage.name))
    ]


def test_a_home_where_all_passes_is_sound(whole_home: Home) -> None:
    assert accusations(whole_home) == []


def test_it_has_what_checks_could_stumble_over(whole_home: Home) -> None:
    """Else the test before would prove nothing."""
    ledger = Ledger(whole_home.ledger)
    boxes = scan(ledger, "bounding_boxes", ["proposal_score", "source_object", "match"], pc.field("kept")).to_pylist()
    assert max(row["proposal_score"] for row in boxes) > 1
    assert [row for row in boxes if row["source_object"] is None and row["match"] is None]
    columns = ["pair_id", "task", "region_id", "erased_from", "match_margin", "split", "source_hash"]
    samples = scan(ledger, "fine_tune_set", columns, pc.field("kept")).to_pylist()
    assert {row["shard"] for row in samples} >= {"shard-000000", "shard-000003"}
    assert {row["task"] for row in samples} >= {"difference", "which_image", "grounding", "edit_instruction"}
    assert [row for row in samples if row["erased_from"]]
    assert min(row["match_margin"] for row in samples if row["match_margin"] is not None) < 0

    assert [row for row in samples if row["region_id"] is None]
    assert [row for row in samples if row["region_id"] and not row["erased_from"]]


def test_a_home_of_an_earlier_release_is_sound(home_of_0_1_0: Home) -> None:
    assert accusations(home_of_0_1_0) == []


@pytest.mark.slow
def test_a_home_of_real_models_is_sound(miniature_home: Home) -> None:
    assert accusations(miniature_home) == []
