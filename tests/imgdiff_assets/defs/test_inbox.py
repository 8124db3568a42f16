"""Files of the inbox become shards once, whatever happens in between."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgdiff_assets.defs import inbox
from imgdiff_assets.defs.inbox import inbox_shards, take_files
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import read_captions, shard_keys

LONG_AGO = time.time() - 3600


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def drop(home: Home, name: str, text: str = "a red ball\na blue cup\n", modified: float | None = LONG_AGO) -> Path:
    path = home.inbox / name
    path.write_text(text, encoding="utf-8")
    if modified is not None:
        os.utime(path, (modified, modified))
    return path


def take(home: Home, seen: inbox.Seen | None = None, **options: float) -> inbox.InboxReport:
    return take_files(home, seen or {}, settle_seconds=30, shard_size=1, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_that_stood_still_becomes_shards_and_is_moved(home: Home) -> None:
    drop(home, "captions.txt")
    report = take(home)
    assert report.shards == shard_keys(home) == ["shard-000000", "shard-000001"]
    assert names(home.inbox / "done") == ["captions.txt"]
    assert take(home).shards == []


def test_a_file_that_grows_waits_until_it_stands_still(home: Home) -> None:
    path = drop(home, "captions.txt", modified=None)
    first = take(home)
    assert (first.shards, list(first.waiting)) == ([], ["captions.txt"])
    with path.open("a", encoding="utf-8") as file:
        file.write("a green tree\n")
    second = take(home, first.waiting)
    assert second.shards == []
    assert len(take(home, second.waiting).shards) == 3


def test_a_file_under_a_working_name_waits_for_its_renaming(home: Home) -> None:
    for name in ("captions.txt.part", ".captions.txt"):
        drop(home, name)
    assert (take(home).shards, take(home).waiting) == ([], {})
    (home.inbox / "captions.txt.part").rename(home.inbox / "captions.txt")
    assert len(take(home).shards) == 2


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("captions.pdf", "x", "unknown kind of file"),
        ("captions.csv", "text\nhello\n", "has no column 'caption'"),
        ("empty.txt", "", "holds no captions"),
        ("bells.txt", "a\x07bell\n", "has the control character U+0007"),
    ],
)
def test_a_bad_file_is_moved_aside_with_the_reason(home: Home, name: str, text: str, reason: str) -> None:
    drop(home, name, text)
    report = take(home)
    assert report.shards == []
    assert names(home.inbox / "failed") == sorted([name, f"{name}.error.txt"])
    assert reason in (home.inbox / "failed" / f"{name}.error.txt").read_text(encoding="utf-8")
    assert reason in report.lines[0]


def test_unusable_lines_are_noted_beside_the_file(home: Home) -> None:
    drop(home, "captions.txt", "a red ball\na\x07bell\n")
    assert take(home).lines == ["captions.txt: 1 new caption, 0 known already, 1 rejected"]
    assert (
        "captions.txt:2: caption: has the control" in (home.inbox / "done" / "captions.txt.rejected.txt").read_text()
    )


def test_a_second_file_of_one_name_replaces_no_first(home: Home) -> None:
    drop(home, "captions.txt")
    take(home)
    drop(home, "captions.txt", "a pink fish\n")
    assert take(home).shards == ["shard-000002"]
    assert names(home.inbox / "done") == ["captions.1.txt", "captions.txt"]


def test_what_takes_too_long_is_left_for_the_next_look(home: Home) -> None:
    drop(home, "captions.txt")
    report = take(home, patience=0)
    assert (report.shards, list(report.waiting)) == ([], ["captions.txt"])
    assert len(take(home, report.waiting).shards) == 2


def test_only_shards_of_the_inbox_are_its_own(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("a white star\n")
    ingest([elsewhere], home)
    drop(home, "captions.txt")
    take(home)
    assert inbox_shards(home, "") == ["shard-000001", "shard-000002"]
    assert inbox_shards(home, "shard-000001") == ["shard-000002"]


@pytest.mark.parametrize("killed_at", ["shard-000002.parquet", "done"])
def test_a_kill_in_the_middle_of_an_ingestion_loses_and_repeats_nothing(home: Home, killed_at: str) -> None:
    """Killed before the third of four shards is there, or with all of them there and the file not moved."""
    texts = [f"a red ball number {number}" for number in range(4)]
    drop(home, "captions.txt", "\n".join(texts))
    code = (
        "import os, sys; from pathlib import Path; from imgdiff_assets.home import Home\n"
        "from imgdiff_assets.defs.inbox import take_files\n"
        "def kill_at(event, arguments):\n"
        "    if event in ('os.rename', 'os.mkdir') and sys.argv[2] in str(arguments[-2 if event == 'os.mkdir' else 1])"
        " + str(arguments[0]):\n"
        "        os.kill(os.getpid(), 9)\n"
        "home = Home(Path(sys.argv[1])); home.create(); sys.addaudithook(kill_at)\n"
        "take_files(home, {}, 30, 1)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(home.root), killed_at], check=False, timeout=60)
    assert killed.returncode == -9
    assert names(home.inbox) == ["captions.txt"]
    left = take(home)
    assert [text for key in shard_keys(home) for text in read_captions(home, key)["caption"].to_pylist()] == texts
    assert len(left.shards) == (2 if killed_at != "done" else 0)
    assert inbox_shards(home, "") == shard_keys(home), "those of before the kill are known as the inbox's"
    assert names(home.inbox) == ["done"]


@pytest.mark.parametrize("text", ["", "a red ball\n\x00\n"])
def test_the_longest_names_are_moved_and_noted(home: Home, text: str) -> None:
    name = "ä" * 125 + ".txt"
    for _ in range(2):
        drop(home, name, text)
        take(home)
    assert names(home.inbox) == ["failed" if not text else "done"]
    (folder,) = home.inbox.iterdir()
    assert name in names(folder)
    assert len(names(folder)) == 4
