"""What people say beside verdicts: a line each, the last of which counts, and damage that gives nobody anything."""

import json
from pathlib import Path

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import CORRECTIONS, Correction, Value, correction_hashes, counting
from imgdiff_assets.ledger.journal import JournalError, journals_of
from imgdiff_assets.ledger.reviewers import REVIEWERS, add_reviewer, read_reviewers, remove_reviewer
from imgdiff_assets.ledger.tags import TAGS, Tagged, tags_by_row
from imgdiff_assets.ledger.views import VIEWS, View, views


def correction(region: str = "aa", **values: Value) -> Correction:
    return Correction(region, "shard-000000", "Ann", values)


def test_the_last_line_on_a_text_counts_and_null_takes_it_back(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert correction_hashes(home, "shard-000000") == {}
    said = [
        correction(difference_caption="a cat"),
        correction(box=(1.0, 2.0, 3.0, 4.0)),
        correction(difference_caption="a dog"),
        correction("bb", box=(0.0, 0.0, 9.0, 9.0)),
        correction("bb", box=None),
    ]
    for each in said:
        CORRECTIONS.add(home, [each])
    (region,) = counting(home).items()
    assert region == ("aa", {"difference_caption": said[2], "box": said[1]})
    assert correction_hashes(home, "shard-000000").keys() == {"aa"}
    assert correction_hashes(home, "shard-000001") == {}
    assert len(CORRECTIONS.read(home).values) == 5, "nothing is written over"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "nothing is corrected"),
        ({"caption": "a cat"}, "cannot be corrected"),
        ({"difference_caption": " "}, "1 to 2,000"),
        ({"difference_caption": "x" * 2001}, "1 to 2,000"),
        ({"difference_caption": "\ud800"}, "invalid"),
        ({"box": (3.0, 0.0, 3.5, 9.0)}, "x1 < x2"),
        ({"box": (-1.0, 0.0, 3.0, 9.0)}, "x1 < x2"),
        ({"box": (0.0, 0.0, float("inf"), 9.0)}, "x1 < x2"),
        ({"box": "a cat"}, "four corners"),
    ],
)
def test_what_corrects_nothing_is_refused(tmp_path: Path, values: dict[str, Value], words: str) -> None:
    with pytest.raises(JournalError, match=words):
        CORRECTIONS.add(Home(tmp_path), [correction(**values)])
    assert journals_of(Home(tmp_path)) == []


def test_a_line_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    home = Home(tmp_path)
    TAGS.add(home, [Tagged("aa", "blurred", "Ann"), Tagged("bb", "blurred", "Ann")])
    with TAGS.address(home).open("ab") as file:  # type: ignore[attr-defined]
        file.write(b'{"row_id": "cc", "tag"\n{"row_id": "", "tag": "of nothing", "by": "Ann"}\n')
    TAGS.add(home, [Tagged("aa", "blurred", "Bob", on=False), Tagged("bb", "night", "Bob")])
    assert tags_by_row(home) == {"bb": ["blurred", "night"]}
    assert TAGS.read(home).unreadable == (3,)


def test_a_view_is_an_address_of_the_site(tmp_path: Path) -> None:
    home = Home(tmp_path)
    VIEWS.add(home, [View("doubtful", "/gallery?low=0.1"), View("gone", "/map")])
    VIEWS.add(home, [View("doubtful", "/gallery?low=0.2"), View("gone", "")])
    assert views(home) == {"doubtful": "/gallery?low=0.2"}
    for address in ("//elsewhere.example/gallery", "https://elsewhere.example", "/review?reviewer=Ann", "/gallery\n"):
        with pytest.raises(JournalError, match="a view is an address"):
            VIEWS.add(home, [View("elsewhere", address)])


def test_a_token_is_known_by_its_hash_until_it_is_taken_away(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not read_reviewers(home).asked_for
    first, second, other = add_reviewer(home, "Ann"), add_reviewer(home, "  Ann "), add_reviewer(home, "Bob")
    known = read_reviewers(home)
    assert [known.named(token) for token in (first, second, other, "")] == [None, "Ann", "Bob", None]
    assert not any(token in REVIEWERS.address(home).read_text() for token in (first, second, other))  # type: ignore[attr-defined]
    remove_reviewer(home, "Ann")
    remove_reviewer(home, "Bob")
    assert (read_reviewers(home).tokens, read_reviewers(home).asked_for) == ({}, True), "not back to trust"
    with pytest.raises(JournalError, match="Ann has no token"):
        remove_reviewer(home, "Ann")


@pytest.mark.parametrize("harm", ["torn", "another letter", "another name"])
def test_a_damaged_removal_gives_no_token_back(tmp_path: Path, harm: str) -> None:
    home = Home(tmp_path)
    token, other = add_reviewer(home, "Ann"), add_reviewer(home, "Bob")
    remove_reviewer(home, "Ann")
    path = Path(REVIEWERS.address(home))
    *before, removal = path.read_text().splitlines()
    said = json.loads(removal)
    damaged = {
        "torn": removal[:20],
        "another letter": removal.replace('"Ann"', '"Anm"'),
        "another name": json.dumps({**said, "name": "Eve", "at": "later"}),
    }[harm]
    path.write_text("\n".join([*before, damaged, ""]))
    known = read_reviewers(home)
    assert known.named(token) is None
    assert known.named(other) is None, "nobody knows whom the line took it from"
    assert (known.distrusted, known.unreadable) == (("Ann", "Bob"), (3,))
    again = add_reviewer(home, "Bob")
    assert read_reviewers(home).named(again) == "Bob"
    assert read_reviewers(home).distrusted == ("Ann",)
