"""The same over HTTP: obstore's own client and a server of S3, one that is busy and drops connections by seed."""

import logging
import multiprocessing
import os
import random
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from imgdiff_assets.common.addresses import address
from imgdiff_assets.common.aliases import Row
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, Review, add_review, read_reviews
from imgdiff_assets.ledger.store import store
from imgdiff_assets.ledger.store.entry import Replaced
from imgdiff_assets.ledger.store.store import read_bytes, store_of
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from tests.imgdiff_assets.conftest import RunStages

SHARD = "shard-000000"


class Server:
    """moto, before which a `share` of requests come to grief."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.chance, self.share = random.Random(0), 0.0
        self.faults: list[str] = []
        self.requests: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.chance.random() >= self.share:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        fault = self.chance.choice(("busy", "busy for a second", "dropped before", "dropped after"))
        self.faults.append(fault)
        if fault.startswith("busy"):
            later = [("Retry-After", "1")] if fault != "busy" else []
            start_response("503 Slow Down", [("Content-Length", "0"), *later])
            return []
        if fault == "dropped after":
            list(self._moto(environ, lambda *answer: None))
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of S3 with a bucket, `s3://bucket`; the environment leads to it."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    app = Server()
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{listening.server_port}",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "OPENED", {})
    import boto3

    boto3.client("s3").create_bucket(Bucket="bucket")
    yield app
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.mark.slow
def test_conditions_and_ranges_are_spoken_as_s3_speaks_them(server: Server) -> None:
    file = address("s3://bucket/a folder/shard=x/rows.parquet")
    objects = store_of(file)
    with objects.writing(file, None) as temporary:
        temporary.write_bytes(bytes(range(256)) * 8192)
    first = objects.version(file)
    for expected in (None, '"0" '):
        with pytest.raises(Replaced), objects.writing(file, expected) as temporary:
            temporary.write_bytes(b"other")
    with objects.open(file) as source:
        source.seek(257)
        assert source.read(3) == bytes([1, 2, 3])
    with objects.writing(file, first) as temporary:
        temporary.write_bytes(b"second")
    assert read_bytes(file) == b"second"
    assert [entry.size for entry in objects.find(file.parent.parent, "shard=*/rows.parquet")] == [6]
    objects.delete(file)
    assert objects.find(file.parent, "*") == []


@pytest.mark.slow
def test_a_home_in_a_bucket_is_what_it_is_on_a_disk(
    server: Server,
    tmp_path: Path,
    drawn_recipe: Recipe,
    run_stages: RunStages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All stages over a bucket that fails one request in ten."""
    monkeypatch.setenv("IMGDIFF_LOCAL", str(tmp_path / "local"))
    captions = tmp_path / "captions.txt"
    captions.write_text("a red ball on the grass\na yellow house on the snow\n", encoding="utf-8")
    tables: list[dict[str, list[Row]]] = []
    for home in (Home(tmp_path / "home"), Home(address("s3://bucket/home"))):
        server.share = 0.1
        ingest([captions], home)
        run_stages(home, drawn_recipe, [SHARD])
        server.share = 0.0
        ledger = Ledger(home.ledger)
        tables.append(
            {
                stage.name: ledger.read(stage.name, SHARD, images=True).drop_columns(["measured_at"]).to_pylist()
                for stage in STAGES
            }
        )
        assert all(len(ledger.history(stage.name, SHARD)) == 1 for stage in STAGES)
    assert tables[0] == tables[1]
    assert set(server.faults) == {"busy", "busy for a second", "dropped before", "dropped after"}
    assert os.listdir(tmp_path / "local") != []
    server.requests.clear()
    assert len(Ledger(address("s3://bucket/home/ledger")).shards("captions")) == 1
    assert server.requests == ["GET /bucket"]


def _review(reviewer: str, count: int) -> None:
    home = Home(address("s3://bucket/home"))
    for number in range(count):
        add_review(home, Review(f"sample {number}", SHARD, reviewer, ACCEPT))


@pytest.mark.slow
def test_reviewers_on_two_machines_lose_nothing(server: Server) -> None:
    """Two processes at once, over a bucket that fails one request in ten."""
    server.share = 0.1
    apart = multiprocessing.get_context("spawn")
    reviewers = [apart.Process(target=_review, args=(name, 8)) for name in ("ada", "bob")]
    for process in reviewers:
        process.start()
    for process in reviewers:
        process.join()
        assert process.exitcode == 0
    server.share = 0.0
    said = read_reviews(Home(address("s3://bucket/home")))
    assert said.unreadable == ()
    assert {name: sorted(by) for name, by in said.by_sample.items()} == {
        f"sample {number}": ["ada", "bob"] for number in range(8)
    }
