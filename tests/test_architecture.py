"""The house: who may import whom, and what stands where. Each rule is tried on a small house that breaks it."""

import ast
import builtins
import re
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the top. A module imports from floors below its own and from its own package, never from its neighbours.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("definitions",),
    ("defs",),
    ("workbench",),
    ("release", "training"),
    ("browser", "pictures", "what_if"),
    ("round_trips",),
    ("export", "statistics", "lineage"),
    ("engine", "reading", "setup"),
    ("recipe",),
    ("stages", "ingest"),
    ("method", "ledger"),
    ("home",),
    ("common",),
    ("resources",),
)
KNOW_DAGSTER = ("imgdiff_assets.cli", "imgdiff_assets.definitions", "imgdiff_assets.defs")
MODEL_LIBRARIES = {"torch", "torchvision", "diffusers", "transformers", "open_clip", "segment_anything"}
TRAINING = "resources.miniature"
"""Imports torch as it likes: nothing but training imports it."""

TEXT_ITSELF = ("imgdiff_assets.common", "imgdiff_assets.method")
"""Here `_text` is what a module is about; elsewhere it puts the data of its neighbour in words."""

ASSETS = "imgdiff_assets.defs.assets"
AT_THE_ROOT = {"__init__.py", "definitions.py", "home.py", "data"}
EXPECTED = {"ExpectedError", "ImgDiffError"}
OF_PYTHON = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}

Rule = Callable[[Path], list[str]]
"""What breaks it in the house that stands in a folder, a sentence each."""


def modules(root: Path) -> dict[str, Path]:
    """Every module of the product by its name; a package's is that of its folder."""
    files = [file for package in ("resources", "imgdiff_assets") for file in sorted((root / package).rglob("*.py"))]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path, known: dict[str, Path], only_at_once: bool = False) -> set[str]:
    """What a file imports anywhere: in functions and under TYPE_CHECKING too, or only what it imports at once."""
    found: set[str] = set()
    for node in _import_nodes(file.read_text(encoding="utf-8"), only_at_once):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module is not None:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & known.keys()) or {node.module}
    return found


@cache
def parsed(text: str) -> ast.Module:
    """Of the same text once: every rule looks at the whole house."""
    return ast.parse(text)


@cache
def _import_nodes(text: str, only_at_once: bool) -> list[ast.Import | ast.ImportFrom]:
    nodes = _at_once(parsed(text)) if only_at_once else ast.walk(parsed(text))
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]


def _at_once(node: ast.AST) -> Iterator[ast.AST]:
    """All that runs when a module is imported."""
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not later and not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from _at_once(child)


def room(module: str) -> str:
    """The package below `imgdiff_assets` that a module is in, or the module that stands for itself at the root."""
    first, *rest = module.split(".")
    return rest[0] if first == "imgdiff_assets" and rest else first


def is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def every_import(root: Path, only_at_once: bool = False) -> Iterator[tuple[str, str]]:
    """Who imports what, over the whole product."""
    known = modules(root)
    for name, file in known.items():
        for other in sorted(imports(file, known, only_at_once)):
            yield name, other


def imports_go_down(root: Path) -> list[str]:
    height = {name: number for number, floor in enumerate(reversed(FLOORS)) for name in floor}
    broken = [f"{name} is on no floor" for name in modules(root) if room(name) not in {*height, "imgdiff_assets"}]
    for name, other in every_import(root):
        if is_in(other, "tests", "benchmarks"):
            broken.append(f"{name} imports {other}, which is not of the product")
        elif not is_in(other, "imgdiff_assets", "resources") or room(other) == room(name):
            continue
        elif height.get(room(other), len(height)) >= height.get(room(name), 0):
            broken.append(f"{name} imports {other}, which is not below it")
    return broken


def nothing_runs_in_a_circle(root: Path) -> list[str]:
    known = modules(root)
    graph = {name: imports(file, known) & known.keys() for name, file in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def few_know_dagster(root: Path) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, other in every_import(root)
        if re.match(r"dagster(_\w+)?(\.|$)", other) and not is_in(name, *KNOW_DAGSTER)
    ]


