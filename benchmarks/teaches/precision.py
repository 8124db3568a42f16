"""How right a set is: an independent judge looks into the boxes of some of its differences."""

import random
from pathlib import Path
from typing import Any

from benchmarks.derived import is_right
from benchmarks.judge import Judge
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.statistics.certificate import wilson

JUDGED = 300
SEED = 0


def precision(root: Path, count: int = JUDGED) -> dict[str, Any]:
    """Of the home at `root`: how many `difference` samples it has, and how many of `count` of them are right."""
    home, judge = Home(root), Judge()
    ledger = Ledger(home.ledger)
    found = [
        (shard, sample)
        for shard in shard_keys(home)
        for sample in read_samples(ledger, shard)
        if sample.task == "difference"
    ]
    judged = sorted(random.Random(SEED).sample(range(len(found)), min(count, len(found))))
    right = 0
    for shard in dict.fromkeys(found[number][0] for number in judged):
        images = SampleImages(ledger, shard)
        for sample in (found[number][1] for number in judged if found[number][0] == shard):
            right += is_right(judge, sample, [images(image) for image in sample.shown.images])
        images.close()
    low, high = wilson(right, len(judged))
    return {"differences": len(found), "judged": len(judged), "right": right, "low": low, "high": high}
