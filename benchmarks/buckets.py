"""A ledger in a bucket that misbehaves by seed: `python -m benchmarks.buckets [--runs 500] [--share 0.4]`.

Requests fail before or after they took effect, the store is busy, answers are too short. In each run five runs take
the lock of one table, one after the other, stage a batch, and commit; some give up. Then the bucket is looked at: the
table is a whole one, and the last that was acknowledged or a later one; the history has every acknowledged commit, and
none twice; every batch that is left is whole. Exit status 1 if it was not so.
"""

import argparse
import collections
import random
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from obstore.exceptions import GenericError
from obstore.store import MemoryStore
from tqdm import tqdm

from imgdiff_assets.common.addresses import address
from imgdiff_assets.ledger.cells import IMAGE, CellReference
from imgdiff_assets.ledger.compaction import sweep
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store import store
from imgdiff_assets.ledger.store.entry import LeaseLost, StoreError
from imgdiff_assets.ledger.store.objects import ObjectStore
from imgdiff_assets.ledger.tables import read_table

ROOT = address("s3://bucket/home/ledger")
ASSET, SHARD = "image_pairs", "shard-000000"
SCHEMA = pa.schema([("id", pa.string()), ("image", IMAGE)])
ATTEMPTS = 5
BEFORE, AFTER, BUSY, SHORT = "before", "after", "busy", "short"
FAULTS = (BEFORE, AFTER, BUSY, SHORT)


class Misbehaving:
    """One of obstore's stores of which a `share` of requests fail, up to `in_a_row` one after the other."""

    def __init__(self, seed: int = 0, share: float = 0.0, in_a_row: int = 4, kinds: Sequence[str] = FAULTS) -> None:
        self.bucket = MemoryStore()
        self.chance, self.share, self.in_a_row, self.kinds = random.Random(seed), share, in_a_row, kinds
        self.requests: list[str] = []
        self.seen: collections.Counter[str] = collections.Counter()
        self._failed = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def request(*arguments: Any, **options: Any) -> Any:
            self.requests.append(name)
            fault = self._fault()
            if fault in (BEFORE, BUSY):
                raise GenericError("503 Slow Down" if fault == BUSY else "error sending request: connection reset")
            result = getattr(self.bucket, name)(*arguments, **options)
            if fault == AFTER:
                raise GenericError("operation timed out: the connection was dropped before an answer came")
            return _Short(result) if fault == SHORT and name == "get" else result

        return request

    def _fault(self) -> str | None:
        if self._failed >= self.in_a_row or self.chance.random() >= self.share:
            self._failed = 0
            return None
        self._failed += 1
        fault = self.chance.choice(self.kinds)
        self.seen[fault] += 1
        return fault


class _Short:
    """An answer that ends before it is whole."""

    def __init__(self, result: Any) -> None:
        self.range, self.meta, self._result = result.range, result.meta, result

    def bytes(self) -> bytes:
        return bytes(self._result.bytes())[:-1]


def record(**known: Any) -> dict[str, Any]:
    """What a materialisation's record must have, and what is given."""
    texts = "asset shard run_id recipe recipe_hash settings_hash code_version inputs_hash output_hash finished_at"
    counts = "rows_in rows kept reused measured errors seed"
    tables = "rejections calls step_seconds settings models"
    empty = {**dict.fromkeys(texts.split(), ""), **dict.fromkeys(counts.split(), 0), "seconds": 0.5, "filters": []}
    return {**empty, **{name: {} for name in tables.split()}, **known}


def rows_of(run: int) -> list[dict[str, Any]]:
    """Three rows with images, other ones in each run."""
    return [
        {"id": f"{run}-{row}", "image": {"bytes": random.Random(run).randbytes(50), "path": f"{row}.png"}}
        for row in range(3)
    ]


def commit(ledger: Ledger, run: int) -> None:
    """Stage the rows of a run, and make them the table."""
    batch = ledger.stage_batch(ASSET, SHARD, "draw", rows_of(run), SCHEMA)
    rows = pa.table({"id": [row["id"] for row in rows_of(run)]})
    references = [CellReference(batch, row) for row in range(len(rows))]
    ledger.commit(ASSET, SHARD, SCHEMA, rows, references, record(run_id=str(run)))


def attempt(ledger: Ledger, bucket: Misbehaving) -> list[str]:
    """Runs over a bucket that misbehaves, and what is wrong afterwards, in words; nothing should be."""
    share, bucket.share = bucket.share, 0.0
    commit(ledger, 0)
    bucket.share = share
    done, doubtful = ["0"], []
    for run in range(1, ATTEMPTS + 1):
        try:
            with ledger.lock(ASSET, SHARD, f"run {run}"):
                doubtful.append(str(run))
                commit(ledger, run)
        except (StoreError, LeaseLost):
            continue
        done.append(doubtful.pop())
    bucket.share = 0.0
    return _wrong(ledger, done, doubtful)


def _wrong(ledger: Ledger, done: Sequence[str], doubtful: Sequence[str]) -> list[str]:
    run = (ledger.record(ASSET, SHARD) or {})["run_id"]
    told = [line["run_id"] for line in ledger.history(ASSET, SHARD)]
    later = run in doubtful and int(run) > int(done[-1])
    batches = [read_table(batch, images=True).to_pylist() for batch in ledger.all_staged()]
    wrong = {
        "the table is not whole": ledger.read(ASSET, SHARD, images=True).to_pylist() != rows_of(int(run)),
        f"the table is of run {run}, acknowledged was {done[-1]}": run != done[-1] and not later,
        "the history has a commit twice": len(set(told)) < len(told),
        f"the history has {told}, acknowledged were {done}": not set(done) <= set(told) <= {*done, *doubtful},
        "a batch is not whole": not all(rows == rows_of(int(rows[0]["id"].partition("-")[0])) for rows in batches),
    }
    whole = ledger.read(ASSET, SHARD, images=True)
    sweep(ledger, ASSET, SHARD)
    there = {part.address for part in ledger.parts(ASSET, SHARD).entries()}
    wrong["parts that nothing names stay"] = bool(there - set(ledger.parts_named(ASSET, SHARD))) and not batches
    wrong["parts that are named go"] = ledger.read(ASSET, SHARD, images=True) != whole
    return [what for what, holds in wrong.items() if holds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="how many buckets (default 500)")
    parser.add_argument("--share", type=float, default=0.4, help="of requests that fail (default 0.4)")
    arguments = parser.parse_args()
    seen: collections.Counter[str] = collections.Counter()
    wrong = requests = 0
    for seed in tqdm(range(arguments.runs), unit="bucket", disable=None):
        bucket = Misbehaving(seed, arguments.share, in_a_row=9)
        store.OPENED[ROOT.parents[1].as_posix()] = ObjectStore(bucket, sleep=lambda seconds: None)
        found = attempt(Ledger(ROOT), bucket)
        wrong += bool(found)
        requests += len(bucket.requests)
        seen += bucket.seen
        for what in found:
            print(f"seed {seed}: {what}")
    faults = ", ".join(f"{count:,} {name}" for name, count in sorted(seen.items()))
    print(f"{arguments.runs} buckets, {requests:,} requests, faults: {faults}; {wrong} wrong")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
