"""Files of the inbox become shards once, whatever happens in between."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.defs import inbox
from imgdiff_assets.defs.inbox import inbox_shards, take_files
from imgdiff_assets.home import Home
from imgdiff_assets.ingest import ingest_captions
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


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look is over after two rows."""
    monkeypatch.setattr(ingest_captions._Ingestion, "ROWS_BETWEEN_LOOKS_AT_THE_CLOCK", 2)
    monkeypatch.setattr(ingest_captions, "time", SimpleNamespace(monotonic=lambda: float("inf")))


def captions(home: Home) -> list[str]:
    return [text for key in shard_keys(home) for text in read_captions(home, key)["caption"].to_pylist()]


@pytest.mark.usefixtures("no_time")
def test_a_large_file_is_taken_over_several_looks_each_of_which_goes_on(home: Home) -> None:
    drop(home, "captions.txt", "a ball\na\x07bell\na cup\n\na ball\na tree\n")
    said, seen = [], {}
    for _ in range(3):
        report = take(home, seen)
        said, seen = [*said, *report.lines], report.waiting
    assert said == [
        "captions.txt: 1 new caption, 0 known already, 1 rejected up to row 2; goes on with the next look",
        "captions.txt: 2 new captions, 1 known already, 1 rejected up to row 5; goes on with the next look",
        "captions.txt: 3 new captions, 1 known already, 1 rejected",
    ]
    assert captions(home) == ["a ball", "a cup", "a tree"]
    assert names(home.inbox) == ["done"]
    assert "captions.txt:2: caption: has the" in (home.inbox / "done" / "captions.txt.rejected.txt").read_text()


@pytest.mark.usefixtures("no_time")
def test_another_file_of_the_same_name_begins_anew(home: Home) -> None:
    drop(home, "captions.txt", "a ball\na cup\na tree\n")
    seen = take(home).waiting
    drop(home, "captions.txt", "a dog\na cat\na bird\na cow\n")
    for _ in range(3):
        seen = take(home, seen).waiting
    assert captions(home) == ["a ball", "a cup", "a dog", "a cat", "a bird", "a cow"]


def test_links_and_pipes_are_not_opened(home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a password\n")
    (home.inbox / "link.txt").symlink_to(secret)
    (home.inbox / "device.jsonl").symlink_to("/dev/zero")
    os.mkfifo(home.inbox / "pipe.txt")
    (home.inbox / "folder").mkdir()
    drop(home, "captions.txt", "a ball\n")
    seen = {path.name: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in home.inbox.iterdir()}
    report = take(home, seen)
    assert captions(home) == ["a ball"]
    assert secret.read_text() == "a password\n"
    failed = ("device.jsonl", "link.txt", "pipe.txt")
    assert names(home.inbox / "failed") == sorted([*failed, *(f"{name}.error.txt" for name in failed)])
    assert report.ignored == ["folder is a folder, which is not looked into."]


def test_a_link_that_takes_a_file_s_place_is_not_followed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what it is and its opening."""
    path = drop(home, "captions.txt")
    entries = inbox._entries(home, inbox.InboxReport())
    monkeypatch.setattr(inbox, "_entries", lambda *given: entries)
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert "is a link" in take(home).lines[0]
    assert shard_keys(home) == []


def test_a_file_that_cannot_be_taken_keeps_no_other_from_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array([b"caf\xe9", b"a cup"])
    column = pa.StringArray.from_buffers(2, texts.buffers()[1], texts.buffers()[2])
    pq.write_table(pa.table({"caption": column}), home.inbox / "a.parquet")
    os.utime(home.inbox / "a.parquet", (LONG_AGO, LONG_AGO))
    for name in ("stuck.txt", "x" * 250 + ".txt", os.fsdecode(b"\xff.txt")):
        drop(home, name, "\x07\n")
    drop(home, "captions.txt", "a ball\n")
    rename = Path.rename

    def unless_stuck(path: Path, target: Path) -> Path:
        if path.name == "stuck.txt":
            raise PermissionError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", unless_stuck)
    report = take(home)
    assert sorted(captions(home)) == ["a ball", "a cup"]
    assert names(home.inbox) == ["done", "failed", "stuck.txt"]
    assert any("stuck.txt: stays where it is" in line for line in report.lines)
    assert any(line == "a.parquet: 1 new caption, 0 known already, 1 rejected" for line in report.lines)
    for line in report.lines:
        assert line.encode()


@pytest.mark.long
def test_a_large_file_takes_little_memory_and_no_look_too_long(home: Home) -> None:
    """60 MB. All at once, it took some 20 times its size."""
    with (home.inbox / "large.txt").open("w") as file:
        for number in range(1_000_000):
            file.write(f"a red ball, a blue cup and a green tree, number {number:10,}\n")
    os.utime(home.inbox / "large.txt", (LONG_AGO, LONG_AGO))
    code = (
        "import resource, sys, time; from pathlib import Path; from imgdiff_assets.home import Home\n"
        "from imgdiff_assets.defs.inbox import take_files\n"
        "home, seen, looks = Home(Path(sys.argv[1])), {'': ()}, 0\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "while seen:\n"
        "    started = time.monotonic(); seen = take_files(home, seen, 30, 10_000, patience=5).waiting; looks += 1\n"
        "    assert time.monotonic() - started < 30, time.monotonic() - started\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "assert grown < 250_000, grown\n"
        "print(looks)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], check=False, timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1
    assert sum(read_captions(home, key).num_rows for key in shard_keys(home)) == 1_000_000


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


@pytest.mark.parametrize("aside", ["done", "failed"])
def test_a_link_in_the_place_of_a_folder_leads_no_file_elsewhere(home: Home, tmp_path: Path, aside: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home.inbox / aside).symlink_to(elsewhere)
    drop(home, "code.pth" if aside == "failed" else "captions.txt", "import os\n")
    report = take(home)
    assert names(elsewhere) == []
    assert f"stays where it is: {aside}/ is a link" in report.lines[0]


def test_what_was_taken_of_a_file_is_not_said_by_who_drops_it(home: Home) -> None:
    path = drop(home, "captions.txt", "a ball\n")
    said = {"name": path.name, "size": path.stat().st_size, "modified": path.stat().st_mtime_ns, "row": "x"}
    (home.inbox / ".under_way.json").write_text(json.dumps(said))
    (home.captions / inbox.UNDER_WAY).write_text(json.dumps(said))
    take(home)
    assert captions(home) == ["a ball"]