def only_the_definitions_know_assets(root: Path) -> list[str]:
    return [
        f"{name} imports {other}"
        for name, other in every_import(root)
        if is_in(other, ASSETS) and name != "imgdiff_assets.defs.whole_graph"
    ]


def model_libraries_are_imported_where_a_model_is_loaded(root: Path) -> list[str]:
    return [
        f"{name} imports {other} at once"
        for name, other in every_import(root, only_at_once=True)
        if is_in(other, *MODEL_LIBRARIES) and not is_in(name, TRAINING)
    ]


def packages_say_what_they_are(root: Path) -> list[str]:
    broken = []
    for name, file in modules(root).items():
        folder = file.parent.relative_to(root).as_posix()
        if not (file.parent / "__init__.py").exists():
            broken.append(f"{folder} has no __init__.py")
        if file.name != "__init__.py":
            continue
        tree = parsed(file.read_text(encoding="utf-8"))
        sentences = len(re.findall(r"[.!?](?=\s|$)", ast.get_docstring(tree) or ""))
        if len(tree.body) != 1 or not 2 <= sentences <= 3:
            broken.append(f"{name} holds more or less than a docstring of two or three sentences")
    return list(dict.fromkeys(broken))


def texts_stand_beside_their_data(root: Path) -> list[str]:
    known = modules(root)
    return [
        f"{name} has no {name.removesuffix('_text')} beside it"
        for name in known
        if name.endswith("_text") and not is_in(name, *TEXT_ITSELF) and name.removesuffix("_text") not in known
    ]


