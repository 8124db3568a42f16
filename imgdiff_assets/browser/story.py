"""One row's story: the chain it came by, its siblings, what reviewers say, and what to type to learn more."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.site import ERASED, Site
from imgdiff_assets.common.errors import ImgDiffError
from imgdiff_assets.ingest.shards import ShardError
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import Review, read_reviews
from imgdiff_assets.lineage.lineage import CAPTION as CAPTION_TABLE
from imgdiff_assets.lineage.lineage import (
    TABLE_OF_ID,
    LineageError,
    Node,
    find_row,
    lineage_of,
)
from imgdiff_assets.method.caption_edit import marked
from imgdiff_assets.method.near_duplicates import VECTOR_COLUMNS
from imgdiff_assets.method.regions import BOX_COLUMNS
from imgdiff_assets.method.tasks import SIDES
from imgdiff_assets.reading.shown import Shown, ShownImage, shown, shown_images
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.derived_items import TABLE as DERIVED
from imgdiff_assets.stages.graph import SAMPLES, line, stage_named

BOXES = "bounding_boxes"
"""The stage of regions."""

TO_SAMPLES = line(SAMPLES)
"""The stages whose rows samples are made of; beside them stand stages that packages add."""


HIDDEN = {"conversations", *TABLE_OF_ID, *BOX_COLUMNS, *VECTOR_COLUMNS}
"""Values of rows that the page shows in another way."""


class NoRow(ImgDiffError, LookupError):
    """No row has this id, or the row is being replaced at this moment."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box of the pair and what became of it: `rejected_by` is the last filter that it met, None if it was kept."""

    region_id: str
    box: tuple[float, float, float, float]
    label: str
    kept: bool
    rejected_by: str | None
    samples: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What the page of one row tells. `chain` leads from the caption to the row, and on while nothing branches.

    `others` were made of rows of the chain too.
    """

    identity: str
    asked: Node
    chain: list[Node]
    others: list[Node]
    pair: dict[str, Any] | None
    regions: list[Region]
    region_id: str | None
    reviews: list[Review]
    commands: list[tuple[str, str]]

    @property
    def sample(self) -> Node | None:
        """The sample among the rows of the chain."""
        return next((node for node in self.chain if node.table == SAMPLES), None)

    @property
    def is_of_region(self) -> bool:
        """Whether it is about a region in the pair's two images, and not about one that was erased."""
        return self.region_id is not None and not any(node.table == ERASED for node in self.chain)

    @property
    def corrections(self) -> tuple[str, ...]:
        """What people say instead of what was found of the region."""
        return next((node.corrections for node in reversed(self.chain) if node.corrections), ())

    @property
    def shown(self) -> Shown | None:
        """What is shown of the sample, as trainers see it."""
        return None if self.sample is None else shown(self.sample.values)

    @property
    def images(self) -> Sequence[ShownImage]:
        """The two images: in the order of the sample if there is one, else the source first."""
        if self.pair is None:
            return ()
        if self.shown is not None:
            return self.shown.images
        erased = next((node for node in self.chain if node.table == ERASED and node.values["erased_hash"]), None)
        if erased is None:
            return shown_images(self.pair["pair_id"])
        return shown_images(self.pair["pair_id"], erased.id, erased.values["found_in"])

    @property
    def drawn_regions(self) -> list[Region]:
        """In the order they are drawn: the row's own on top, kept ones above rejected ones, small above large."""

        def height(region: Region) -> tuple[bool, bool, float]:
            x1, y1, x2, y2 = region.box
            return region.region_id == self.region_id, region.kept, -(x2 - x1) * (y2 - y1)

        return sorted(self.regions, key=height)

    @property
    def region_index(self) -> int | None:
        """Which of the regions the row is, or is made of."""
        return next((at for at, region in enumerate(self.regions) if region.region_id == self.region_id), None)

    def marked(self, table: str) -> Any:
        """The two texts of a row of the chain, in the order of the images; None without them.

        By the name of the image that each is of: runs of words, each with whether it differs.
        """
        columns = stage_named(table).compared_texts
        node = next((node for node in self.chain if node.table == table), None)
        if columns is None or node is None or not all(node.values.get(column) for column in columns):
            return None
        texts = dict(zip(SIDES, marked(*(node.values[column] for column in columns)), strict=True))
        names = [image.name for image in self.images]
        return {name: texts[name] for name in (names if set(names) == set(SIDES) else SIDES)}

    def facts(self, node: Node) -> list[tuple[str, str, str]]:
        """What a row of the chain adds to those above it: (name, text, title), long hashes shortened."""
        above = [before.values for before in self.chain[: self.chain.index(node)]]
        found = []
        for name, value in node.values.items():
            repeated = any(name in values and values[name] == value for values in above)
            if value is None or repeated or name in HIDDEN:
                continue
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            short = f"{text[:12]}…" if name.endswith("_hash") else text
            found.append((name, short, text if short != text else ""))
        if node.table == BOXES and node.values.get("x1") is not None:
            corners = ", ".join(f"{node.values[name]:.4g}" for name in BOX_COLUMNS)
            found.append(("box", corners, "x1, y1, x2, y2 in pixels"))
        return found


