"""The engine's promises, on a stage whose measurements are arithmetic: quick to run, exact to check."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgdiff_assets.common.aliases import Row
from imgdiff_assets.common.hashing import content_hash, content_id
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import ShardFailed, materialize
from imgdiff_assets.engine.parents import Inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.ledger.cells import IMAGE, CellReference
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.filtered_pairs import FilteredPairsSettings
from imgdiff_assets.stages.stage import Above, Stage
from imgdiff_assets.stages.steps import Measurement, Work, at_least, below
from resources.loading import devices, turns
from resources.loading.settings import ModelSettings
from tests.apart import CONTEXT

SHARD = "shard-000000"
BOOKKEEPING = {"run_id", "measured_at"}


@dataclass
class Calls:
    """How many rows each measurement was asked for, and what it should do instead of answering."""

    counts: dict[str, int] = field(default_factory=dict)
    trouble: Callable[[str, Row], None] = lambda step, row: None

    def note(self, step: str, rows: Sequence[Row]) -> None:
        for row in rows:
            self.trouble(step, row)
        self.counts[step] = self.counts.get(step, 0) + len(rows)


class Arithmetic(LoadedModels):
    """A model resource whose only setting is how many rows a batch has."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(
            {"calculator": ModelSettings(model="none", batch_size=batch_size)}, {"calculator": lambda: None}
        )

    def identity(self, role: str) -> dict[str, Any]:
        return self.settings(role).identity()


def build_stage(calls: Calls, version: int = 1) -> Stage:
    """Numbers to their multiples: an expanding measurement with images, a filter, a dearer measurement, a filter."""

    def items(tables: Mapping[str, pa.Table], settings: Mapping[str, Any]) -> pa.Table:
        return tables["numbers"]

    def multiply(rows: Sequence[Row], work: Work) -> list[list[Row]]:
        calls.note("multiply", rows)
        return [
            [
                {
                    "factor": factor,
                    "product": row["number"] * factor / 100,
                    "image": {"bytes": b"%d" % factor, "path": None},
                }
                for factor in range(1, 1 + row["number"] % 3 + 1)
            ]
            for row in rows
        ]

    def square(rows: Sequence[Row], work: Work) -> list[Row]:
        calls.note("square", rows)
        return [{"square": row["product"] ** 2} for row in rows]

    return Stage(
        name="filtered_pairs",
        id_column="id",
        parents=("numbers",),
        above=(Above("numbers", "number"),),
        section=FilteredPairsSettings,
        item_columns=(pa.field("number", pa.int64()),),
        items=items,
        row_id=lambda row: content_id(row["number"], row.get("factor")),
        description="arithmetic",
        steps=(
            Measurement(
                "multiply",
                (pa.field("factor", pa.int64()), pa.field("product", pa.float32()), pa.field("image", IMAGE)),
                ("number",),
                multiply,
                roles=("calculator",),
                version=version,
                expands=True,
            ),
            at_least("too_small", "product", "min_similarity", "it is too small"),
            Measurement("square", (pa.field("square", pa.float32()),), ("product",), square, roles=("calculator",)),
            below("too_large", "square", "max_similarity", "it is too large"),
        ),
    )


def limits(low: float = 0.3, high: float = 0.8) -> Recipe:
    section = FilteredPairsSettings(min_similarity=low, max_similarity=high)
    return load_recipe("miniature").model_copy(update={"filtered_pairs": section})


def numbers(values: Sequence[int], rejected: Sequence[int] = ()) -> Inputs:
    rows = [{"number": value, "kept": value not in rejected} for value in values]
    schema = pa.schema([("number", pa.int64()), ("kept", pa.bool_())])
    return Inputs(content_hash(rows), lambda: {"numbers": pa.Table.from_pylist(rows, schema=schema)})


def go(
    root: Path,
    values: Sequence[int] = range(60),
    recipe: Recipe | None = None,
    calls: Calls | None = None,
    batch: int = 7,
    version: int = 1,
    rejected: Sequence[int] = (),
    log: Callable[[str], None] = lambda text: None,
    shard: str = SHARD,
    again: bool = False,
) -> tuple[Materialization, Calls]:
    calls = calls or Calls()
    stage = build_stage(calls, version)
    inputs = numbers(values, rejected)
    models = Arithmetic(batch)
    ledger = Ledger(root / "ledger")
    record = materialize(stage, shard, inputs, recipe or limits(), ledger, models, "run", log, again=again)
    return record, calls


