"""Files that are there whole or not at all: for one writer or several, with and without waiting for the disk."""

import datetime
import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from imgdiff_assets.ledger import files
from imgdiff_assets.ledger.aside import set_aside
from imgdiff_assets.ledger.files import NotWritten, append_lines, atomic_file, drop_lines, remove_leftovers
from tests.apart import CONTEXT


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was waited for until the disk had it."""
    waited: list[Path] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        waited.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return waited


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, flushed: list[Path]) -> None:
    path = tmp_path / "folder" / "file"
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert flushed == [temporary, path.parent]
    assert os.listdir(path.parent) == ["file"]


def test_a_system_with_a_fuller_flush_gets_it_and_a_file_system_without_gets_the_other(
    tmp_path: Path, flushed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS has one; here a harmless call stands for it, and one that no system knows."""
    for call, waited in ((fcntl.F_GETFD, 0), (123_456, 2)):
        monkeypatch.setattr(files, "FULL_FLUSH", call)
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_bytes(b"whole")
        assert len(flushed) == waited


def test_a_file_that_can_be_made_again_waits_for_no_disk(tmp_path: Path, flushed: list[Path]) -> None:
    with atomic_file(tmp_path / "file", durable=False) as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert flushed == []


def _fail_writing(path: Path, shared: bool, error: BaseException) -> None:
    with atomic_file(path, shared=shared) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("shared", [False, True])
def test_what_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        _fail_writing(path, shared, KeyboardInterrupt())
    with pytest.raises(OSError, match=r"file: cannot be written \(no space left\); what was there is unchanged\."):
        _fail_writing(path, shared, OSError("no space\nleft"))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_several_may_write_one_file_at_once(tmp_path: Path) -> None:
    """Two threads in the middle of writing: neither touches what the other has written."""
    path, both_inside = tmp_path / "file", threading.Barrier(2)

    def write(content: bytes) -> None:
        with atomic_file(path, durable=False, shared=True) as temporary, temporary.open("wb") as file:
            file.write(content[:1])
            both_inside.wait()
            file.write(content[1:])

    threads = [threading.Thread(target=write, args=(content,)) for content in (b"a" * 99, b"b" * 99)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in (b"a" * 99, b"b" * 99)
    assert os.listdir(tmp_path) == ["file"]


def _die_writing(path: Path, shared: bool) -> None:
    with atomic_file(path, shared=shared) as temporary:
        temporary.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_leaves_what_can_be_told_from_files(tmp_path: Path) -> None:
    for shared in (False, False, True, True):
        process = CONTEXT.Process(target=_die_writing, args=(tmp_path / "file", shared))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    (tmp_path / "other").touch()
    assert len(os.listdir(tmp_path)) == 1 + 2 + 1, "the latest of one path, each of the others"
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["other"]


def test_lines_are_appended_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_lines(path, ["one", "zwei é"])
    append_lines(path, [])
    append_lines(path, ["three"])
    assert path.read_text("utf-8") == "one\nzwei é\nthree\n"


def test_a_torn_line_is_ended_before_others_follow(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntor", encoding="utf-8")
    append_lines(path, ["three"])
    assert path.read_text("utf-8") == "one\ntor\nthree\n"


def _put_aside(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return set_aside(path)


def test_a_file_is_set_aside_under_a_name_that_says_when(tmp_path: Path) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    aside = _put_aside(tmp_path / "rows.parquet", b"half")
    name, moment, number = aside.name.rsplit("-", 2)
    assert (name, number) == ("rows.parquet.damaged", "000")
    assert before <= datetime.datetime.strptime(moment, "%Y%m%dT%H%M%S%z") <= datetime.datetime.now(datetime.UTC)
    assert aside.read_bytes() == b"half"
    assert os.listdir(tmp_path) == [aside.name]


def test_files_set_aside_sort_by_time(tmp_path: Path) -> None:
    contents = [f"{number:02d}".encode() for number in range(12)]
    for content in contents:
        _put_aside(tmp_path / "rows.parquet", content)
    found = sorted(tmp_path.glob("rows.parquet.damaged-*"))
    assert [path.read_bytes() for path in found] == contents


def test_no_file_takes_the_place_of_what_is_none(tmp_path: Path) -> None:
    """`--out /dev/null`, given by an administrator."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotWritten, match="something that is no file"), atomic_file(tmp_path / "pipe") as temporary:
        temporary.write_bytes(b"")
    assert (tmp_path / "pipe").is_fifo()


def test_lines_that_are_added_while_others_are_taken_out_stay(tmp_path: Path) -> None:
    """Whoever waits for the file finds another in its place, and takes that."""
    path = tmp_path / "lines"
    append_lines(path, ["goes", "stays"])
    writers = [
        threading.Thread(target=lambda name=name: [append_lines(path, [f"{name} {number}"]) for number in range(40)])
        for name in ("ada", "bob")
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        append_lines(path, ["goes"])
        drop_lines(path, lambda line: line == b"goes\n")
    drop_lines(path, lambda line: line == b"goes\n")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(["stays", *(f"{name} {number}" for name in ("ada", "bob") for number in range(40))])
    drop_lines(tmp_path / "nothing", lambda line: True)
    assert not (tmp_path / "nothing").exists()
