"""Captions and pairs that lie in a bucket: known by their addresses, and otherwise as those of a folder here."""

from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

from imgdiff_assets.common.addresses import address
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.given_files import UnusableFile, read_inside
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.ingest_pairs import ingest_pairs
from imgdiff_assets.ingest.shards import read_captions, shard_keys
from imgdiff_assets.ledger.store import store
from imgdiff_assets.ledger.store.objects import ObjectStore
from tests.imgdiff_assets.ingest.test_ingest_pairs import write_folder

GIVEN = address("s3://bucket/given")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """`s3://bucket`, empty."""
    objects = MemoryStore()
    monkeypatch.setitem(store.OPENED, "s3://bucket", ObjectStore(objects, sleep=lambda seconds: None))
    return objects


def test_captions_of_a_file_and_of_a_folder(bucket: MemoryStore, tmp_path: Path) -> None:
    bucket.put("given/first.txt", b"a red ball\n\xff\n")
    bucket.put("given/more/second.jsonl", b'{"caption": "a blue boat"}\n')
    bucket.put("given/more/about.md", b"what these are")
    home = Home(tmp_path / "home")
    report = ingest([GIVEN / "first.txt"], home)
    assert (report.accepted, report.rejected_count) == (0, 0)
    assert report.files_failed == ["s3://bucket/given/first.txt:2: is not UTF-8 (byte 11); save the file as UTF-8."]
    bucket.put("given/first.txt", b"a red ball\n\na\x00b\n")
    report = ingest([GIVEN, GIVEN / "gone.txt", address("s3://bucket/nothing")], home)
    assert [f"{row.file}:{row.line}" for row in report.rejected] == ["s3://bucket/given/first.txt:3"]
    assert report.files_failed[0] == "s3://bucket/given/gone.txt: cannot be read: no such object."
    assert "s3://bucket/nothing: holds no caption files" in report.files_failed[1]
    rows = read_captions(home, "shard-000000").to_pylist()
    assert [(row["caption"], row["source"], row["line"]) for row in rows] == [
        ("a red ball", "s3://bucket/given/first.txt", 1),
        ("a blue boat", "s3://bucket/given/more/second.jsonl", 1),
    ]


def test_pairs_of_a_folder_and_of_a_table(bucket: MemoryStore, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", 2)
    for file in folder.iterdir():
        bucket.put(f"given/photos/{file.name}", file.read_bytes())
    bucket.put(
        "given/pairs.csv", b"source_image,target_image\nphotos/pair0_0.png,photos/pair1_1.png\n../x.png,y.png\n"
    )
    (here, there) = (Home(tmp_path / name) for name in ("here", "there"))
    ingest_pairs([folder], here)
    report = ingest_pairs([GIVEN / "photos", GIVEN / "pairs.csv", GIVEN / "none"], there)
    assert (report.accepted, report.rejected_count) == (3, 1)
    assert "is outside s3://bucket/given" in report.rejected[0].reason
    assert "s3://bucket/given/none: holds no pairs" in report.files_failed[0]
    known = [read_captions(home, "shard-000000")["caption_id"].to_pylist() for home in (here, there)]
    assert known[0] == known[1][:2]


def test_what_we_exported_does_not_come_in(bucket: MemoryStore, tmp_path: Path) -> None:
    bucket.put("given/out/export.json", b'{"made_by": "imgdiff export"}')
    bucket.put("given/out/train.json", b"[]")
    for place in (GIVEN, GIVEN / "out", GIVEN / "out" / "train.json"):
        assert "is an export of imgdiff" in ingest_pairs([place], Home(tmp_path / "home")).files_failed[0]


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "../../other/x.png", "x/../../secret.png", "gone.png"]
)
def test_no_path_leads_out_of_the_folder(bucket: MemoryStore, name: str) -> None:
    bucket.put("secret.png", b"secret")
    with pytest.raises(UnusableFile, match=r"is outside|no such object"):
        read_inside(name, [GIVEN], 100)
    assert "s3://other" not in store.OPENED


def test_a_picture_that_is_too_large_is_not_fetched(bucket: MemoryStore) -> None:
    bucket.put("given/large.png", bytes(101))
    with pytest.raises(UnusableFile, match="at most 100 B"):
        read_inside("large.png", [GIVEN], 100)
    assert read_inside("large.png", [GIVEN], 101) == bytes(101)


def test_a_store_that_does_not_answer_rejects_no_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Silent(MemoryStore):
        def get(self, *arguments: Any, **options: Any) -> Any:
            raise GenericError("no answer")

    silent = Silent()
    for side in range(2):
        silent.put(f"given/a_{side}.png", b"")
    monkeypatch.setitem(store.OPENED, "s3://bucket", ObjectStore(silent, sleep=lambda seconds: None))
    home = Home(tmp_path / "home")
    for report in (ingest([GIVEN / "x.txt"], home), ingest_pairs([GIVEN], home)):
        assert "could not be read (no answer)" in report.files_failed[0]
        assert report.rejected_count == 0
    assert shard_keys(home) == []
