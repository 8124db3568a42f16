"""The graph in a stranger's Dagster project: two of it side by side, as `dg` loads and checks them."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest

from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

ROOT = Path(__file__).parents[3]
DEFS_YAML = """\
type: imgdiff_assets.defs.component.ImgDiffComponent
attributes:
  home: ../../../../{name}_home
  recipe: miniature
  key_prefix: [{name}]
"""
OTHERS = """\
import dagster as dg

@dg.asset(deps=[["left", "fine_tune_set"]])
def trained() -> None: ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of `dg` with two graphs and an asset of its own."""
    package = tmp_path / "stranger" / "src" / "stranger"
    for name in ("left", "right"):
        (package / "defs" / name).mkdir(parents=True)
        (package / "defs" / name / "defs.yaml").write_text(DEFS_YAML.format(name=name))
    (package / "defs" / "training.py").write_text(OTHERS)
    for folder in (package, package / "defs"):
        (folder / "__init__.py").touch()
    (package / "definitions.py").write_text(
        "from pathlib import Path\nimport dagster as dg\n\n"
        "@dg.definitions\ndef defs():\n"
        "    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (tmp_path / "stranger" / "pyproject.toml").write_text(
        '[project]\nname = "stranger"\nversion = "1"\n[tool.dg]\ndirectory_type = "project"\n'
        '[tool.dg.project]\nroot_module = "stranger"\n'
    )
    return tmp_path / "stranger"


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of what Dagster loads components by
def test_two_graphs_do_not_collide(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project / "src"))
    definitions = dg.load_from_defs_folder(path_within_project=project)
    dg.Definitions.validate_loadable(definitions)
    tables = Counter(key.path[0] for key in definitions.resolve_all_asset_keys() if key.path[-1] in STAGE_NAMES)
    assert tables == {"left": len(STAGE_NAMES), "right": len(STAGE_NAMES)}
    graph = definitions.resolve_asset_graph()
    shards = {name: graph.get(dg.AssetKey([name, "captions"])).partitions_def for name in ("left", "right")}
    assert [partitions.name for partitions in shards.values()] == ["left_shard", "right_shard"]
    jobs = {job.name for job in definitions.resolve_all_job_defs()}
    assert {f"{name}_{job}" for name in shards for job in ("bring_up_to_date", "what_if")} <= jobs
    home = definitions.resources["left_home"].description
    assert str(project.parent / "stranger" / "left_home") in home
    assert dg.AssetKey(["left", "fine_tune_set"]) in graph.get(dg.AssetKey("trained")).parent_keys


@pytest.mark.slow
def test_dg_checks_the_project(project: Path) -> None:
    paths = os.pathsep.join(map(str, (ROOT, project / "src")))
    environment = {**os.environ, "PYTHONPATH": paths, "DAGSTER_HOME": "", "DG_CLI_CONFIG": str(project / "none.toml")}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "dg"), "check", "defs", "--no-check-yaml"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
