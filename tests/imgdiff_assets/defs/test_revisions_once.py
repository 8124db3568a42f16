"""Dagster's databases are made as ever, and what Alembic knows of their revisions is read once."""

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.sql import ScriptDirectory  # type: ignore[attr-defined]

from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.home import Home


def revisions(folder: Path) -> dict[str, list[tuple[str]]]:
    found = {}
    for path in sorted(folder.rglob("*.db")):
        with sqlite3.connect(path) as database:
            found[path.name] = database.execute("SELECT version_num FROM alembic_version").fetchall()
        database.close()
    return found


def test_a_second_instance_reads_no_revision_and_is_of_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    read, load = [], ScriptDirectory._load_revisions

    def counted(directory: ScriptDirectory) -> Any:
        read.append(directory.dir)
        return load(directory)

    plainly = getattr(ScriptDirectory.from_config, "__wrapped__")  # noqa: B009
    monkeypatch.setattr(ScriptDirectory, "from_config", plainly)
    first = Home(tmp_path / "first")
    with dagster_instance(first) as instance, instance.event_log_storage.run_connection("of-a-run"):
        pass
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", counted)
    second = Home(tmp_path / "second")
    with dagster_instance(second) as instance, instance.event_log_storage.run_connection("of-a-run"):
        pass
    assert read == []
    monkeypatch.setattr(ScriptDirectory, "from_config", plainly)
    (tmp_path / "plain").mkdir()
    with dg.DagsterInstance.from_config(str(tmp_path / "plain")) as instance:
        pass
    assert read, "as Dagster does by itself"
    plain = revisions(tmp_path / "plain")
    assert revisions(second.dagster) == revisions(first.dagster) == {**plain, "of-a-run.db": plain["index.db"]}
