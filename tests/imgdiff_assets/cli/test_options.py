"""Options that take several values at once."""

from typing import Any

import click
from click.testing import CliRunner

from imgdiff_assets.cli.options import SeveralValues


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
