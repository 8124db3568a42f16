"""The ledger under attack: failing writes, readers during replacement, many small batches, two runs at once."""

import json
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from imgdiff_assets.ledger.cells import IMAGE, CellReference
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.tables import IMAGE_ROWS_PER_GROUP, conform, write_rows
from tests.apart import CONTEXT

ASSET, SHARD = "image_pairs", "shard-000000"
SCHEMA = pa.schema([("id", pa.string()), ("score", pa.float32()), ("image", IMAGE)])


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def _row(number: int, size: int = 20) -> dict[str, Any]:
    return {"id": str(number), "score": number / 4, "image": {"bytes": _bytes(number, size), "path": f"{number}.png"}}


def _bytes(number: int, size: int) -> bytes:
    """Different for every number, and hardly compressible."""
    value, result = number + 1, bytearray()
    for _ in range(size):
        value = value * 6364136223846793005 % 2**64 + 1442695040888963407
        result.append(value >> 33 & 255)
    return bytes(result)


def _commit(ledger: Ledger, numbers: Sequence[int], batch: int = 7, size: int = 20, record: Any = None) -> None:
    """Stage the rows in batches and make them the table, as the engine does."""
    references = []
    for start in range(0, len(numbers), batch):
        chunk = numbers[start : start + batch]
        path = ledger.stage_batch(ASSET, SHARD, "draw", [_row(number, size) for number in chunk], SCHEMA)
        references += [CellReference(path, row) for row in range(len(chunk))]
    rows = _rows(numbers)
    ledger.commit(ASSET, SHARD, SCHEMA, rows, references, record or _record(rows=len(rows)))


def _record(**known: Any) -> dict[str, Any]:
    """What a record must have, and what is given."""
    texts = "asset shard run_id recipe recipe_hash settings_hash code_version inputs_hash output_hash finished_at"
    counts = "rows_in rows kept reused measured errors seed"
    tables = "rejections calls step_seconds settings models"
    empty = {**dict.fromkeys(texts.split(), ""), **dict.fromkeys(counts.split(), 0), "seconds": 0.5, "filters": []}
    return {**empty, **{name: {} for name in tables.split()}, **known}


def _rows(numbers: Sequence[int]) -> pa.Table:
    """Their columns but for the images."""
    return pa.table({"id": [str(number) for number in numbers], "score": [number / 4 for number in numbers]})


def _files(ledger: Ledger) -> list[str]:
    return sorted(str(path.relative_to(ledger.root)) for path in ledger.root.rglob("*") if path.is_file())


def test_a_committed_table_holds_everything_and_nothing_else_is_left(ledger: Ledger) -> None:
    _commit(ledger, range(40), record=_record(b=1, a=[None, "é"]))
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [_row(number) for number in range(40)]
    assert ledger.read(ASSET, SHARD).column_names == ["id", "score"]
    assert ledger.record(ASSET, SHARD) == _record(a=[None, "é"], b=1)
    assert ledger.history(ASSET, SHARD) == [_record(a=[None, "é"], b=1)]
    assert ledger.shards(ASSET) == [SHARD]
    assert _files(ledger) == [f"{ASSET}/shard={SHARD}/history.jsonl", f"{ASSET}/shard={SHARD}/rows.parquet"]


def test_images_lie_in_small_row_groups(ledger: Ledger) -> None:
    _commit(ledger, range(40), batch=10)
    metadata = pq.read_metadata(ledger.parts(ASSET, SHARD).entries()[0].address)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 4, 2]


def test_an_image_is_written_once(ledger: Ledger) -> None:
    _commit(ledger, range(40), size=2_000)
    parts = {entry.address: entry.version for entry in ledger.parts(ASSET, SHARD).entries()}
    assert set(ledger.parts_named(ASSET, SHARD)) == set(parts)
    assert len(parts) == 6
    path = ledger.table_path(ASSET, SHARD)
    for _ in range(2):
        ledger.commit(ASSET, SHARD, SCHEMA, _rows(range(40)), [CellReference(path, row) for row in range(40)], {})
    assert {entry.address: entry.version for entry in ledger.parts(ASSET, SHARD).entries()} == parts
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [_row(number, 2_000) for number in range(40)]
    assert path.stat().st_size < 10_000
    _commit(ledger, range(40), size=2_000)  # measured again, in the same batches
    assert {entry.address: entry.version for entry in ledger.parts(ASSET, SHARD).entries()} == parts