def id_columns() -> list[tuple[str, str]]:
    """Every kind of id, with a table of the index that has all of that kind."""
    known = [(column, "prompt_pairs" if table == CAPTION_TABLE else table) for column, table in TABLE_OF_ID.items()]
    return [*known, ("pair_id", DERIVED)]


def story_of(site: Site, identity: str, erased: bool = False) -> Story:
    """Everything the page tells of one row; of a region, with `erased`, what came of erasing it. Raises NoRow."""
    for _ in range(2):
        try:
            column, shard = _locate(site, identity)
            root = lineage_of(site.home, site.recipe, column, identity, shard)
            return _story(site, identity, root, erased)
        except (DamagedTable, ShardError, LookupError, ValueError, OSError) as error:
            if isinstance(error, NoRow):
                raise
            # A run has replaced a table between two reads.
            site.index.refresh(at_once=True)
    raise NoRow(f"{identity}: the tables of this row are being replaced; reload the page.")


def _locate(site: Site, identity: str) -> tuple[str, str]:
    """(id column, shard) of a row."""
    for column, table in id_columns():
        if found := site.index.rows(f"SELECT shard FROM {table} WHERE {column} = ? LIMIT 1", [identity]):
            return column, found[0]["shard"]
    try:
        column, _, shard = find_row(site.home, Ledger(site.home.ledger), identity)
    except LineageError as error:
        raise NoRow(f"No caption, pair, region or sample has the id {identity}.") from error
    return column, shard


def _story(site: Site, identity: str, root: Node, erased: bool) -> Story:
    chain = _path(root)
    asked = chain[-1]
    others: list[Node] = []
    while chain[-1].children:
        onwards = [child for child in chain[-1].children if child.table in TO_SAMPLES]
        following = [child for child in onwards if (child.table == ERASED) == (erased and _branches(chain))]
        others += [child for child in chain[-1].children if child not in following]
        if len(following) != 1:
            others += following
            break
        chain.append(following[0])
    ids = {node.table: node.id for node in chain}
    pair_id = ids.get(DERIVED, ids.get("prompt_pairs"))
    region_id = ids.get(BOXES)
    reviews = read_reviews(site.home).by_sample.get(ids.get(SAMPLES, ""), {})
    return Story(
        identity=identity,
        asked=asked,
        chain=chain,
        others=others,
        pair=_pair(site.index, pair_id),
        regions=regions_of(site.index, pair_id),
        region_id=region_id,
        reviews=sorted(reviews.values(), key=lambda review: review.at),
        commands=list(_commands(site.recipe, identity, chain)),
    )


def _branches(chain: list[Node]) -> bool:
    """Whether the erased image is made next."""
    return chain[-1].table == BOXES


def _path(node: Node) -> list[Node]:
    """From the root to the row that was asked for."""
    if node.asked_for:
        return [node]
    for child in node.children:
        if path := _path(child):
            return [node, *path]
    return []


