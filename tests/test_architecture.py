"""Who may import whom: models know nothing of the graph, assets nothing of each other, nothing runs in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "open_clip", "segment_anything"}


def module_imports(path: Path) -> set[str]:
    """The modules that importing this file imports; what stands inside functions or under TYPE_CHECKING does not."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


IMPORTS = {
    name_of(path): module_imports(path)
    for package in ("resources", "imgdiff_assets")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def test_there_is_something_to_look_at() -> None:
    assert len(IMPORTS) > 60


def test_models_know_nothing_of_the_graph() -> None:
    for name, imported in IMPORTS.items():
        if name.startswith("resources."):
            assert not {other for other in imported if other.startswith("imgdiff_assets")}, name


def test_roles_know_nothing_of_dagster() -> None:
    for name, imported in IMPORTS.items():
        if name.startswith("resources.") and name != "resources.dagster_resources":
            assert "dagster" not in imported, name


def test_assets_never_import_each_other() -> None:
    for name, imported in IMPORTS.items():
        if name.startswith("imgdiff_assets.defs.assets."):
            assert not {other for other in imported if other.startswith("imgdiff_assets.defs.assets")}, name


def test_only_definitions_know_the_assets() -> None:
    for name, imported in IMPORTS.items():
        if any(other.startswith("imgdiff_assets.defs.assets.") for other in imported):
            assert name == "imgdiff_assets.definitions"


def test_model_libraries_are_imported_where_a_model_is_loaded() -> None:
    for name, imported in IMPORTS.items():
        if not name.startswith("resources.miniature."):
            assert not {other.partition(".")[0] for other in imported} & HEAVY, name


def test_nothing_is_imported_in_a_circle() -> None:
    graph = {name: {other for other in imported if other in IMPORTS} for name, imported in IMPORTS.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(IMPORTS)