def rows_of(root: Path) -> list[Row]:
    """The table's rows, images included, without run and time."""
    table = Ledger(root / "ledger").read("filtered_pairs", SHARD, images=True)
    return [{name: value for name, value in row.items() if name not in BOOKKEEPING} for row in table.to_pylist()]


def test_every_candidate_is_kept_with_scores_and_reason(tmp_path: Path) -> None:
    record, _ = go(tmp_path)
    rows = rows_of(tmp_path)
    assert len(rows) == sum(1 + value % 3 for value in range(60))
    for row in rows:
        expected = "too_small" if row["product"] < 0.3 else "too_large" if row["product"] ** 2 >= 0.8 else None
        assert row["rejected_by"] == expected
        assert row["kept"] == (expected is None)
        assert (row["square"] is None) == (expected == "too_small")
        assert row["image"]["bytes"] == b"%d" % row["factor"]
    assert record.kept == sum(row["kept"] for row in rows)
    first, second = record.filters
    assert (first.seen, second.seen) == (len(rows), first.passed)
    assert first.rejected == record.rejections["too_small"]
    assert first.p05 <= first.p50 <= first.p95


def test_a_second_run_measures_and_writes_nothing(tmp_path: Path) -> None:
    go(tmp_path)
    path = Ledger(tmp_path / "ledger").table_path("filtered_pairs", SHARD)
    before = path.stat().st_mtime_ns
    record, calls = go(tmp_path)
    assert calls.counts == {}
    assert not record.changed
    assert path.stat().st_mtime_ns == before


def test_a_changed_threshold_measures_only_what_it_lets_in(tmp_path: Path) -> None:
    go(tmp_path, recipe=limits(low=0.5))
    rejected = sum(row["rejected_by"] == "too_small" and row["product"] >= 0.3 for row in rows_of(tmp_path))
    assert rejected > 0
    _, calls = go(tmp_path, recipe=limits(low=0.3))
    assert calls.counts == {"square": rejected}
    _, calls = go(tmp_path, recipe=limits(low=0.6))
    assert calls.counts == {}
    # What was measured while the threshold was lower is still there.
    _, calls = go(tmp_path, recipe=limits(low=0.3))
    assert calls.counts == {}


def test_appended_items_alone_are_measured(tmp_path: Path) -> None:
    go(tmp_path, values=range(40))
    record, calls = go(tmp_path, values=range(50))
    assert calls.counts["multiply"] == 10
    assert (record.reused, record.measured) == (40, 10)


def test_a_raised_code_version_measures_again_what_it_is_told_to(tmp_path: Path) -> None:
    go(tmp_path, values=range(50))
    record, calls = go(tmp_path, version=2)
    assert calls.counts["multiply"] == 10, "what is new is measured by new code, the rest is left"
    assert record.left == {"multiply": [1]}
    record, calls = go(tmp_path, version=3, values=range(65))
    assert calls.counts["multiply"] == 5
    assert record.left == {"multiply": [2, 1]}
    _, calls = go(tmp_path, version=3, again=True)
    assert calls.counts["multiply"] == 60
    assert "square" not in calls.counts, "the later measurement depends on the product, which is the same"


def test_rows_of_rejected_parents_stay_until_the_parent_returns(tmp_path: Path) -> None:
    go(tmp_path)
    whole = rows_of(tmp_path)
    record, _ = go(tmp_path, rejected=[5, 50])
    gone = [row for row in rows_of(tmp_path) if row["number"] in (5, 50)]
    assert {row["rejected_by"] for row in gone} == {"upstream"}
    assert record.filters[0].seen == len(whole) - len(gone)
    _, calls = go(tmp_path)
    assert calls.counts == {}
    assert rows_of(tmp_path) == whole


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(20)), batch=st.integers(1, 25))
def test_rows_do_not_depend_on_order_or_batch(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], batch: int
) -> None:
    plain, other = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("other")
    go(plain, values=range(20))
    go(other, values=order, batch=batch)
    by_id = {row["id"]: row for row in rows_of(plain)}
    assert {row["id"]: row for row in rows_of(other)} == by_id
    assert [row["number"] for row in rows_of(other)] == [n for n in order for _ in range(1 + n % 3)]


