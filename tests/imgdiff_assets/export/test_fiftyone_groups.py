"""What FiftyOne is given: groups of two slices, boxes as shares; the package itself: `benchmarks/peers.py`."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.fiftyone_groups import FORMAT
from imgdiff_assets.export.options import Options
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.reading.samples import SampleImages

SHARDS = ["shard-000000", "shard-000001"]


def test_each_question_is_a_group_with_the_images_in_the_order_shown(task_home: Home, tmp_path: Path) -> None:
    ledger = Ledger(task_home.ledger)
    export(ledger, SHARDS, FORMAT, tmp_path / "out", Options(), lambda *told: None)
    rows = {row["sample_id"]: row for row in runpy.run_path(str(tmp_path / "out" / "groups.py"))["rows"]()}
    samples = [(shard, one) for shard, ones in gather(ledger, SHARDS).samples.items() for one in ones]
    assert set(rows) == {one.sample_id for _, one in samples}
    boxed = 0
    for shard, one in samples:
        row, images = rows[one.sample_id], SampleImages(ledger, shard)
        for name, image in zip(("left", "right"), one.shown.images, strict=True):
            picture = np.asarray(Image.open(tmp_path / "out" / row[name]["image"]).convert("RGB"))
            assert (picture == images(image)).all()
            assert row[name]["side"] == image.side
        images.close()
        if row["box"] is not None:
            x, y, width, height = row["box"]
            back = (x * one.width, y * one.height, (x + width) * one.width, (y + height) * one.height)
            assert back == pytest.approx(one.box, abs=0.01)
            boxed += 1
    assert boxed
