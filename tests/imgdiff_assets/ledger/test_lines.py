"""Files of a JSON document a line: whatever a line holds, the others are read, and it is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.common.errors import is_expected, sentence
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import ACCEPT, Review, ReviewError, add_review, read_reviews
from imgdiff_assets.stages.fine_tune_set import STAGE

SHARD = "shard-000000"
ANN = Review("0123456789abcdef", SHARD, "Ann", ACCEPT)
WRONG = (
    b"[]",
    b'"accept"',
    b"null",
    b"",
    b"\0\0\0",
    b"\xff\xfe",
    b'{"sample_id": 7, "shard": "shard-000000", "reviewer": "Ann", "verdict": "accept"}',
    b'{"sample_id": {}, "shard": [], "reviewer": null, "verdict": "accept"}',
    b'{"sample_id": "\\ud800", "shard": "shard-000000", "reviewer": "Ann", "verdict": "accept"}',
    b'{"asset": "captions", "shard": "shard-000000", "run_id": "\\udfff"}',
    b'{"asset": "captions", "filters": {"not": "a list"}}',
    b"[" * 100_000,
    b'{"note": ' * 10_000 + b"1" + b"}" * 10_000,
    b'{"sample_id": "0123456789abcdef", "shard": "sha',
)


def test_a_folder_in_the_place_of_a_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        read_reviews(Home(tmp_path))
    assert is_expected(raised.value)
    assert sentence(raised.value) == f"{tmp_path}/reviews.jsonl: Is a directory."


def spoil(path: Path) -> list[int]:
    """Every kind of wrong line before and after those that are there; returns their numbers."""
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*WRONG, *lines, *WRONG]))
    first = len(WRONG) + len(lines)
    return [*range(1, len(WRONG) + 1), *range(first + 1, first + len(WRONG) + (WRONG[-1] != b""))]


def test_verdicts_beside_any_line_count(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("Ann", "Bob"):
        add_review(home, replace(ANN, reviewer=name))
    numbers = spoil(home.reviews)
    reviews = read_reviews(home)
    assert reviews.unreadable == tuple(numbers)
    assert set(reviews.by_sample[ANN.sample_id]) == {"Ann", "Bob"}
    add_review(home, replace(ANN, reviewer="Cem"))
    assert set(read_reviews(home).by_sample[ANN.sample_id]) == {"Ann", "Bob", "Cem"}


def test_a_spoilt_line_end_loses_no_verdict(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("Ann", "Bob", "Cem"):
        add_review(home, replace(ANN, reviewer=name, note="{}x{}"))
    home.reviews.write_bytes(home.reviews.read_bytes().replace(b"\n", b"J", 1))
    assert set(read_reviews(home).by_sample[ANN.sample_id]) == {"Ann", "Bob", "Cem"}
    assert read_reviews(home).unreadable == (1,)


def test_a_history_beside_any_line_is_read(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    before, known = ledger.history("captions", SHARD), rebuild(own_home)
    numbers = spoil(ledger.table_path("captions", SHARD).with_name("history.jsonl"))
    assert ledger.history("captions", SHARD) == before
    assert ledger.history_lines("captions", SHARD).unreadable == tuple(numbers)
    assert rebuild(own_home) == known


def test_inputs_are_hashed_whatever_the_lines_say(own_home: Home) -> None:
    before = read_inputs(STAGE, own_home, SHARD).hash
    own_home.reviews.write_bytes(b"\n".join(WRONG))
    assert read_inputs(STAGE, own_home, SHARD).hash == before


@pytest.mark.parametrize("field", ["note", "sample_id", "score"])
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, field: str) -> None:
    changed: Any = replace(ANN, **{field: "\ud83d"})
    with pytest.raises(ReviewError, match="could not be read back"):
        add_review(Home(tmp_path), changed)
    assert not Home(tmp_path).reviews.exists()


def test_a_record_of_a_later_release_is_kept_as_it_is(own_home: Home) -> None:
    ledger = Ledger(own_home.ledger)
    path = ledger.table_path("captions", SHARD).with_name("history.jsonl")
    later = {**ledger.history("captions", SHARD)[0], "carbon": {"grams": 2}}
    path.write_text(json.dumps(later) + "\n", encoding="utf-8")
    assert ledger.history("captions", SHARD) == [later]