def test_a_table_of_before_has_its_images_in_parts_when_it_is_rewritten(ledger: Ledger) -> None:
    path = ledger.table_path(ASSET, SHARD)
    write_rows(path, [_row(number) for number in range(40)], SCHEMA)
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [_row(number) for number in range(40)]
    assert ledger.parts_named(ASSET, SHARD) == []
    ledger.commit(ASSET, SHARD, SCHEMA, _rows(range(40)), [CellReference(path, row) for row in range(40)], {})
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [_row(number) for number in range(40)]
    assert len(ledger.parts_named(ASSET, SHARD)) == 3


def test_an_empty_table_is_a_table(ledger: Ledger) -> None:
    _commit(ledger, [])
    table = ledger.read(ASSET, SHARD, images=True)
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


def test_a_table_can_be_rewritten_from_its_own_images(ledger: Ledger) -> None:
    _commit(ledger, range(40))
    path = ledger.table_path(ASSET, SHARD)
    order = [39, 3, 20, 2, 38, 21]
    rows = _rows(order)
    ledger.commit(ASSET, SHARD, SCHEMA, rows, [CellReference(path, number) for number in order], {})
    images = ledger.read(ASSET, SHARD, images=True)["image"].to_pylist()
    assert images == [_row(number)["image"] for number in order]


def test_a_row_without_a_reference_has_no_image(ledger: Ledger) -> None:
    ledger.commit(ASSET, SHARD, SCHEMA, pa.table({"id": ["x"]}), [None], {})
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [{"id": "x", "score": None, "image": None}]


def _commit_many_batches(root: str) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    _commit(Ledger(Path(root)), range(150), batch=1)


def test_a_shard_measured_in_more_batches_than_files_can_be_open(ledger: Ledger) -> None:
    _in_another_process(_commit_many_batches, str(ledger.root))
    assert ledger.read(ASSET, SHARD, images=True)["id"].to_pylist() == [str(number) for number in range(150)]


def test_a_removed_batch_never_makes_another_one_overwritten(ledger: Ledger) -> None:
    """A torn batch is deleted while others that are needed still lie beside it."""
    paths = [ledger.stage_batch(ASSET, SHARD, "draw", [_row(number)], SCHEMA) for number in range(4)]
    paths[1].unlink()
    new = ledger.stage_batch(ASSET, SHARD, "draw", [_row(9)], SCHEMA)
    assert new not in paths
    found = [pq.read_table(path)["id"].to_pylist() for path in ledger.staged_batches(ASSET, SHARD, "draw")]
    assert found == [["0"], ["2"], ["3"], ["9"]]


def test_batches_of_steps_are_told_apart_and_in_order(ledger: Ledger) -> None:
    for number in range(12):
        ledger.stage_batch(ASSET, SHARD, "draw", [_row(number)], SCHEMA)
        ledger.stage_batch(ASSET, SHARD, "redraw", [_row(100 + number)], SCHEMA)
    found = [pq.read_table(path)["id"][0].as_py() for path in ledger.staged_batches(ASSET, SHARD, "draw")]
    assert found == [str(number) for number in range(12)]


def test_half_written_files_of_a_killed_run_are_removed(ledger: Ledger) -> None:
    _commit(ledger, range(3))
    batch = ledger.stage_batch(ASSET, SHARD, "draw", [_row(1)], SCHEMA)
    leftovers = [batch.with_name("draw-000001.parquet.tmp"), ledger.table_path(ASSET, SHARD).with_suffix(".x.tmp")]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    assert ledger.staged_batches(ASSET, SHARD, "draw") == [batch]
    assert not any(leftover.exists() for leftover in leftovers)


def test_a_failing_write_leaves_the_old_table_and_no_temporary(ledger: Ledger) -> None:
    _commit(ledger, range(5), record=_record(run=1))
    before = _files(ledger)
    with pytest.raises(pa.ArrowInvalid):
        ledger.commit(ASSET, SHARD, SCHEMA, pa.table({"id": ["x"], "score": ["no number"]}), [None], _record(run=2))
    with pytest.raises(KeyboardInterrupt):
        _interrupted_write(ledger.table_path(ASSET, SHARD))
    assert _files(ledger) == before
    assert ledger.read(ASSET, SHARD, images=True).num_rows == 5
    assert ledger.record(ASSET, SHARD) == _record(run=1)
    assert ledger.history(ASSET, SHARD) == [_record(run=1)]


def _interrupted_write(path: Path) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt


