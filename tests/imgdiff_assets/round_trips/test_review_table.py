"""Verdicts as a table: out, filled in by hand, and in again, once."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviewers import add_reviewer
from imgdiff_assets.ledger.reviews import RANDOM, Review, ReviewError, add_review, read_reviews
from imgdiff_assets.round_trips.review_table import take_reviews, write_reviews
from imgdiff_assets.round_trips.reviewable import reviewable
from imgdiff_assets.round_trips.taking import REFUSED


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def write(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return file


def ids(home: Home) -> list[str]:
    return sorted(reviewable(Ledger(home.ledger)))


def test_a_table_that_is_filled_in_is_taken_once(own_home: Home, tmp_path: Path) -> None:
    one, two, *_ = ids(own_home)
    said = Review(one, "shard-000000", "Ann", "reject", "=1+1", RANDOM, reason="invented", first="source")
    add_review(own_home, said)
    file = tmp_path / "reviews.csv"
    assert write_reviews(own_home, file) == 1
    assert read(file)[0]["note"] == "'=1+1", "a spreadsheet computes nothing"
    assert take_reviews(own_home, file).known == 1

    write_reviews(own_home, file, unreviewed=True)
    rows = read(file)
    assert {row["sample_id"] for row in rows} == set(ids(own_home))
    assert all(row["question"] and row["answer"] for row in rows)
    for row in rows:
        if row["sample_id"] == two:
            row |= {"verdict": " Accept", "reviewer": "Bob"}
    taken = take_reviews(own_home, write(file, rows))
    assert (taken.reviews, taken.known, taken.empty, taken.refused) == (1, 1, len(rows) - 2, [])
    found = read_reviews(own_home).by_sample
    sample = reviewable(Ledger(own_home.ledger))[two]
    assert (found[two]["Bob"].verdict, found[two]["Bob"].shard, found[two]["Bob"].pair_id) == (
        "accept",
        sample.shard,
        sample.pair_id,
    )
    assert (found[one]["Ann"].note, found[one]["Ann"].queue) == ("=1+1", RANDOM)
    assert take_reviews(own_home, file).reviews == 0


def test_verdicts_move_to_another_home_of_the_same_samples(own_home: Home, drawn_home: Home, tmp_path: Path) -> None:
    one = ids(own_home)[0]
    add_review(own_home, Review(one, "shard-000000", "Ann", "reject", "'s note", RANDOM, "", reason="other"))
    write_reviews(own_home, tmp_path / "all.csv")
    Path(str(own_home.reviews)).unlink()
    assert take_reviews(own_home, tmp_path / "all.csv").reviews == 1
    review = read_reviews(own_home).by_sample[one]["Ann"]
    assert (review.verdict, review.note, review.queue, review.reason) == ("reject", "'s note", RANDOM, "other")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"sample_id": "0" * 20}, "sample_id"),
        ({"verdict": "perhaps"}, "verdict"),
        ({"reason": "x" * 61}, "verdict"),
        ({"queue": "fast"}, "verdict"),
        ({"reviewer": ""}, "reviewer"),
    ],
)
def test_a_row_that_cannot_be_taken_is_kept_with_its_reason(
    changed: dict[str, str], field: str, own_home: Home, tmp_path: Path
) -> None:
    one, two, *_ = ids(own_home)
    good = {"sample_id": one, "verdict": "reject", "reviewer": "Ann", "reason": "", "queue": ""}
    file = write(tmp_path / "given.csv", [{**good, "sample_id": two, **changed}, good])
    taken = take_reviews(own_home, file)
    assert taken.reviews == 1
    assert [(each.file, each.row, each.field) for each in taken.refused] == [("given.csv", 1, field)]
    kept = REFUSED.read(own_home).values
    assert [(each.row, each.given["reviewer"]) for each in kept] == [(1, changed.get("reviewer", "Ann"))]


def test_what_was_said_later_here_is_not_taken_back(own_home: Home, tmp_path: Path) -> None:
    one = ids(own_home)[0]
    add_review(own_home, Review(one, "shard-000000", "Ann", "accept"))
    row = {"sample_id": one, "verdict": "reject", "reviewer": "Ann", "at": "2020-01-01T00:00:00+00:00"}
    assert [each.field for each in take_reviews(own_home, write(tmp_path / "old.csv", [row])).refused] == ["at"]
    assert read_reviews(own_home).by_sample[one]["Ann"].verdict == "accept"


def test_a_file_that_is_no_such_table_is_told(own_home: Home, tmp_path: Path) -> None:
    for text in (b"name,said\nx,accept\n", b'sample_id,verdict\n"x,accept', b"sample_id,verdict\n\xff,accept\n"):
        (tmp_path / "bad.csv").write_bytes(text)
        with pytest.raises(ReviewError, match=r"bad\.csv"):
            take_reviews(own_home, tmp_path / "bad.csv", "Ann")


def test_nobody_speaks_for_another_where_reviewers_have_tokens(own_home: Home, tmp_path: Path) -> None:
    one, two, *_ = ids(own_home)
    token = add_reviewer(own_home, "Ann")
    rows = [{"sample_id": one, "verdict": "accept", "reviewer": "Bob"}, {"sample_id": two, "verdict": "accept"}]
    file = write(tmp_path / "said.csv", rows)
    for wrong in (None, "guessed"):
        with pytest.raises(ReviewError, match="token"):
            take_reviews(own_home, file, token=wrong)
    taken = take_reviews(own_home, file, token=token)
    assert ([each.field for each in taken.refused], taken.reviews) == (["reviewer"], 1)
    assert read_reviews(own_home).by_sample[two]["Ann"].by_token


def test_the_commands_say_what_they_did(own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(own_home.root))

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, ["reviews", *words])
        assert result.exit_code == 0, result.output
        return result.output

    file = tmp_path / "reviews.csv"
    run("export", str(file), "--unreviewed")
    rows = [{**row, "verdict": "reject"} for row in read(file)]
    write(file, [*rows, {"sample_id": "gone", "verdict": "reject"}])
    assert "Dry run" in run("import", str(file), "--dry-run", "--reviewer", "Ann")
    told = run("import", str(file), "--reviewer", "Ann")
    assert f"{len(rows)} new verdict" in told
    assert "sample_id: there is no sample 'gone'" in told
    assert json.loads(run("import", str(file), "--reviewer", "Ann", "--json"))["known"] == len(rows)