def test_a_failing_row_is_kept_with_its_error_and_tried_again(tmp_path: Path) -> None:
    def trouble(step: str, row: Row) -> None:
        if step == "multiply" and row["number"] in (3, 33):
            raise ValueError("the image is truncated")

    record, _ = go(tmp_path, calls=Calls(trouble=trouble))
    failed = [row for row in rows_of(tmp_path) if row["error"]]
    assert [(row["number"], row["rejected_by"], row["error"]) for row in failed] == [
        (3, "error:value", "the image is truncated"),
        (33, "error:value", "the image is truncated"),
    ]
    assert (record.errors, record.measured) == (2, 58)
    record, calls = go(tmp_path)
    assert calls.counts["multiply"] == 2
    assert (record.errors, record.reused) == (0, 58)


def test_out_of_memory_halves_the_batch(tmp_path: Path) -> None:
    sizes: list[int] = []
    calls = Calls()
    stage = build_stage(calls)
    first = stage.steps[0]
    assert isinstance(first, Measurement)

    def limited(rows: Sequence[Row], work: Work) -> Sequence[Any]:
        sizes.append(len(rows))
        if len(rows) > 4:
            raise RuntimeError("CUDA out of memory")
        return first.run(rows, work)

    stage = replace(stage, steps=(replace(first, run=limited), *stage.steps[1:]))
    record = materialize(
        stage, SHARD, numbers(range(16)), limits(), Ledger(tmp_path / "ledger"), Arithmetic(16), "run"
    )
    assert (record.errors, record.measured) == (0, 16)
    assert sizes == [16, 8, 4, 4, 4, 4], "a size that did not fit is not tried again"


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    calls = Calls()
    stage = build_stage(calls)
    second = stage.steps[2]
    assert isinstance(second, Measurement)
    bad = replace(second, run=lambda rows, work: [{"square": float("nan")} for _ in rows])
    stage = replace(stage, steps=(*stage.steps[:2], bad, stage.steps[3]))
    with pytest.raises(ShardFailed, match="max_error_share"):
        materialize(stage, SHARD, numbers(range(60)), limits(), Ledger(tmp_path / "ledger"), Arithmetic(8), "run")
    verdicts = {row["rejected_by"] for row in rows_of(tmp_path) if row["product"] >= 0.3}
    assert verdicts == {"error:not_finite"}


@pytest.mark.parametrize(("share", "again"), [(0.99, 0), (0.3, 60)], ids=["footer", "rows"])
def test_a_damaged_table_is_moved_aside_and_made_again(tmp_path: Path, share: float, again: int) -> None:
    """Where the end is missing, all is lost; but for the end of the footer, of which there is another."""
    go(tmp_path)
    whole = rows_of(tmp_path)
    path = Ledger(tmp_path / "ledger").table_path("filtered_pairs", SHARD)
    os.truncate(path, int(share * path.stat().st_size))
    said: list[str] = []
    _, calls = go(tmp_path, log=said.append)
    assert calls.counts.get("multiply", 0) == again
    assert rows_of(tmp_path) == whole
    assert len(list(path.parent.glob("rows.parquet.damaged-*"))) == 1
    assert "damaged" in said[0]


def test_a_table_without_a_newer_column_is_completed(tmp_path: Path) -> None:
    go(tmp_path)
    whole = rows_of(tmp_path)
    ledger = Ledger(tmp_path / "ledger")
    old = ledger.read("filtered_pairs", SHARD, images=True).drop_columns(["square", "square_fingerprint"])
    record = ledger.record("filtered_pairs", SHARD)
    reference = [CellReference(ledger.table_path("filtered_pairs", SHARD), row) for row in range(old.num_rows)]
    ledger.commit("filtered_pairs", SHARD, old.schema, old.drop_columns(["image"]), reference, record)
    _, calls = go(tmp_path)
    assert set(calls.counts) == {"square"}
    assert rows_of(tmp_path) == whole


def _run_until_killed(root: str, step: str, at: int) -> None:
    def trouble(name: str, row: Row) -> None:
        nonlocal at
        if name == step:
            at -= 1
            if at == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    go(Path(root), calls=Calls(trouble=trouble))


