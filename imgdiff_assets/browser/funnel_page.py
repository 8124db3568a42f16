"""The first page: the funnel, what each filter dropped, and how the scores lie around the thresholds."""

from collections.abc import Mapping
from typing import Any

from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.statistics import count_funnel, histograms, keep_rates, kept_by_kind
from imgdiff_assets.ingest.shards import shard_keys

SHARDS_PER_PAGE = 200


def funnel_page(site: Site, values: Mapping[str, str]) -> str:
    """`shard` narrows everything to one shard. Raises BadQuestion."""
    shard = values.get("shard", "")
    index = site.index
    if shard and shard not in index.shards():
        raise BadQuestion(f"{shard!r} has no tables yet, or is no shard")
    return site.render(
        "funnel.html",
        shard=shard,
        **index.computed("funnel", f"{site.recipe.hash} {shard}", lambda: _counted(site, shard)),
    )


def _counted(site: Site, shard: str) -> dict[str, Any]:
    """What the page tells of the tables."""
    index = site.index
    counts = count_funnel(index, site.recipe, shard)
    made = {stage.stage: bool(stage.shards) for stage in counts.stages}
    rates = {stage.stage: keep_rates(index, stage.stage, shard) for stage in counts.stages if stage.rejected}
    return {
        "funnel": counts,
        "kinds": kept_by_kind(index, [stage for stage in site.stages if made[stage.name]], shard),
        "widest": max(1, *(stage.rows for stage in counts.stages)),
        "histograms": histograms(index, site.recipe, shard),
        "rates": {name: points for name, points in rates.items() if len(points) > 1},
    }


def shards_page(site: Site, values: Mapping[str, str]) -> str:
    """Kept and judged rows of every stage, shard by shard; `after` is the last shard of the page before."""
    after = values.get("after", "")
    tables: dict[str, dict[str, Any]] = {
        key: dict.fromkeys(stage.name for stage in site.stages)
        for key in {*shard_keys(site.home), *site.index.shards()}
        if key > after
    }
    for (asset, key), record in list(site.index.records.items()):
        if asset in tables.get(key, {}) and record:
            tables[key][asset] = record
    keys = sorted(tables)
    more = keys[SHARDS_PER_PAGE - 1] if len(keys) > SHARDS_PER_PAGE else None
    return site.render("shards.html", tables={key: tables[key] for key in keys[:SHARDS_PER_PAGE]}, more=more)
