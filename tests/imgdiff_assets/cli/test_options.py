"""Options that take several values at once."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.cli.options import SeveralValues
from imgdiff_assets.home import Home


def test_repeatable_options_take_several_values_at_once() -> None:
    seen: list[Any] = []

    @click.command(cls=SeveralValues)
    @click.option("--shards", "-s", multiple=True)
    @click.option("--set", "overrides", multiple=True)
    @click.option("--recipe")
    def command(shards: tuple[str, ...], overrides: tuple[str, ...], recipe: str | None) -> None:
        seen.append((shards, overrides, recipe))

    for arguments in (
        ["--shards", "a", "b", "c", "--recipe", "r", "--set", "x.y=1", "x.z=-2"],
        ["--shards", "a", "b", "--shards", "c", "--set", "x.y=1", "--set=x.z=-2", "--recipe", "r"],
        ["-s", "a", "b", "c", "--set", "x.y=1", "x.z=-2", "--recipe=r"],
    ):
        assert CliRunner().invoke(command, arguments).exit_code == 0
    assert seen == [(("a", "b", "c"), ("x.y=1", "x.z=-2"), "r")] * 3
    assert CliRunner().invoke(command, ["--recipe", "r", "stray"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("certificate --confidence nan", "is not a finite number"),
        ("ledger verify --rate nan", "is not a finite number"),
        ("ledger verify --rate 0", "is not in the range"),
        ("what-if --sweep filtered_pairs.min_similarity=0:inf:3", "write stage.key=first:last:count"),
        ("report --out a\udcffb", "a\\xffb: a name that is not UTF-8 cannot be used"),
        ("run --dry-run --recipe ~nobody-has-this-name/a.yaml", "Could not determine home directory"),
        ("run --dry-run --set captioner.timeout_seconds=1e300", "less than or equal to 1000000"),
        ("run --dry-run --set kept_share.nothing=[0,1]", "--set: kept_share: unknown key"),
    ],
)
def test_what_no_option_takes_is_told_in_a_sentence(drawn_home: Home, arguments: str, told: str) -> None:
    result = CliRunner(env={"IMGDIFF_HOME": str(drawn_home.root)}).invoke(main, arguments.split())
    assert isinstance(result.exception, SystemExit)
    assert told in result.output


def test_a_home_whose_name_is_not_utf8(tmp_path: Path) -> None:
    result = CliRunner(env={"IMGDIFF_HOME": f"{tmp_path}/a\udcff"}).invoke(main, ["stats"])
    assert isinstance(result.exception, SystemExit)
    assert "a name that is not UTF-8 cannot be used" in result.output
