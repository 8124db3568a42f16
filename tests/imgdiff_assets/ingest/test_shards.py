"""The shards of a home: a key is never a path, and what is no shard is never taken for one."""

from itertools import islice
from pathlib import Path

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import ShardError, check_key, known_shards, new_keys, read_captions, shard_keys


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def write(home: Home, name: str, content: str) -> Path:
    path = home.root.parent / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "key",
    [
        "../secrets",
        "shard-000000/../..",
        "shard-000000\n",
        "/etc/passwd",
        "",
        ".",
        "shard-0",
        "SHARD-000000",
        "shard-٠٠٠٠٠٠",
    ],
)
def test_a_key_is_never_a_path(home: Home, key: str) -> None:
    for check in (check_key, lambda key: read_captions(home, key)):
        with pytest.raises(ShardError, match="is not a shard key: keys look like shard-000123"):
            check(key)


def test_unknown_shards_are_told_what_there_is(home: Home) -> None:
    with pytest.raises(ShardError, match="there are none yet: ingest captions first"):
        read_captions(home, "shard-000000")
    ingest([write(home, "a.txt", "a\nb")], home, shard_size=1)
    with pytest.raises(ShardError, match=r"shard-000007: no such shard in .*; there are shard-000000 to shard-000001"):
        read_captions(home, "shard-000007")


def test_a_damaged_caption_table_is_one_sentence(home: Home) -> None:
    ingest([write(home, "a.txt", "a\nb")], home)
    path = home.captions / "shard-000000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ShardError, match=r"shard-000000\.parquet: is not a readable caption table"):
        read_captions(home, "shard-000000")
    report = ingest([write(home, "b.txt", "a\nc")], home)
    assert (report.accepted, report.duplicates) == (1, 1), "it keeps no other caption from coming in"


def test_files_that_are_not_shards_are_not_taken_for_shards(home: Home) -> None:
    ingest([write(home, "a.txt", "a")], home)
    for name in ("shard-1.parquet", "shard-000001.parquet.tmp", "notes.parquet", "shard-abcdef.parquet"):
        (home.captions / name).touch()
    assert shard_keys(home) == ["shard-000000"]


def test_the_shards_meant_are_those_named_or_all(home: Home) -> None:
    with pytest.raises(ShardError, match=r"There are no shards in .*: ingest captions first"):
        known_shards(home, [])
    ingest([write(home, "a.txt", "a\nb\nc")], home, shard_size=1)
    assert known_shards(home, []) == ["shard-000000", "shard-000001", "shard-000002"]
    assert known_shards(home, ["shard-000002", "shard-000000", "shard-000002"]) == ["shard-000000", "shard-000002"]
    with pytest.raises(ShardError, match="shard-000007: no such shard"):
        known_shards(home, ["shard-000000", "shard-000007"])


def test_new_shards_follow_the_last_one(home: Home) -> None:
    assert list(islice(new_keys(home), 2)) == ["shard-000000", "shard-000001"]
    ingest([write(home, "a.txt", "a\nb\nc")], home, shard_size=1)
    (home.captions / "shard-000001.parquet").unlink()
    assert next(new_keys(home)) == "shard-000003", "whatever was taken away before it"
