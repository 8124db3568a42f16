"""What a bucket costs beside a folder: `python -m benchmarks.ledger --store`.

The same tables in both, one after the other, the bucket behind moto's server of S3, a process of its own that counts
requests and bytes: image pairs that need not be drawn, made first, then judged again because one of their prompt pairs
has been rejected, then asked for again; and what is stale of a home with many shards that are all up to date, which a
machine asks for the first time, and again.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ledger import SHARD, Figures, NoModels, pairs_without_drawing
from benchmarks.shards import clone_shards
from imgdiff_assets.common.addresses import address
from imgdiff_assets.common.hashing import content_id
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import Inputs
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store.store import store_of
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

BUCKET = address("s3://bucket")
COUNTS = "/counts"
UPLOADS = 8


def serve() -> None:
    """moto, which says at `/counts` how many requests and bytes of objects there were, by method."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None: ...

    moto, counts = DomainDispatcherApplication(create_backend_app), {"requests": {}, "written": 0}  # type: ignore[var-annotated]

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        method = environ["REQUEST_METHOD"]
        if environ["PATH_INFO"] == COUNTS:
            start_response("200 OK", [])
            return [json.dumps(counts).encode()]
        counts["requests"][method] = counts["requests"].get(method, 0) + 1
        if method == "PUT":
            counts["written"] += int(environ.get("CONTENT_LENGTH") or 0)
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def bucket() -> Iterator[str]:
    """A server with an empty bucket, to which the environment leads; its address."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.store_costs"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
    os.environ |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    import boto3

    boto3.client("s3").create_bucket(Bucket="bucket")
    try:
        yield url
    finally:
        process.kill()
        process.wait()


class Meter:
    """Seconds, and requests and megabytes written where there is a server, of what is timed."""

    def __init__(self, url: str | None) -> None:
        self.figures: dict[str, Figures] = {}
        self._url = url

    def _counts(self) -> Mapping[str, Any]:
        if self._url is None:
            return {"requests": {}, "written": 0}
        with urllib.request.urlopen(f"{self._url}{COUNTS}") as answer:
            counts: Mapping[str, Any] = json.load(answer)
        return counts

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        before, started = self._counts(), time.perf_counter()
        yield
        seconds, after = time.perf_counter() - started, self._counts()
        figures = {"seconds": round(seconds, 3)}
        if self._url is not None:
            figures["requests"] = sum(after["requests"].values()) - sum(before["requests"].values())
            figures["megabytes_written"] = round((after["written"] - before["written"]) / 1e6, 3)
        self.figures[name] = figures


def measure_pairs(root: PurePath, meter: Meter, count: int) -> None:
    """One table of image pairs: made, judged again, and asked for again."""
    stage, recipe, _ = pairs_without_drawing()
    prompts = {
        "pair_id": [content_id(number) for number in range(count)],
        "source_caption": ["a red ball on the sand"] * count,
        "target_caption": ["a red cup on the sand"] * count,
    }
    for name, rejected in (("pairs_first", 0), ("pairs_judged_again", 1), ("pairs_up_to_date", 1)):
        table = pa.table({**prompts, "kept": np.arange(count) >= rejected})
        inputs = Inputs(str(rejected), lambda table=table: {"prompt_pairs": table})  # type: ignore[misc]
        with meter.timed(name):
            materialize(stage, SHARD, inputs, recipe, Ledger(root), NoModels(recipe), name)


def measure_looks(home: Home, meter: Meter) -> None:
    """What is stale of a home in which nothing is, by a machine that has not read it before, and again."""
    recipe = load_recipe("miniature")
    for name in ("first_look", "second_look"):
        with meter.timed(name):
            staleness = Staleness(home, recipe, STAGE_NAMES)
            with staleness.looking():
                assert not any(staleness.stages(key) for key in shard_keys(home))


def upload(folder: Path, to: PurePath) -> None:
    """Every file below a folder, under the same name; histories are folders there."""

    def put(file: Path) -> None:
        address = to / file.relative_to(folder)
        if file.name == "history.jsonl":
            store_of(to).append(address, file.read_text(encoding="utf-8").splitlines())
        else:
            with store_of(to).writing(address) as temporary:
                temporary.write_bytes(file.read_bytes())

    files = [file for part in ("captions", "ledger", "parts") for file in (folder / part).rglob("*") if file.is_file()]
    with ThreadPoolExecutor(UPLOADS) as pool:
        list(pool.map(put, [file for file in files if not file.name.startswith(".")]))


def measure_store(shards: int, pairs: int = 64) -> dict[str, Any]:
    """Both places, in one run."""
    found: dict[str, Any] = {"shards": shards, "stages": len(STAGE_NAMES), "pairs": pairs}
    with tempfile.TemporaryDirectory() as folder, bucket() as url:
        os.environ["IMGDIFF_LOCAL"] = f"{folder}/local"
        here = clone_shards(Path(folder), load_recipe("miniature"), shards)
        upload(Path(here.root.as_posix()), BUCKET / "home")
        for name, root, meter in (
            ("folder", Path(folder), Meter(None)),
            ("bucket", BUCKET, Meter(url)),
        ):
            measure_pairs(root / "pairs" / "ledger", meter, pairs)
            measure_looks(Home(root / "home"), meter)
            found[name] = meter.figures
    return found


if __name__ == "__main__":
    serve()