@pytest.mark.parametrize(("step", "at"), [("multiply", 1), ("multiply", 30), ("square", 5), ("square", 40)])
def test_a_kill_loses_at_most_one_batch(tmp_path: Path, step: str, at: int) -> None:
    unbroken = tmp_path / "unbroken"
    go(unbroken)
    broken = tmp_path / "broken"
    process = CONTEXT.Process(target=_run_until_killed, args=(str(broken), step, at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    record, calls = go(broken)
    done = (at - 1) // 7 * 7
    expected = {"multiply": 60 - done} if step == "multiply" else {}
    total = record.filters[0].passed
    expected["square"] = total - (done if step == "square" else 0)
    assert calls.counts == expected
    assert rows_of(broken) == rows_of(unbroken)
    assert not [path for path in broken.rglob("*") if path.suffix == ".tmp" or path.parent.parent.name == ".staging"]


@contextmanager
def another_run(body: Callable[[Path, Connection], None], root: Path) -> Iterator[Connection]:
    """A process that holds something, and must end by itself: where it waits for ever, it is killed."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=body, args=(root, theirs))
    process.start()
    assert ours.recv() == "held"
    deadlock = threading.Timer(120, process.kill)
    deadlock.start()
    try:
        yield ours
    finally:
        deadlock.cancel()
        devices.give_way()
        process.join()
    assert process.exitcode == 0


def _hold_the_table_and_ask_for_the_accelerator(root: Path, parent: Connection) -> None:
    ledger = Ledger(root / "ledger")
    with ledger.lock("filtered_pairs", SHARD, "run other"), turns.taking_turns(ledger.locks, "run other", parent.send):
        parent.send("held")
        parent.recv()
        turns.wait_for("xla:0")


def test_two_runs_that_hold_what_the_other_needs_do_not_wait_for_ever(tmp_path: Path) -> None:
    with another_run(_hold_the_table_and_ask_for_the_accelerator, tmp_path) as other:
        with turns.taking_turns(Ledger(tmp_path / "ledger").locks, "run this", pytest.fail):
            turns.wait_for("xla:0")
        other.send("ask")
        assert other.recv() == "xla:0 is held by run this; waiting for it to finish"
        go(tmp_path)


def _have_one_accelerator_and_ask_for_another(root: Path, parent: Connection) -> None:
    with turns.taking_turns(Ledger(root / "ledger").locks, "run other", parent.send):
        turns.wait_for("xla:0")
    parent.send("held")
    parent.recv()
    go(root, calls=Calls(trouble=lambda step, row: turns.wait_for("xla:1")), shard="shard-000001")


def test_two_runs_that_have_an_accelerator_each_do_not_wait_for_the_other_s(tmp_path: Path) -> None:
    with another_run(_have_one_accelerator_and_ask_for_another, tmp_path) as other:
        with turns.taking_turns(Ledger(tmp_path / "ledger").locks, "run this", pytest.fail):
            turns.wait_for("xla:1")
        other.send("ask")
        go(tmp_path, calls=Calls(trouble=lambda step, row: turns.wait_for("xla:0")))


def test_a_torn_staged_batch_is_measured_again(tmp_path: Path) -> None:
    def trouble(step: str, row: Row) -> None:
        if step == "square":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, calls=Calls(trouble=trouble))
    batches = Ledger(tmp_path / "ledger").staged_batches("filtered_pairs", SHARD, "multiply")
    assert len(batches) == 9
    batches[2].write_bytes(batches[2].read_bytes()[:50])
    (batches[0].parent / "multiply-000099.parquet.tmp").write_bytes(b"half")
    _, calls = go(tmp_path)
    assert calls.counts["multiply"] == 7
    assert not batches[0].parent.exists()


def test_the_record_is_in_the_footer_and_in_the_history(tmp_path: Path) -> None:
    record, _ = go(tmp_path)
    go(tmp_path, recipe=limits(low=0.4))
    ledger = Ledger(tmp_path / "ledger")
    history = ledger.history("filtered_pairs", SHARD)
    assert [entry["kept"] for entry in history] == [record.kept, ledger.record("filtered_pairs", SHARD)["kept"]]
    assert json.dumps(history[-1], sort_keys=True) == json.dumps(
        ledger.record("filtered_pairs", SHARD), sort_keys=True
    )
