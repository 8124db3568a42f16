"""The page of one row, found by its id or how it begins."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from imgdiff_assets.browser.correcting import correctable
from imgdiff_assets.browser.exports import exported
from imgdiff_assets.browser.neighbours import neighbours
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.prepared import prepared
from imgdiff_assets.browser.question import read_question
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.story import NoRow, id_columns, story_of
from imgdiff_assets.common.hashing import ID_LENGTH
from imgdiff_assets.ingest.shards import ShardError
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tags import tags_by_row
from imgdiff_assets.lineage.lineage import SHORTEST_PREFIX, LineageError, find_row
from imgdiff_assets.reading.samples import StaleSample
from resources.installed import BrokenPart


def row_page(site: Site, identity: str, values: Mapping[str, str], who: Visitor) -> str:
    """`erased` asks for what came of erasing a region; all else for the rows around, as the gallery has them.

    Raises NoRow, BadQuestion.
    """
    asked = {name: value for name, value in values.items() if name != "erased"}
    around = None
    if asked:
        question, _ = prepared(site, read_question(asked))
        around = neighbours(site.index, question, identity)
    story = story_of(site, identity, "erased" in values)
    exports: list[tuple[str, str]] = []
    if story.sample is not None:
        # A sample that is older than its images is exported by nobody, until the next run; and none is while an
        # installed format is broken, as `imgdiff export` tells whoever wants to.
        with suppress(StaleSample, DamagedTable, LookupError, OSError, BrokenPart):
            exports = exported(site.index.ledger, story.sample.shard, story.sample.id)
    dagster = _Dagster(site.dagster_url)
    here = urlencode(values)
    return site.render(
        "row.html",
        story=story,
        around=around,
        exports=exports,
        dagster=dagster,
        who=who,
        correct=correctable(site, story.region_id) if story.is_of_region else None,
        back=f"/row/{identity}" + (f"?{here}" if here else ""),
        gone=site.pictures.not_kept(story.images),
        tags=tags_by_row(site.home).get(identity, []),
    )


def find_page(site: Site, text: str) -> str:
    """The address of the one row whose id begins so, or a page that lists several. Raises NoRow."""
    prefix = text.strip().lower()
    if not SHORTEST_PREFIX <= len(prefix) <= ID_LENGTH or not all(sign in "0123456789abcdef" for sign in prefix):
        raise NoRow(f"Give an id, or the first {SHORTEST_PREFIX} or more of its {ID_LENGTH} hexadecimal digits.")
    found: dict[str, str] = {}
    for column, table in id_columns():
        sql = f"SELECT DISTINCT {column} AS id FROM {table} WHERE starts_with({column}, ?) ORDER BY id LIMIT 50"
        for row in site.index.rows(sql, [prefix]):
            found.setdefault(row["id"], column.removesuffix("_id"))
    if len(found) > 1:
        return site.render("find.html", prefix=prefix, found=found)
    if not found:
        try:
            _, identity, _ = find_row(site.home, Ledger(site.home.ledger), prefix)
        except (LineageError, DamagedTable, ShardError):
            raise NoRow(f"No caption, pair, region or sample has an id that begins with {prefix}.") from None
        return f"/row/{identity}"
    return f"/row/{next(iter(found))}"


@dataclass(frozen=True, slots=True)
class _Dagster:
    """Addresses in Dagster's web UI; empty text where there is none."""

    url: str | None

    def run(self, run_id: str | None) -> str:
        return f"{self.url}/runs/{quote(run_id, safe='')}" if self.url is not None and run_id else ""

    def partition(self, asset: str, shard: str) -> str:
        query = urlencode({"view": "partitions", "partition": shard})
        return f"{self.url}/assets/{quote(asset, safe='')}?{query}" if self.url is not None else ""
