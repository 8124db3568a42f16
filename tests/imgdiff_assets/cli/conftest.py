"""The command in this process."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imgdiff_assets.cli.main import main


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`invoke(home, *arguments)`: the command in this process."""

    def call(home: Path, *arguments: str) -> Result:
        monkeypatch.setenv("IMGDIFF_HOME", str(home))
        monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        return CliRunner().invoke(main, list(arguments))

    return call