def _commit_on_a_full_disk(root: str) -> None:
    # The limit on a file's size fails a write as a full disk does: an error in the middle of the file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    ledger = Ledger(Path(root))
    ledger.stage_batch(ASSET, SHARD, "draw", [_row(number, 500) for number in range(5)], SCHEMA)
    with pytest.raises(OSError, match=r"\w+\.parquet: cannot be written \(.*\); what was there is unchanged\.") as one:
        ledger.stage_batch(ASSET, SHARD, "draw", [_row(number, 2_000) for number in range(40)], SCHEMA)
    assert "\n" not in str(one.value)
    rows = pa.table({"id": [str(_bytes(number, 2_000)) for number in range(40)], "score": [0.5] * 40})
    with pytest.raises(OSError, match=r"rows\.parquet: cannot be written"):
        ledger.commit(ASSET, SHARD, SCHEMA, rows, [], _record(run=2))


def test_a_full_disk_leaves_the_old_table_and_the_finished_batches(ledger: Ledger) -> None:
    _commit(ledger, range(5), record=_record(run=1))
    before = _files(ledger)
    _in_another_process(_commit_on_a_full_disk, str(ledger.root))
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == [_row(number) for number in range(5)]
    assert ledger.record(ASSET, SHARD) == _record(run=1)
    staged = ledger.staged_batches(ASSET, SHARD, "draw")
    assert sum(pq.read_metadata(path).num_rows for path in staged) == 5
    assert _files(ledger) == sorted([*before, *(str(path.relative_to(ledger.root)) for path in staged)])


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/\S+: cannot be written \(.*(File exists|[Nn]ot a directory)"):
        Ledger(tmp_path / "file" / "ledger").commit(ASSET, SHARD, SCHEMA, _rows([]), [], {})


def test_a_reader_never_sees_half_a_table(ledger: Ledger) -> None:
    """While the table is replaced again and again, every read is one whole version of it."""
    _commit(ledger, [0] * 50, record=_record(value=0))
    finished = threading.Event()
    seen: set[str] = set()
    trouble: list[BaseException] = []

    def read() -> None:
        try:
            while not finished.is_set():
                values = set(ledger.read(ASSET, SHARD)["id"].to_pylist())
                assert len(values) == 1
                assert ledger.record(ASSET, SHARD) is not None
                seen.update(values)
        except BaseException as error:
            trouble.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for value in range(1, 30):
            ledger.commit(ASSET, SHARD, SCHEMA, _rows([value] * 50), [], _record(value=value))
    finally:
        finished.set()
        reader.join()
    assert trouble == []
    assert seen <= {str(value) for value in range(30)}
    assert len(seen) > 1


def test_older_and_newer_columns_are_reconciled(ledger: Ledger) -> None:
    _commit(ledger, range(3))
    schema = pa.schema([("score", pa.float64()), ("new", pa.int32()), ("image", IMAGE)])
    table = ledger.read(ASSET, SHARD, schema)
    assert table.to_pylist() == [{"score": number / 4, "new": None} for number in range(3)]
    assert ledger.column_names(ASSET, SHARD) == ["id", "score", "image"]
    with pytest.raises(pa.ArrowInvalid):
        conform(pa.table({"id": ["x"]}), pa.schema([("id", pa.int64())]))


def test_a_missing_table_has_no_record_and_no_history(ledger: Ledger) -> None:
    assert ledger.record(ASSET, SHARD) is None
    assert ledger.history(ASSET, SHARD) == []
    assert ledger.shards(ASSET) == []
    assert not ledger.exists(ASSET, SHARD)
    with pytest.raises(FileNotFoundError):
        ledger.read(ASSET, SHARD)


def test_a_torn_line_of_history_spoils_no_other(ledger: Ledger) -> None:
    for run in (1, 2):
        ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], _record(run=run))
    path = ledger.table_path(ASSET, SHARD).with_name("history.jsonl")
    path.write_bytes(path.read_bytes()[:-4])
    assert ledger.history(ASSET, SHARD) == [_record(run=1)]
    ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], _record(run=3))
    assert ledger.history(ASSET, SHARD) == [_record(run=1), _record(run=3)]


def test_the_last_of_a_long_history_are_found_without_the_others(ledger: Ledger) -> None:
    for run in (1, 2, 3):
        ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], _record(run=run))
    assert ledger.history(ASSET, SHARD, last=2) == [_record(run=2), _record(run=3)]
    assert ledger.history(ASSET, SHARD, last=9) == ledger.history(ASSET, SHARD)


def test_zeros_that_a_power_cut_left_in_the_history_are_passed_over(ledger: Ledger) -> None:
    ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], _record(run=1))
    path = ledger.table_path(ASSET, SHARD).with_name("history.jsonl")
    with path.open("ab") as file:
        file.write(b"\0" * 50 + b"\xff\n")
    ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], _record(run=2))
    assert ledger.history(ASSET, SHARD) == [_record(run=1), _record(run=2)]