def little_stands_at_the_root(root: Path) -> list[str]:
    house = root / "imgdiff_assets"
    files = [file.relative_to(house) for file in house.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    found = sorted({file.parts[0] for file in files} - AT_THE_ROOT)
    return [f"{name} stands at the root" for name in found if not (house / name / "__init__.py").exists()]


def exceptions_are_expected(root: Path) -> list[str]:
    """Each is for users: a mistake of the program has no class of its own."""
    broken = []
    for name, file in modules(root).items():
        for node in ast.walk(parsed(file.read_text(encoding="utf-8"))):
            bases = {ast.unparse(base) for base in node.bases} if isinstance(node, ast.ClassDef) else set()
            if bases & OF_PYTHON and not bases & EXPECTED and node.name not in EXPECTED:
                broken.append(f"{name}.{node.name} is no ImgDiffError")
    return broken


RULES: tuple[Rule, ...] = (
    imports_go_down,
    nothing_runs_in_a_circle,
    few_know_dagster,
    only_the_definitions_know_assets,
    model_libraries_are_imported_where_a_model_is_loaded,
    packages_say_what_they_are,
    texts_stand_beside_their_data,
    little_stands_at_the_root,
    exceptions_are_expected,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


def test_there_is_something_to_look_at() -> None:
    known = modules(ROOT)
    assert len(known) > 100
    assert sum(len(imports(file, known) & known.keys()) for file in known.values()) > 500


SOUND = {
    "imgdiff_assets/__init__.py": '"""A house. It is small."""',
    "imgdiff_assets/definitions.py": "import dagster\nfrom imgdiff_assets.defs.whole_graph import one",
    "imgdiff_assets/home.py": "from imgdiff_assets.common.errors import ImgDiffError",
    "imgdiff_assets/common/__init__.py": '"""Below. It imports\nnothing."""',
    "imgdiff_assets/common/errors.py": "class ImgDiffError(Exception): ...\nclass Lost(ImgDiffError, OSError): ...",
    "imgdiff_assets/common/plain_text.py": "",
    "imgdiff_assets/data/captions.txt": "",
    "imgdiff_assets/defs/__init__.py": '"""Assets. They are\nthin."""',
    "imgdiff_assets/defs/whole_graph.py": "from imgdiff_assets.defs.assets.one import one",
    "imgdiff_assets/defs/assets/__init__.py": '"""Each alone. None imports another."""',
    "imgdiff_assets/defs/assets/one.py": "from dagster import asset",
    "imgdiff_assets/stages/__init__.py": '"""Stages. Here. And there."""',
    "imgdiff_assets/stages/first.py": "def load():\n    import torch",
    "imgdiff_assets/stages/first_text.py": "from imgdiff_assets.stages import first",
    "resources/__init__.py": '"""Models. They are large."""',
    "resources/errors.py": "class ExpectedError(Exception): ...\nclass Away(ExpectedError, OSError): ...",
    "resources/miniature/__init__.py": '"""Small ones. They are trained."""',
    "resources/miniature/train.py": "import torch",
}


def build(root: Path, files: dict[str, str]) -> Path:
    for name, text in {**SOUND, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_small_sound_house_keeps_it_too(rule: Rule, tmp_path: Path) -> None:
    assert rule(build(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("rule", "file", "text", "said"),
    [
        (imports_go_down, "stages/first.py", "import imgdiff_assets.defs",
         "{first} imports {top}.defs, which is not below it"),
        (imports_go_down, "stages/first.py", "def f():\n    from imgdiff_assets.defs.assets import one",
         "{first} imports {top}.defs.assets.one, which is not below it"),
        (imports_go_down, "stages/first.py", "if TYPE_CHECKING:\n    from imgdiff_assets.ingest.shards import Key",
         "{first} imports {top}.ingest.shards, which is not below it"),
        (imports_go_down, "../resources/captioner.py", "import imgdiff_assets.home",
         "resources.captioner imports {top}.home, which is not below it"),
        (imports_go_down, "stages/first.py", "import tests.hub",
         "{first} imports tests.hub, which is not of the product"),
        (imports_go_down, "attic/box.py", "", "{top}.attic.box is on no floor"),
        (nothing_runs_in_a_circle, "stages/first.py", "def f():\n    from imgdiff_assets.stages import first_text",
         "{first} imports {first}_text imports {first}"),
        (few_know_dagster, "stages/first.py", "def f():\n    import dagster as dg", "{first} imports dagster"),
        (few_know_dagster, "stages/first.py", "import dagster_postgres.runs", "{first} imports dagster_postgres.runs"),
        (only_the_definitions_know_assets, "defs/assets/two.py", "from imgdiff_assets.defs.assets.one import one",
         "{top}.defs.assets.two imports {top}.defs.assets.one"),
        (model_libraries_are_imported_where_a_model_is_loaded, "stages/first.py", "class A:\n    import torch.nn",
         "{first} imports torch.nn at once"),
        (packages_say_what_they_are, "stages/__init__.py", '"""Stages. Here."""\nimport os',
         "{top}.stages holds more or less than a docstring of two or three sentences"),
        (packages_say_what_they_are, "stages/__init__.py", '"""Stages."""',
         "{top}.stages holds more or less than a docstring of two or three sentences"),
        (packages_say_what_they_are, "attic/box.py", "", "{top}/attic has no __init__.py"),
        (texts_stand_beside_their_data, "stages/second_text.py", "",
         "{top}.stages.second_text has no {top}.stages.second beside it"),
        (little_stands_at_the_root, "helpers.py", "", "helpers.py stands at the root"),
        (little_stands_at_the_root, "attic/box.py", "", "attic stands at the root"),
        (exceptions_are_expected, "stages/first.py", "class Odd(ValueError): ...", "{first}.Odd is no ImgDiffError"),
    ],
)  # fmt: skip
def test_a_house_that_breaks_it_is_told(rule: Rule, file: str, text: str, said: str, tmp_path: Path) -> None:
    house = build(tmp_path, {f"imgdiff_assets/{file}": text})
    assert rule(house) == [said.format(top="imgdiff_assets", first="imgdiff_assets.stages.first")]
