"""`imgdiff status`: one screen, told from files alone."""

import json
from typing import Any

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger


def test_it_tells_how_a_home_stands(invoke: Any, miniature_home: Home) -> None:
    with Ledger(miniature_home.ledger).lock("captions", "shard-000000", "run 12 (process 7 on box)"):
        text = invoke(miniature_home.root, "status", "--set", "automation.cron='0 3 * * *'").output
    assert "shards   1 shard: 1 fresh, 0 stale" in text
    assert "works    captions.shard-000000: run 12 (process 7 on box)" in text
    assert "next     nothing to do; " in text
    assert " 03:00 UTC, while `imgdiff ui` is open" in text
    assert len(text.splitlines()) < 24
    changed = ["--set", "filtered_pairs.min_similarity=0.9", "automation.budget.hours=2"]
    found = json.loads(invoke(miniature_home.root, "status", "--json", *changed).output)
    assert (found["fresh"], sum(found["stale"].values()), found["working"]) == (0, 1, {})
    assert "of 2.0 hours spent since" in found["budget"]
