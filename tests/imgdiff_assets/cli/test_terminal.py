"""Progress as it is seen on a terminal and elsewhere."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from imgdiff_assets.cli.terminal import ProgressBars, begin


def test_progress_is_a_line_per_measurement_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as progress:
        for what in ("prompt_pairs: rewrite", "image_pairs: generate"):
            for done in (0, 8, 16, 20):
                progress(what, done, 20)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(" in ")[0] for line in err.splitlines()] == [
        "prompt_pairs: rewrite: 20 rows",
        "image_pairs: generate: 20 rows",
    ]


def test_what_is_under_way_is_said_to_people_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("Looking")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    begin("Looking", quiet=True)
    assert capsys.readouterr() == ("", "")
    begin("Looking")
    assert capsys.readouterr() == ("", "Looking ...\n")


def test_progress_is_a_bar_on_a_terminal() -> None:
    code = (
        "from imgdiff_assets.cli.terminal import ProgressBars\n"
        "with ProgressBars() as progress:\n"
        "    for done in (0, 10, 20): progress('image_pairs: generate', done, 20)\n"
    )
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    subprocess.run([sys.executable, "-c", code], stdout=follower, stderr=follower, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "image_pairs: generate" in shown
    assert "20/20" in shown
    assert "100%" in shown
