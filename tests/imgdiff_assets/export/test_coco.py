"""What COCO's own library reads of regions whose objects nobody named."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from imgdiff_assets.export.coco import FORMAT, UNNAMED
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather

DRAWN, GIVEN = ["shard-000000", "shard-000001"], ["shard-000002"]


def named_sides(home: Home, shards: Sequence[str]) -> dict[tuple[str | None, str], str | None]:
    """The object of each side of each region that is annotated."""
    return {
        (sample.region_id, side): getattr(sample, f"{side}_object")
        for sample in gather(Ledger(home.ledger), shards)
        if sample.box and not sample.erased_from
        for side in ("source", "target")
    }


@pytest.mark.parametrize("shards", [GIVEN, [*DRAWN, *GIVEN], DRAWN], ids=["unnamed", "both", "named"])
def test_a_region_without_a_named_object_is_a_changed_region(
    home_of_0_1_0: Home, tmp_path: Path, shards: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    export(Ledger(home_of_0_1_0.ledger), shards, FORMAT, tmp_path / "out", Options(), lambda *told: None)
    coco = COCO(str(tmp_path / "out" / "annotations" / "train.json"))
    objects = named_sides(home_of_0_1_0, shards)
    found = coco.loadAnns(coco.getAnnIds())
    assert {(one["region_id"], one["side"]): coco.cats[one["category_id"]]["name"] for one in found} == {
        key: name or UNNAMED for key, name in objects.items()
    }
    assert set(GIVEN) & set(shards) == set() or None in objects.values(), "the pairs that were given name no objects"
    # Its number is the same whatever else there is, and it is there only where it is needed.
    assert coco.getCatIds(catNms=[UNNAMED]) == ([1] if None in objects.values() else [])
    assert all(category["name"] for category in coco.cats.values())
