"""The packages that `docs/extend.md` and `docs/extend_stage.md` show, laid out as pip lays out what it installs."""

import re
import tomllib
from pathlib import Path

PAGES = [Path(__file__).parents[1] / "docs" / f"{name}.md" for name in ("extend", "extend_stage")]
DOCUMENTED = "".join(page.read_text(encoding="utf-8") for page in PAGES)
IN_WORDS = re.compile(r"names (?:it|them) in the group\s+`([\w.]+)`, as `(\w+) = \"(\w+):(\w+)\"`")

MISTAKES = {
    "filtered_pairs.filters.too_drak.min_brightness=0.2": "unknown key 'too_drak'; did you mean 'too_dark'?",
    "filtered_pairs.filters.too_dark.min_brigthness=0.2": "did you mean 'min_brightness'?",
    "filtered_pairs.filters.too_dark.min_brightness=7": "Input should be less than or equal to 1 (given: 7).",
    "filtered_pairs.filters.too_dark=0.2": "filtered_pairs.filters.too_dark is a section; set its keys one by one.",
    "captions.filters.too_dark.min_brightness=0.2": "no installed package adds a filter here",
    "pallettes={}": "unknown key 'pallettes'; did you mean 'palettes'?",
    "palettes.max_shfit=0.2": "unknown key 'max_shfit'; did you mean 'max_shift'?",
    "fine_tune_set.tasks=[count_word]": "unknown task 'count_word'; did you mean 'count_words'?",
    "fine_tune_set.questions={difference: ['installed:formall']}": "did you mean 'formal'?",
    "fine_tune_set.questions={which_image: ['installed:formal']}": "no installed wordings 'formal' for which_image",
}
"""Values that the parts do not have, as `--set` takes them, and what is said of each."""


def documented_files() -> dict[str, str]:
    """The text of every file that the pages show, by name."""
    blocks = re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", DOCUMENTED, re.DOTALL)
    return dict(blocks)


def documented_parts() -> dict[str, dict[str, str]]:
    """The entry points that the pages show, by group: in their `pyproject.toml`, and in words."""
    groups = dict(tomllib.loads(documented_files()["pyproject.toml"])["project"]["entry-points"])
    for group, name, module, part in IN_WORDS.findall(DOCUMENTED):
        groups[group] = {name: f"{module}:{part}"}
    return groups


def install_documented(folder: Path) -> None:
    """Install all of them: a package for each part, named after it, in the version 1.0."""
    files = documented_files()
    for group, points in documented_parts().items():
        for name, value in points.items():
            module = value.partition(":")[0]
            install(
                folder, f"imgdiff-{name.replace('_', '-')}", {f"{module}.py": files[f"{module}.py"]}, {group: points}
            )


def install(
    folder: Path, package: str, files: dict[str, str], entry_points: dict[str, dict[str, str]], version: str = "1.0"
) -> None:
    """Install a package of these files and entry points (by group) into a folder, which is to be on the path."""
    information = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
