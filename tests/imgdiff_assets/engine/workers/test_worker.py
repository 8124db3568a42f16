"""A worker reads what comes next while it measures, and keeps nothing of what it has measured."""

import gc
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pyarrow.parquet as pq
import pytest

from imgdiff_assets.common.aliases import Pixels, Row
from imgdiff_assets.engine.batches import Batches, Failure
from imgdiff_assets.engine.shard_work import Sources
from imgdiff_assets.engine.workers import worker as module
from imgdiff_assets.engine.workers.order import Answer, Order
from imgdiff_assets.engine.workers.worker import Worker
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import StoredImages
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import read_table
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named

SHARD = "shard-000000"
PATIENCE = 120.0


class Held:
    """Measuring that waits until it is let go, and what was read for each batch by then."""

    def __init__(self) -> None:
        self.measuring, self.let_go, self.next_read = Event(), Event(), Event()
        self.read: list[dict[str, weakref.ref[Pixels]]] = []

    def run(self, rows: Sequence[Row]) -> list[list[Row]]:
        self.measuring.set()
        assert self.let_go.wait(PATIENCE)
        return [[{}] for _ in rows]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    made, read = Held(), module._Assignment.read

    def watched(assignment: Any, rows: Sequence[Row], own: Mapping[str, Any]) -> dict[str, tuple[Pixels, Pixels]]:
        found = read(assignment, rows, own)
        made.read.append({identity: weakref.ref(images[0]) for identity, images in found.items()})
        if len(made.read) == 2:
            made.next_read.set()
        return found

    monkeypatch.setattr(module._Assignment, "read", watched)
    monkeypatch.setattr(StoredImages, "KEPT_ROWS", 1)
    monkeypatch.setattr(Batches, "run", lambda batches, rows: made.run(rows))
    return made


@pytest.fixture
def order(drawn_home: Home, miniature_recipe: Recipe) -> Order:
    stage = stage_named("filtered_pairs")
    step = stage.measurements[0]
    settings = {role: miniature_recipe.role(role) for role in step.roles}
    sources = Sources(drawn_home.ledger, SHARD, pairs=True)
    return Order(1, stage.name, step.name, step.version, sources, {}, settings, {}, 1)


@pytest.fixture
def pairs(drawn_home: Home) -> list[str]:
    table = Ledger(drawn_home.ledger).read("image_pairs", SHARD)
    return [row["pair_id"] for row in table.select(["pair_id", "width"]).to_pylist() if row["width"]][:4]


def test_the_next_batch_is_read_while_one_is_measured_and_no_batch_is_kept(
    held: Held, order: Order, pairs: list[str]
) -> None:
    worker, batches = (
        Worker(takes_turns=False),
        [[{"pair_id": each} for each in pairs[start : start + 2]] for start in (0, 2)],
    )
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(worker.measure, order, batches[0], {})
        assert held.measuring.wait(PATIENCE)
        second = threads.submit(worker.measure, order, batches[1], {})
        assert held.next_read.wait(PATIENCE), "read and decoded"
        assert not first.done(), "by a worker that measures"
        assert [list(read) for read in held.read] == [pairs[:2], pairs[2:]]
        assert all(image() is not None for read in held.read for image in read.values())
        held.let_go.set()
        for done in (first, second):
            assert isinstance(done.result(PATIENCE), Answer)
    gc.collect()
    left = [identity for read in held.read for identity, image in read.items() if image() is not None]
    assert left in ([], [pairs[-1]]), "but the last that was read, at hand for the next"


def test_images_are_put_where_they_stay_and_do_not_travel(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, ledger, failed = stage_named("image_pairs"), Ledger(own_home.ledger), Failure("value", "it was so")
    cell = {"bytes": b"drawn", "path": "x.png"}
    drawn = {"source_hash": "1", "target_hash": "2", "source_image": cell, "target_image": cell}
    monkeypatch.setattr(Batches, "run", lambda batches, rows: [failed, [drawn]])
    step = stage.measurements[0]
    order = Order(1, stage.name, step.name, step.version, Sources(own_home.ledger, SHARD), {}, {}, {}, 2)
    answer = Worker(takes_turns=False).measure(order, [{"pair_id": "1"}, {"pair_id": "2"}], {})
    assert isinstance(answer, Answer)
    failure, (row,) = answer.results
    assert failure == failed
    parts = ledger.parts(stage.name, SHARD)
    there = parts.entries()
    put = pq.read_table(parts.path(row["source_image"]["part"]))
    assert put.to_pylist() == [{"hash": known, "image": cell} for known in ("1", "2")]
    batch = ledger.stage_batch(stage.name, SHARD, step.name, [row], stage.schema)
    assert parts.entries() == there, "the driver writes none again"
    assert read_table(batch, images=True)["target_image"].to_pylist() == [cell]
