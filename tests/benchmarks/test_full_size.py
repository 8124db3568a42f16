"""Pieces at full size are guarded, in time, and gone on with; and all of them run."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.speed.__main__ import main
from benchmarks.speed.full_size import PIECES, TINY_SCALE, Bench, Piece, run
from benchmarks.speed.timing import Figure


def good(bench: Bench) -> Iterator[Figure]:
    yield Figure("one", 1.0)
    yield Figure("two", 2.0)


def endless(bench: Bench) -> Iterator[Figure]:
    yield Figure("before", 3.0)
    for _ in itertools.count():
        try:
            continue
        except Exception:  # as libraries do
            break


def broken(bench: Bench) -> Iterator[Figure]:
    yield Figure("so far", 4.0)
    raise RuntimeError("CUDA error: an illegal memory access")


def test_a_piece_that_fails_or_takes_too_long_costs_no_other(tmp_path: Path) -> None:
    bench, file, said = Bench(tmp_path / "models", TINY_SCALE), tmp_path / "figures.json", list[str]()
    about = {"device": "this"}
    assert not run(bench, 60, file, about, said.append, [Piece(broken, 0), Piece(good, 0)])
    assert not run(bench, 0.2, file, about, said.append, [Piece(endless, 0)])
    pieces = json.loads(file.read_text(encoding="utf-8"))["pieces"]
    assert [figure["value"] for figure in pieces["good"]["figures"]] == [1.0, 2.0]
    assert "error" not in pieces["good"]
    assert pieces["broken"]["figures"][0]["what"] == "so far"
    assert pieces["broken"]["error"].startswith("RuntimeError: CUDA error")
    assert pieces["endless"]["figures"][0]["value"] == 3.0
    assert pieces["endless"]["error"].startswith("OutOfTime")


def test_the_same_command_goes_on_with_what_is_not_there(tmp_path: Path) -> None:
    bench, file, said = Bench(tmp_path / "models", TINY_SCALE), tmp_path / "figures.json", list[str]()
    pieces = [Piece(good, 0), Piece(broken, 0)]
    assert not run(bench, 60, file, {"device": "this"}, said.append, pieces)
    before = json.loads(file.read_text(encoding="utf-8"))["pieces"]["good"]
    said.clear()
    assert not run(bench, 60, file, {"device": "this"}, said.append, pieces)
    assert "good: there already" in said
    assert any(text.startswith("so far") for text in said)
    assert json.loads(file.read_text(encoding="utf-8"))["pieces"]["good"] == before
    assert run(bench, 60, file, {"device": "another"}, said.append, pieces[:1]), "figures of another card are none"
    assert list(json.loads(file.read_text(encoding="utf-8"))["pieces"]) == ["good"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_all_pieces_run(tmp_path: Path) -> None:
    command = ["--full-size", "--tiny", "--models", str(tmp_path / "models")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "models" / "figures.json").read_text(encoding="utf-8"))
    assert list(told["pieces"]) == [piece.name for piece in PIECES]
    assert all(piece["figures"] for piece in told["pieces"].values())
