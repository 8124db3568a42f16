"""A ledger in a bucket that misbehaves: what was acknowledged is there, whole and once; what was not, whole or not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from obstore.exceptions import GenericError, NotSupportedError
from obstore.store import MemoryStore

from benchmarks.buckets import (
    ASSET,
    BUSY,
    FAULTS,
    ROOT,
    SCHEMA,
    SHARD,
    Misbehaving,
    attempt,
    commit,
    record,
    rows_of,
)
from imgdiff_assets.common.addresses import ObjectAddress, address
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.aside import set_aside
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.places import PARTS
from imgdiff_assets.ledger.reviews import Review, add_review, read_reviews
from imgdiff_assets.ledger.store import lease, store
from imgdiff_assets.ledger.store.entry import LeaseLost, Replaced, StoreRefused, StoreUnavailable
from imgdiff_assets.ledger.store.object_file import LAST
from imgdiff_assets.ledger.store.objects import WAITS, ObjectStore
from imgdiff_assets.ledger.store.store import lines_of, read_bytes, store_of

Bucket = Callable[..., ObjectStore]


class Careless(MemoryStore):
    """A bucket that knows no conditions."""

    def put(self, path: str, file: Any, **options: Any) -> Any:
        return super().put(path, file, **{**options, "mode": "overwrite"})


class LikeAzure(MemoryStore):
    """One that knows no range from the end, and deletes nothing that is not there."""

    def get(self, path: str, *, options: Any = None) -> Any:
        if "suffix" in (options or {}).get("range", ()):
            raise NotSupportedError("suffix range requests")
        return super().get(path, options=options)

    def delete(self, paths: Any) -> None:
        for path in paths:
            self.head(path)
            super().delete(path)


class Expired(MemoryStore):
    """One whose credentials were good once."""

    def get(self, *arguments: Any, **options: Any) -> Any:
        raise GenericError("400 Bad Request: <Code>ExpiredToken</Code> The provided token has expired.")

    put = head = list = delete = get


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """`opened(bucket)`: what is read and written at `s3://bucket`; nobody waits."""

    def open_(bucket: Any = None) -> ObjectStore:
        objects = ObjectStore(bucket or MemoryStore(), sleep=lambda seconds: None)
        monkeypatch.setitem(store.OPENED, "s3://bucket", objects)
        return objects

    return open_


def test_an_address_is_a_path_with_a_bucket() -> None:
    table = ROOT / ASSET / "rows.parquet"
    assert isinstance(table, ObjectAddress)
    assert (str(table), table.bucket, table.key) == (f"{ROOT}/{ASSET}/rows.parquet", "s3://bucket", table.key)
    assert table.key == f"home/ledger/{ASSET}/rows.parquet"
    assert str(table.relative_to(ROOT)) == f"{ASSET}/rows.parquet"
    assert str(table.with_name("x").parent) == f"s3://bucket/home/ledger/{ASSET}"
    assert not isinstance(address("a/folder"), ObjectAddress)


def test_what_is_of_the_machine_stays_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", "s3://bucket/home")
    monkeypatch.setenv("IMGDIFF_LOCAL", str(tmp_path))
    home = Home.from_environment()
    assert (home.ledger, str(home.reviews)) == (ROOT, "s3://bucket/home/reviews.jsonl")
    assert {home.catalog.parent, home.dagster.parent, home.inbox.parent, home.releases.parent} == {tmp_path}
    assert Ledger(home.ledger).locks.is_relative_to(tmp_path)


@pytest.mark.parametrize("seed", range(25))
def test_a_table_is_always_a_whole_one_and_the_last_that_was_acknowledged(opened: Bucket, seed: int) -> None:
    bucket = Misbehaving(seed, share=0.4, in_a_row=9)
    opened(bucket)
    assert attempt(Ledger(ROOT), bucket) == []


def test_every_kind_of_fault_was_met() -> None:
    bucket = Misbehaving(seed=1, share=1.0, in_a_row=10**6)
    for _ in range(40):
        bucket._fault()
    assert set(bucket.seen) == set(FAULTS)


@pytest.mark.parametrize("seed", range(10))
def test_a_verdict_is_there_once_whatever_became_of_the_answer(opened: Bucket, seed: int) -> None:
    bucket = Misbehaving(seed, share=0.4)
    opened(bucket)
    home = Home(ROOT.parent)
    for number in range(8):
        add_review(home, Review(f"sample-{number}", SHARD, f"reviewer {number % 2}", "accept"))
    assert len(list(lines_of(home.reviews))) == 8
    assert set(read_reviews(home).of_shard(SHARD)) == {f"sample-{number}" for number in range(8)}


def test_a_store_that_never_answers_is_one_sentence(opened: Bucket) -> None:
    bucket = Misbehaving(share=1.0, in_a_row=10**6, kinds=[BUSY])
    opened(bucket)
    with pytest.raises(
        StoreUnavailable, match=r"s3://bucket/home/ledger/.* could not be read \(.*\)\. What is"
    ) as one:
        Ledger(ROOT).read(ASSET, SHARD)
    assert "\n" not in str(one.value)
    assert len(bucket.requests) == len(WAITS) + 1


def test_expired_credentials_are_one_sentence_at_once(opened: Bucket) -> None:
    opened(Expired())
    with pytest.raises(StoreRefused, match=r"the store refuses \(400 .*\): the credentials are missing, expired, or"):
        commit(Ledger(ROOT), 0)


def test_a_bucket_without_conditions_is_refused_before_anything_is_written(opened: Bucket) -> None:
    bucket = Careless()
    opened(bucket)
    with pytest.raises(StoreRefused, match="overwrites an object that it was told not to"):  # noqa: SIM117
        with Ledger(ROOT).lock(ASSET, SHARD, "run 1"):
            raise AssertionError
    assert [meta for some in bucket.list() for meta in some] == []


def test_a_reader_has_one_version_or_an_error(opened: Bucket) -> None:
    objects = opened()
    file, size = ROOT / "large", 3 * 2**20
    objects.put(file, bytes(size))
    with store_of(file).open(file) as source:
        assert source.size() == size
        assert source.read(10) == bytes(10)
        objects.put(file, b"x" * size)
        with pytest.raises(StoreUnavailable, match="was replaced while it was read"):
            source.read(10**9)
    with store_of(file).open(file) as source:
        source.seek(size - 4)
        assert source.read(10) == b"xxxx"


def test_what_is_set_aside_overwrites_nothing(opened: Bucket) -> None:
    objects = opened()
    names = []
    for number in range(3):
        objects.put(ROOT / "rows.parquet", str(number).encode())
        names.append(set_aside(ROOT / "rows.parquet"))
    assert [read_bytes(name) for name in names] == [b"0", b"1", b"2"]
    assert objects.version(ROOT / "rows.parquet") is None


def test_the_versions_of_tables_are_those_that_are_found(opened: Bucket, tmp_path: Path) -> None:
    opened(MemoryStore())
    for root in (ROOT / ASSET, tmp_path):
        keeper = store.store_of(root)
        for name in ("shard=a/rows.parquet", "shard=a-b/rows.parquet", "shard=c/other.parquet", "rows.parquet"):
            with keeper.writing(root / name) as file:
                file.write_bytes(b"rows")
        found = {entry.address.parts[-2]: entry.version for entry in keeper.find(root, "*/rows.parquet")}
        assert keeper.versions(root, "rows.parquet") == found
        assert found.keys() == {"shard=a", "shard=a-b"}
        assert keeper.versions(root / "nowhere", "rows.parquet") == {}


def test_many_tables_are_known_by_one_request(opened: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMGDIFF_LOCAL", str(tmp_path))
    bucket = Misbehaving()
    objects, ledger = opened(bucket), Ledger(ROOT)
    shards = [f"shard-{number:06d}" for number in range(5)]
    for shard in shards:
        ledger.commit(ASSET, shard, SCHEMA, pa.table({"id": ["x"]}), [None], record(shard=shard))
        ledger.stage_batch(ASSET, shard, "draw", rows_of(1), SCHEMA)
        objects.delete(ledger.staging(ASSET, shard))
    objects.append(ROOT.parent / "reviews.jsonl", ["{}"])  # whose name comes after that of the parts

    def look() -> list[str]:
        bucket.requests.clear()
        with objects.looking(ROOT.parent, PARTS):
            assert len(objects.pieces(ROOT.parent / "reviews.jsonl")) == 1
            assert ledger.shards(ASSET) == shards
            assert [(ledger.record(ASSET, shard) or {})["shard"] for shard in shards] == shards
            assert not any(ledger.is_staged(ASSET, shard) for shard in shards)
            assert ledger.exists(ASSET, shards[0])
            assert not ledger.exists("captions", shards[0])
        return bucket.requests

    assert look() == ["list", "list", *["get"] * 5], "up to the parts, and from there"
    assert look() == ["list", "list"]
    for kept in (tmp_path / "cache").rglob("*/*"):
        if kept.is_file():
            kept.write_bytes(kept.read_bytes()[:-1] + b"?")  # a disk gives back other bytes
    assert look() == ["list", "list", *["get"] * 5]
    ledger.commit(ASSET, shards[3], SCHEMA, pa.table({"id": ["y"]}), [None], record(shard=shards[3]))
    assert look() == ["list", "list", "get"]
    with objects.looking(ROOT.parent, PARTS):
        bucket.requests.clear()
        assert len(ledger.parts(ASSET, shards[0]).entries()) == 1, "which are asked for when they are wanted"
        assert bucket.requests == ["list"]


class Watch:
    """A clock that tests turn on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(lease.time, "monotonic", watch)
    monkeypatch.setattr(lease, "BETWEEN_RENEWALS", 10**6)  # frozen: what renews the lease does not run
    return watch


