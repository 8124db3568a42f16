"""A home may have any name: what libraries take for part of a URL, of a pattern or of a path is no hindrance."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from imgdiff_assets.cli.demo import DEMO_CAPTIONS
from imgdiff_assets.defs.catalog_index import rebuild
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.scan import ask
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import SAMPLES

NAMES = (
    "[ab]*{c,d}",
    "%41?\\[*'",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("50%41 done", "is it?", "a\\b", 'quo\'te "d" #;$x')),
)


@pytest.fixture(autouse=True)
def plain_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the databases go of a home in whose folder they cannot be."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path / "states"


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_databases_are_found(drawn_home: Home, tmp_path: Path, name: str) -> None:
    home = Home(Path(shutil.copytree(drawn_home.root, tmp_path / "homes" / name)))
    # One that a pattern would find as well.
    shutil.copytree(drawn_home.ledger, tmp_path / "homes" / "abc,d" / "ledger")
    ledger = Ledger(home.ledger)
    rows = len(ledger.read(SAMPLES, "shard-000000")) + len(ledger.read(SAMPLES, "shard-000001"))
    assert ask(ledger, SAMPLES, ["sample_id"], "SELECT count(*) FROM rows") == [(rows,)]
    assert rebuild(home) > 0
    with duckdb.connect(home.catalog, read_only=True) as catalog:
        assert catalog.table(SAMPLES).count("*").fetchall() == [(rows,)]
        assert {shard for (shard,) in catalog.table(SAMPLES).unique("shard").fetchall()} == {
            *ledger.shards(SAMPLES),
        }
        assert {table for (table,) in catalog.execute("SHOW TABLES").fetchall()} >= {stage.name for stage in STAGES}


@pytest.mark.parametrize("name", ["plain", "ä %z [b]*"])
def test_a_name_that_nothing_misreads_holds_everything(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    assert {home.catalog.parent, home.dagster.parent} == {home.root}


# The reader of tars leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.long
@pytest.mark.parametrize("name", ["50%41 d?ne\\ [ab]*'"])
def test_the_whole_graph_in_such_a_home(invoke: Any, tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(DEMO_CAPTIONS.read_text(encoding="utf-8").splitlines()[:3]), encoding="utf-8")
    for command in (
        f"ingest {captions}",
        "run",
        "run",
        "run --dry-run --set captions.min_match=0.1",
        "stats",
        "what-if --set captions.min_match=0.1",
        "report",
        "release",
        "catalog rebuild",
    ):
        result = invoke(home.root, *command.split())
        assert result.exit_code == 0, (command, result.output)
    for form in ("llava", "hf", "webdataset", "coco"):
        # Some readers take names for URLs and patterns themselves.
        out = tmp_path / form if form in ("hf", "webdataset") else home.root / form
        result = invoke(home.root, "export", "--format", form, "--out", str(out))
        assert result.exit_code == 0, (form, result.output)
        values: dict[str, Any] = {}
        exec(result.stdout.partition("In Python:\n\n")[2], values)
        assert len(list(values["train"])) > 0, form
    with dagster_instance(home) as instance:
        assert [run.is_success for run in instance.get_runs()] == [True]
