"""`imgdiff reviewers`: a token is shown once, and nobody else's is."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.reviewers import REVIEWERS, read_reviewers


def test_a_token_is_given_listed_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path))

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(main, ["reviewers", *words])
        assert result.exit_code == status, result.output
        return result.output

    assert "on trust" in run("list")
    token = json.loads(run("add", "Ann", "--json"))["token"]
    assert read_reviewers(Home(tmp_path)).named(token) == "Ann"
    assert token not in run("list")
    assert "Bob has no token" in run("remove", "Bob", status=1)
    assert "1 to 60 printable" in run("add", " ", status=1)
    run("remove", "Ann")
    assert json.loads(run("list", "--json")) == {"reviewers": [], "distrusted": [], "unreadable": []}
    run("add", "Ann")
    with Path(REVIEWERS.address(Home(tmp_path))).open("a", encoding="utf-8") as file:
        file.write("{}\n")
    assert "Not accepted until they are given anew: Ann" in run("list")