def _damage(ledger: Ledger, content: bytes) -> Path:
    """Make a table, spoil it, and move it aside."""
    ledger.commit(ASSET, SHARD, SCHEMA, _rows([]), [], {})
    ledger.table_path(ASSET, SHARD).write_bytes(content)
    return ledger.quarantine(ASSET, SHARD)


def test_no_damaged_table_takes_the_place_of_another(ledger: Ledger) -> None:
    """Also when an earlier one has been taken away, and of those that an older release moved."""
    old = ledger.table_path(ASSET, SHARD).with_name("rows.parquet.damaged-1")
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    first = _damage(ledger, b"first")
    second = _damage(ledger, b"second")
    first.unlink()
    third = _damage(ledger, b"third")
    assert [path.read_bytes() for path in (old, second, third)] == [b"old", b"second", b"third"]
    assert not ledger.exists(ASSET, SHARD)
    assert ledger.shards(ASSET) == []


def _hold(root: str, holder: str, parent: Connection) -> None:
    with Ledger(Path(root)).lock(ASSET, SHARD, holder):
        parent.send("held")
        parent.recv()


@dataclass
class Holder:
    """Another process that holds the lock until it is told to let it go."""

    process: Any
    connection: Connection

    def let_go(self) -> None:
        self.connection.send("let go")


@pytest.fixture
def holder(ledger: Ledger) -> Iterator[Holder]:
    # A pipe, not an event: setting an event waits for its sleepers to wake, and one of them is killed here.
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_hold, args=(str(ledger.root), "run abc", theirs))
    process.start()
    assert ours.recv() == "held"
    yield Holder(process, ours)
    ours.send("let go")
    process.join()
    ours.close()
    theirs.close()


def test_a_second_run_waits_and_says_who_holds_the_shard(ledger: Ledger, holder: Holder) -> None:
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        assert holder.process.is_alive()
        threading.Timer(0.2, holder.let_go).start()

    started = time.monotonic()
    with ledger.lock(ASSET, SHARD, "run def", on_wait=hear):
        assert time.monotonic() - started >= 0.2
    assert said == [f"{ASSET} of {SHARD} is held by run abc; waiting for it to finish"]


def test_a_killed_holder_holds_nothing(ledger: Ledger, holder: Holder) -> None:
    holder.process.kill()
    holder.process.join()
    said: list[str] = []
    with ledger.lock(ASSET, SHARD, "run def", on_wait=said.append):
        pass
    assert said == []


def test_other_shards_and_other_tables_are_not_held(ledger: Ledger, holder: Holder) -> None:
    said: list[str] = []
    with (
        ledger.lock(ASSET, "shard-000001", "run def", on_wait=said.append),
        ledger.lock("captions", SHARD, "run def", on_wait=said.append),
    ):
        pass
    assert said == []


def test_a_lock_is_given_back_when_its_run_fails(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.lock(ASSET, SHARD, "run abc"):
        raise RuntimeError
    lock = FileLock(ledger.root / ".locks" / f"{ASSET}.{SHARD}.lock")
    lock.acquire(timeout=0)
    lock.release()


def test_tables_are_read_by_the_tools_that_people_have(ledger: Ledger) -> None:
    """As a Hive-partitioned dataset, and its parts, too, with the images in the layout that `datasets` decodes."""
    import pyarrow.dataset as ds

    _commit(ledger, range(3))
    for folder in (ledger.root, ledger.root.with_name("parts")):
        table = ds.dataset(
            folder / ASSET, format="parquet", partitioning="hive", exclude_invalid_files=True
        ).to_table()
        assert table["shard"].to_pylist() == [SHARD] * 3
    assert table.schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert json.loads(pq.read_schema(ledger.table_path(ASSET, SHARD)).metadata[b"imgdiff_materialization"]) == _record(
        rows=3
    )


def test_the_group_size_bounds_what_a_reader_must_hold() -> None:
    assert IMAGE_ROWS_PER_GROUP <= 16


def _in_another_process(function: Any, *arguments: Any) -> None:
    """Run where limits can be set that no other test should have."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_asking_for_some_shards_looks_at_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    for key in ("shard-000002", "shard-000000", "shard-000001"):
        ledger.table_path("captions", key).parent.mkdir(parents=True)
        ledger.table_path("captions", key).touch()
    assert ledger.shards("captions") == ["shard-000000", "shard-000001", "shard-000002"]
    monkeypatch.setattr(Path, "glob", lambda *_: pytest.fail("listed all"))
    asked = ["shard-000002", "shard-000007", "shard-000000", "shard-000002"]
    assert ledger.shards("captions", asked) == ["shard-000000", "shard-000002"]
