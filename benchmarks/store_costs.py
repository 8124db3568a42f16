"""What a bucket costs beside a folder: `python -m benchmarks.ledger --store`.

The same tables in both, one after the other, the bucket behind moto's server of S3, a process of its own that counts
requests and bytes: image pairs that need not be drawn, made first, then judged again because one of their prompt pairs
has been rejected, then asked for again; and what is stale of a home with many shards that are all up to date, which a
machine asks for the first time, and again; then the command `imgdiff run`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from benchmarks.shards import clone_shards, run_command
from benchmarks.undrawn_pairs import SHARD, Figures, NoModels, pairs_without_drawing, prompt_pairs
from imgdiff_assets.common.addresses import address
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

BUCKET = address("s3://bucket")
COUNTS = "/counts"
FILL = "/fill"


def serve() -> None:
    """moto, which says at `/counts` how many requests and bytes of objects there were, by method.

    `/fill?FOLDER` puts a home into the bucket, without a request for each of its files.
    """
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
        if environ["PATH_INFO"] == FILL:
            fill(Path(urllib.parse.unquote(environ["QUERY_STRING"])))
            start_response("200 OK", [])
            return [b""]
        counts["requests"][method] = counts["requests"].get(method, 0) + 1
        if method == "PUT":
            counts["written"] += int(environ.get("CONTENT_LENGTH") or 0)
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


def fill(home: Path) -> None:
    """Its captions, tables and notes; histories and image parts not, which nobody asks for who looks what is stale."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    tables = (home / "ledger").glob("*/*/*.parquet")
    for file in [*(home / "captions").glob("*.parquet"), *tables, *home.glob("*.json")]:
        backend.put_object(BUCKET.name, f"home/{file.relative_to(home)}", file.read_bytes())


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
        print(f"{'folder' if self._url is None else 'bucket'}: {name} {figures}", file=sys.stderr, flush=True)


def measure_pairs(root: PurePath, meter: Meter, count: int) -> None:
    """One table of image pairs: made, judged again, and asked for again."""
    stage, recipe, _ = pairs_without_drawing(different=1)
    for name, rejected in (("pairs_first", 0), ("pairs_judged_again", 1), ("pairs_up_to_date", 1)):
        inputs = prompt_pairs(count, rejected)
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
    for name in ("imgdiff_run_first", "imgdiff_run_second", "imgdiff_run_third"):
        with meter.timed(name):
            run_command(home)


def measure_store(shards: int | None, pairs: int = 32) -> dict[str, Any]:
    """Both places, in one run; without `shards`, image pairs alone."""
    found: dict[str, Any] = {"shards": shards, "stages": len(STAGE_NAMES), "pairs": pairs}
    with tempfile.TemporaryDirectory() as folder, bucket() as url:
        os.environ["IMGDIFF_LOCAL"] = f"{folder}/local"
        places = {"folder": (Path(folder), Meter(None)), "bucket": (BUCKET, Meter(url))}
        for root, meter in places.values():
            measure_pairs(root / "pairs" / "ledger", meter, pairs)
        if shards is not None:
            here = clone_shards(Path(folder), load_recipe("miniature"), shards)
            urllib.request.urlopen(f"{url}{FILL}?{urllib.parse.quote(str(here.root))}").close()
            for root, meter in places.values():
                measure_looks(Home(root / "home"), meter)
        return found | {name: meter.figures for name, (_, meter) in places.items()}


if __name__ == "__main__":
    serve()