@pytest.mark.parametrize("committed", [True, False])
def test_a_writer_frozen_past_its_lease_commits_nothing(opened: Bucket, clock: Watch, committed: bool) -> None:
    """Whether the other has committed when it wakes, or not yet."""
    objects, said = opened(), []
    frozen, other = Ledger(ROOT), Ledger(ROOT)
    commit(frozen, 0)

    def pass_time(seconds: float) -> None:
        clock.now += seconds

    objects._sleep = pass_time
    with ExitStack() as stack:
        stack.enter_context(frozen.lock(ASSET, SHARD, "run 1"))
        with other.lock(ASSET, SHARD, "run 2", said.append):
            if committed:
                commit(other, 2)
            with pytest.raises(LeaseLost, match="another may have taken over"):
                commit(frozen, 1)
            if not committed:
                commit(other, 2)
    assert said == [f"{ASSET} of {SHARD} is held by run 1; waiting for it to finish"]
    assert lease.SECONDS <= clock.now <= 30
    assert ledger_of(other) == rows_of(2)
    assert [record["run_id"] for record in other.history(ASSET, SHARD)] == ["0", "2"]


def ledger_of(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.read(ASSET, SHARD, images=True).to_pylist()


def test_a_table_that_another_wrote_is_not_replaced_even_by_who_believes_in_his_lease(opened: Bucket) -> None:
    """A process may be frozen between its last look at the lease and the PUT."""
    opened()
    first, second = Ledger(ROOT), Ledger(ROOT)
    with first.lock(ASSET, SHARD, "run 1"):
        commit(second, 2)
        with pytest.raises(Replaced, match="another run has written it in the meantime"):
            commit(first, 1)
    assert ledger_of(first) == rows_of(2)


def test_a_lease_is_renewed_while_its_holder_works(opened: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.2)
    monkeypatch.setattr(lease, "BETWEEN_RENEWALS", 0.02)
    opened()
    waited = threading.Event()
    done: list[str] = []

    def wait() -> None:
        with Ledger(ROOT).lock(ASSET, SHARD, "run 2", lambda text: waited.set()):
            done.append("second")

    with Ledger(ROOT).lock(ASSET, SHARD, "run 1"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waited.wait(10)
        thread.join(0.6)
        done.append("first")
    thread.join(10)
    assert done == ["first", "second"]


def test_a_lock_that_was_let_go_is_free_at_once(opened: Bucket) -> None:
    opened()
    for number in range(3):
        with Ledger(ROOT).lock(ASSET, SHARD, f"run {number}", lambda text: pytest.fail(text)):
            pass


def test_an_answer_that_was_lost_costs_no_lease(opened: Bucket) -> None:
    bucket = Misbehaving()
    opened(bucket)
    with Ledger(ROOT).lock(ASSET, SHARD, "run 1"):
        put, calls = bucket.bucket.put, 0

        def lossy(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            result = put(*arguments, **options)
            if calls == 1:
                raise GenericError("dropped")
            return result

        held = store_of(ROOT)
        assert isinstance(held, ObjectStore)
        held._bucket = type("Lossy", (), {"put": staticmethod(lossy), "get": bucket.bucket.get})()  # type: ignore[assignment]
        address_ = ROOT / "x"
        held.put(address_, b"once", None)
        assert calls == 2
        held._bucket = bucket  # type: ignore[assignment]
        assert read_bytes(address_) == b"once"


def test_lines_are_taken_out_of_a_bucket(opened: Bucket) -> None:
    objects, log = opened(), ROOT / "lines"
    for lines in (["goes", "stays"], ["goes"], ["stays too"]):
        objects.append(log, lines)
    objects.drop_lines(log, lambda line: line == b"goes\n")
    assert list(lines_of(log)) == [b"stays\n", b"stays too\n"]
    assert len(objects.pieces(log)) == 2


@pytest.mark.parametrize("bucket", [MemoryStore, LikeAzure])
@pytest.mark.parametrize("size", [0, 5, LAST + 5])
def test_a_file_of_any_size_is_read(opened: Bucket, bucket: type[MemoryStore], size: int) -> None:
    objects, data = opened(bucket()), bytes(index % 251 for index in range(size))
    objects.put(ROOT / "x", data, None)
    assert read_bytes(ROOT / "x") == data


@pytest.mark.parametrize("bucket", [MemoryStore, LikeAzure])
def test_a_folder_is_deleted_whether_it_is_there_or_not(opened: Bucket, bucket: type[MemoryStore]) -> None:
    objects = opened(bucket())
    for name in ("x/1", "x/2/3", "y"):
        objects.put(ROOT / name, b"", None)
    objects.delete(ROOT / "x")
    objects.delete(ROOT / "z")
    assert [entry.address for entry in objects.below(ROOT)] == [ROOT / "y"]
