"""The same against azurite, Microsoft's emulator: `npm install azurite`, and its `azurite-blob` on the PATH."""

import base64
import email.utils
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.buckets import ASSET, SHARD, commit, rows_of
from imgdiff_assets.common.addresses import address
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.store import store
from imgdiff_assets.ledger.store.entry import Replaced
from imgdiff_assets.ledger.store.store import read_bytes, store_of

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What every emulator has, as Microsoft documents it."""

ROOT = address("az://container/home/ledger")


@pytest.fixture
def azurite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An emulator with an empty container; the environment leads to it."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("no azurite-blob on the PATH: npm install azurite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            program,
            "--blobPort",
            str(port),
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--silent",
            "--disableTelemetry",
        ],
        cwd=tmp_path,
    )
    variables = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "OPENED", {})
    try:
        _make_container(url)
        yield
    finally:
        process.kill()
        process.wait()


def _make_container(url: str) -> None:
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + "".join(f"{name}:{value}\n" for name, value in headers.items())
    signed += f"/{ACCOUNT}/{ACCOUNT}/container\nrestype:container"
    mac = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}", "Content-Length": "0"}
    request = urllib.request.Request(f"{url}/{ACCOUNT}/container?restype=container", method="PUT", headers=headers)
    for _ in range(100):
        try:
            urllib.request.urlopen(request).close()
            return
        except ConnectionError:
            time.sleep(0.1)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            time.sleep(0.1)
    pytest.fail("azurite did not begin to listen")


@pytest.mark.slow
def test_conditions_ranges_and_leases(azurite: None) -> None:
    file = ROOT / "a folder" / "shard=x" / "rows.parquet"
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
        temporary.write_bytes(b"")
    assert read_bytes(file) == b""
    objects.delete(file)
    assert objects.below(ROOT) == []
    ledger = Ledger(ROOT)
    for run in (1, 2):
        with ledger.lock(ASSET, SHARD, f"run {run}"):
            commit(ledger, run)
    assert ledger.read(ASSET, SHARD, images=True).to_pylist() == rows_of(2)
    assert [line["run_id"] for line in ledger.history(ASSET, SHARD)] == ["1", "2"]