def _pair(index: Index, pair_id: str | None) -> dict[str, Any] | None:
    rows = index.rows(
        "SELECT pair_id, width, height, source_hash, target_hash FROM "
        f"(SELECT * FROM image_pairs UNION ALL BY NAME SELECT * FROM {DERIVED}) "
        "WHERE pair_id = ? AND source_hash IS NOT NULL AND target_hash IS NOT NULL",
        [pair_id],
    )
    return rows[0] if rows else None


def regions_of(index: Index, pair_id: str | None, region_id: str | None = None) -> list[Region]:
    """All boxes of the pair, kept ones first, then the most different first; or the one region alone."""
    alone = "" if region_id is None else "AND b.region_id = ? "
    # A box that a person drew is in the table below that of the one that was found.
    corners = ", ".join(f"coalesce(c.{name}, b.{name}) AS {name}" for name in BOX_COLUMNS)
    rows = index.rows(
        f"SELECT b.region_id, b.found_in, {corners}, b.kept AND coalesce(c.kept, true) AS kept, "
        "coalesce(b.rejected_by, c.rejected_by) AS rejected_by "
        "FROM bounding_boxes AS b LEFT JOIN captions AS c ON b.shard = c.shard AND b.region_id = c.region_id "
        f"WHERE b.pair_id = ? AND b.x1 IS NOT NULL {alone}"
        "ORDER BY NOT b.kept, b.rank, b.region_similarity, b.region_id",
        [pair_id, *([region_id] if alone else [])],
    )
    samples: dict[str, list[dict[str, Any]]] = {}
    for sample in index.rows(
        "SELECT sample_id, region_id, task, kept, rejected_by FROM fine_tune_set WHERE pair_id = ? ORDER BY sample_id",
        [pair_id],
    ):
        samples.setdefault(sample["region_id"], []).append(sample)
    regions = []
    for number, row in enumerate(rows, 1):
        made = samples.get(row["region_id"], [])
        rejected = row["rejected_by"] or next((sample["rejected_by"] for sample in made if not sample["kept"]), None)
        regions.append(
            Region(
                region_id=row["region_id"],
                box=tuple(row[name] for name in BOX_COLUMNS),
                label=f"{'' if alone else f'{number}, '}found in the {row['found_in']} image",
                kept=rejected is None,
                rejected_by=rejected,
                samples=tuple(made),
            )
        )
    return regions


def _commands(recipe: Recipe, identity: str, chain: list[Node]) -> Iterator[tuple[str, str]]:
    """What to type, and what for."""
    yield f"imgdiff lineage {identity}", "this chain as a tree of text"
    if any(node.table == "prompt_pairs" for node in chain):
        yield f"imgdiff replay {identity}", "make it again, and compare"
    yield from islice(_turning_points(recipe, chain), 1)


def _turning_points(recipe: Recipe, chain: list[Node]) -> Iterator[tuple[str, str]]:
    """What-ifs that would turn the verdict: let a rejected row pass its filter, or drop a kept one, nearest first."""
    rejecting = chain[-1].verdict.removeprefix("rejected by ").partition(":")[0]
    limits = [
        (abs(score.value - limit.now), node.table, score.value, limit)
        for node in chain
        for score in node.scores
        for limit in score.limits
        if isinstance(score.value, float) and (chain[-1].kept or limit.filter == rejecting)
    ]
    for _, table, value, limit in sorted(limits, key=lambda entry: entry[:2]):
        passes = value >= limit.now if limit.keeps_larger else value < limit.now
        # Just beyond the score, on the side where the verdict turns.
        turned = math.floor(value * 1e4) / 1e4 if limit.keeps_larger != passes else math.ceil(value * 1e4 + 0.1) / 1e4
        override = f"{table}.{limit.setting}={turned:g}"
        with suppress(RecipeError):
            override_recipe(recipe, [override])
            yield (
                f"imgdiff what-if --set {override}",
                f"the threshold that {'would drop it' if passes else f'{limit.filter} would let it pass by'}",
            )
