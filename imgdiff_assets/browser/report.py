"""The ledger as one HTML file that can be mailed: funnel, histograms, and rows of every reason with their pictures."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgdiff_assets.browser.candidates import read_rows
from imgdiff_assets.browser.images import NoImage
from imgdiff_assets.browser.samples import DEFAULT_SCORE, certificate
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.statistics import count_funnel, histograms
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages import graph
from imgdiff_assets.stages.stage import ERROR_PREFIX, Stage
from imgdiff_assets.statistics.funnel import Funnel

ROWS_OF_A_REASON = 6
SAMPLES = 12
STYLE = Path(__file__).parent / "static" / "site.css"


@dataclass(frozen=True, slots=True)
class Sheet:
    """Some rows of one stage with the same verdict (`reason` None: kept), of `count` in all; pictures as data URIs."""

    stage: str
    reason: str | None
    count: int
    score: str | None
    rows: list[dict[str, Any]]


def write_report(
    home: Home, recipe: Recipe, path: Path, shards: Sequence[str] | None = None, rows: int = ROWS_OF_A_REASON
) -> Funnel:
    """Write the report over some shards (default: all) at `path`; returns its funnel. Raises OSError."""
    site = Site(home, recipe, shards=shards)
    counts = count_funnel(site.index, recipe)
    page = site.render(
        "report.html",
        style=STYLE.read_text(encoding="utf-8"),
        funnel=counts,
        widest=max(1, *(stage.rows for stage in counts.stages)),
        histograms=histograms(site.index, recipe),
        certificate=certificate(site.index, recipe, DEFAULT_SCORE),
        sheets=list(_sheets(site, counts, rows)),
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return counts


def _sheets(site: Site, counts: Funnel, rows: int) -> Iterator[Sheet]:
    yield _sheet(site, graph.stage_named(graph.SAMPLES), None, counts.samples, SAMPLES)
    for stage, counted in zip(site.stages, counts.stages, strict=True):
        reasons = {**counted.rejected, **{ERROR_PREFIX + kind: count for kind, count in counted.errors.items()}}
        for reason, count in reasons.items():
            if count:
                yield _sheet(site, stage, reason, count, rows)


def _sheet(site: Site, stage: Stage, reason: str | None, count: int, most: int) -> Sheet:
    """The rows whose ids, which are hashes, come first: a random choice that stays the same."""
    places = site.index.rows(
        f"SELECT shard, row FROM {stage.name} WHERE rejected_by IS NOT DISTINCT FROM ? "
        f"ORDER BY {stage.id_column} LIMIT {int(most)}",
        [reason],
    )
    judge = next((step for step in stage.filters if step.name == reason), None)
    return Sheet(
        stage=stage.name,
        reason=reason,
        count=count,
        score=f"{stage.name}.{judge.score}" if judge is not None and judge.score else None,
        rows=[{**row, "picture": _picture(site, row)} for row in read_rows(site.index, stage, places)],
    )


def _picture(site: Site, row: dict[str, Any]) -> str | None:
    if not row["pictured"]:
        return None
    try:
        erased = row["region_id"] if row["erased_hash"] else None
        data = site.pictures.thumbnail(row["pair_id"], erased, row["images"][0].side).data
    except NoImage:
        return None
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"
