"""What pages name is there: paths, links, modules, commands and their options. Each rule is tried on a wrong page."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from imgdiff_assets.cli.main import main
from tests.pages import FENCED, PAGES, ROOT, shell_lines

NOTES = ROOT / "docs" / "architecture"
LINKED = [*PAGES, ROOT / "CHANGELOG.md"]
OURS = ("imgdiff_assets", "resources", "benchmarks", "tests", "docs", "deploy")


def spans(text: str) -> list[str]:
    """What stands between backticks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def commands(text: str) -> list[str]:
    """What a reader may type: lines of shell, without comments, and what stands between backticks."""
    return [*shell_lines(text), *spans(text)]


def wrong_paths(page: Path, text: str) -> Iterator[str]:
    """Files, folders and tests of this project that are not there."""
    for span in commands(text):
        for path, test in re.findall(r"(?<![\w./<>~-])(\.?\w[\w.-]*(?:/[\w.-]+)*/[\w.-]*)(?:::(\w+))?", span):
            if not (path.endswith(".py") or path.partition("/")[0] in OURS):
                continue
            if not (ROOT / path).exists():
                yield f"{page.name}: there is no {path}"
            elif test and f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8"):
                yield f"{page.name}: {path} has no {test}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_links(page: Path, text: str) -> Iterator[str]:
    """Links within the project that lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield f"{page.name}: {link} leads nowhere"


def wrong_modules(page: Path, text: str) -> Iterator[str]:
    """Modules that `python -m` does not find."""
    for span in commands(text):
        for name in re.findall(r"python -m ([\w.]+)", span):
            file = ROOT / Path(*name.split("."))
            if name.partition(".")[0] in OURS:
                found = file.with_suffix(".py").exists() or (file / "__main__.py").exists()
            else:
                found = find_spec(name) is not None
            if not found:
                yield f"{page.name}: there is no module {name}"


def options_of(command: click.Command) -> set[str]:
    """The long options that a command takes."""
    parameters = command.get_params(click.Context(command))
    return {option for each in parameters for option in [*each.opts, *each.secondary_opts] if option.startswith("--")}


def subcommand(command: click.Command, name: str) -> click.Command | None:
    return command.get_command(click.Context(command), name) if isinstance(command, click.Group) else None


@cache
def known_options() -> frozenset[str]:
    """The long options of all commands, and of the benchmarks."""
    found: set[str] = set()
    left: list[click.Command] = [main]
    while left:
        command = left.pop()
        found |= options_of(command)
        if isinstance(command, click.Group):
            context = click.Context(command)
            left += filter(None, (command.get_command(context, name) for name in command.list_commands(context)))
    for file in (ROOT / "benchmarks").rglob("*.py"):
        found |= set(re.findall(r"\"(--[a-z][\w-]*)\"", file.read_text(encoding="utf-8")))
    return frozenset(found)


def wrong_commands(page: Path, text: str) -> Iterator[str]:
    """Commands of `imgdiff` that there are not, and options that theirs do not take."""
    for span in commands(text):
        words = span.split()
        if "imgdiff" not in words:
            if words and words[0].startswith("--") and words[0].partition("=")[0] not in known_options():
                yield f"{page.name}: nothing takes {words[0]}"
            continue
        words = words[words.index("imgdiff") + 1 :]
        command, named = main, "imgdiff"
        while words and isinstance(command, click.Group) and not words[0].startswith("-"):
            below = subcommand(command, words[0])
            if below is None:
                yield f"{page.name}: there is no {named} {words[0]}"
                break
            command, named = below, f"{named} {words.pop(0)}"
        else:
            for word in words:
                if word.startswith("--") and word.partition("=")[0] not in options_of(command):
                    yield f"{page.name}: {named} takes no {word}"


RULES = (wrong_paths, wrong_links, wrong_modules, wrong_commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [mistake for rule in RULES for mistake in rule(page, text)] == []


def test_links_of_the_changelog_lead_somewhere() -> None:
    for page in LINKED:
        assert list(wrong_links(page, page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("See `imgdiff_assets/engine/nowhere.py`.", "there is no imgdiff_assets/engine/nowhere.py"),
        ("See `imgdiff_assets/nowhere/`.", "there is no imgdiff_assets/nowhere/"),
        ("See `imgdiff_assets/engine/plan.py` and\n`tests/no/such.py`.", "there is no tests/no/such.py"),
        ("`tests/test_docs.py::test_of_nothing`", "tests/test_docs.py has no test_of_nothing"),
        ("[there](nowhere.md)", "nowhere.md leads nowhere"),
        ("[there](README.md#nowhere)", "README.md#nowhere leads nowhere"),
        ("`python -m\nbenchmarks.nothing`", "there is no module benchmarks.nothing"),
        ("```sh\nimgdiff ingset captions.txt  # wrong\n```", "there is no imgdiff ingset"),
        ("`imgdiff models fetch`", "there is no imgdiff models fetch"),
        ("```sh\nimgdiff stats --colour\n```", "imgdiff stats takes no --colour"),
        ("with `--colour`", "nothing takes --colour"),
    ],
)
def test_a_mistake_is_found(text: str, mistake: str) -> None:
    page = ROOT / "page.md"
    assert [found for rule in RULES for found in rule(page, text)] == [f"page.md: {mistake}"]


def test_what_is_right_is_no_mistake() -> None:
    text = (
        "`imgdiff_assets/engine/plan.py`, `tests/test_docs.py::test_what_is_right_is_no_mistake`, `<home>/a/b.json`,\n"
        "[pages](docs/#), [floors](README.md#the-floors), [away](https://example.org/x.py), `python -m pytest`\n"
        "```sh\nimgdiff models list --recipe modern  # --colour\n```\n"
        "`imgdiff run --set a.b=1`, `imgdiff`, `--count 200`"
    )
    assert [found for rule in RULES for found in rule(ROOT / "page.md", text)] == []


def test_pages_are_short_enough_to_be_read() -> None:
    notes = list(NOTES.glob("*.md"))
    assert 1 < len(notes) <= 14
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 150, page.name


def test_every_page_can_be_reached() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            target = target / "README.md" if target == NOTES else target
            if target.suffix == ".md":
                left.append(target)
    assert set(PAGES) <= seen
