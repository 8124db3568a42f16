"""The graph as a person sees it: it loads at once, says what everything is, and where its code is."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets import definitions as defs_module
from imgdiff_assets.definitions import defs
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import Stage

HEAVY = {
    *("torch", "torchvision", "diffusers", "transformers", "open_clip", "segment_anything"),
    *("pandas", "sqlalchemy", "duckdb", "datasets", "huggingface_hub", "jinja2", "matplotlib", "openai"),
}


def test_definitions_load_without_what_only_runs_need_in_three_times_what_dagster_itself_takes() -> None:
    """Processor seconds beside those of `import dagster`, for machines differ; the least of up to five tries each."""
    code = (
        "import resource, sys, {module}; used = resource.getrusage(resource.RUSAGE_SELF); "
        f"print(used.ru_utime + used.ru_stime, sorted({HEAVY!r} & set(sys.modules)))"
    )

    def seconds(module: str) -> float:
        command = [sys.executable, "-c", code.replace("{module}", module)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        used, loaded = done.stdout.strip().split(" ", 1)
        assert loaded == "[]"
        return float(used)

    ours = dagsters = float("inf")
    for _ in range(5):
        ours, dagsters = min(ours, seconds("imgdiff_assets.definitions")), min(dagsters, seconds("dagster"))
        if ours < 3 * dagsters:
            break
    assert ours < 3 * dagsters


def test_definitions_are_valid() -> None:
    dg.Definitions.validate_loadable(defs)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_asset_says_what_it_is(stage: Stage) -> None:
    spec = defs.resolve_asset_graph().get(dg.AssetKey(stage.name))
    stage = stage.under(load_recipe())
    assert spec.group_name
    assert spec.owners == ["team:imgdiff"]
    assert "parquet" in spec.kinds
    assert spec.code_version == stage.code_version
    assert spec.automation_condition is not None
    assert spec.pools == {"gpu"}
    for step in stage.filters:
        assert f"**{step.name}**" in spec.description, "each reason to be rejected is told"
    (source,) = spec.metadata["dagster/code_references"].code_references
    assert Path(source.file_path).name in (f"{stage.name}.py", "sample_items.py")
    columns = {column.name: column.description for column in spec.metadata["dagster/column_schema"].columns}
    assert columns.keys() == set(stage.schema.names)
    assert all(columns.values())
    for step in stage.filters:
        if step.score:
            assert f"`{step.name}`" in columns[step.score]


def fields_without_description(field: dg.Field, name: str) -> list[str]:
    """The configuration fields below `field` that say nothing of themselves."""
    inner = getattr(field.config_type, "fields", None) or {}
    missing = [found for key, value in inner.items() for found in fields_without_description(value, f"{name}.{key}")]
    return missing if field.description or inner else [*missing, name]


def test_every_field_of_the_launchpad_has_a_description() -> None:
    resources: Any = defs.resolve_implicit_global_asset_job_def().resource_defs
    for name in ("recipe", *load_recipe().roles):
        field = resources[name].config_schema.as_field()
        assert field.config_type.fields
        assert fields_without_description(field, name) == []


def test_stages_of_one_name_have_one_asset() -> None:
    names = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {stage.name for stage in STAGES} <= names
    assert stage_named("captions") in STAGES


def test_nobody_who_builds_a_graph_imports_that_of_the_environment() -> None:
    """It would be built twice, which takes a third of a second: the builder is in `defs`."""
    package = Path(defs_module.__file__ or "").parent
    importing = [str(path) for path in package.rglob("*.py") if "from imgdiff_assets.definitions" in path.read_text()]
    assert importing == []
