"""What all pages share: the ledger they read, and how a template becomes a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.images import GAP, VERSION_LENGTH, Pictures, version_of
from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.question import Question
from imgdiff_assets.common.plain_text import counted, printable
from imgdiff_assets.home import Home
from imgdiff_assets.reading.shown import ShownImage
from imgdiff_assets.reading.verdicts import in_words
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import SAMPLES, STAGE_NAMES, line, stage_named, stages_of
from imgdiff_assets.stages.stage import Stage

CACHE = "cache/thumbnails"
ERASED = "removed_pairs"
"""The stage that makes a branch of its own of a region."""


@dataclass(frozen=True, slots=True)
class MorePage:
    """A page that a floor above brings: its address, its name in the navigation with a key, and what renders it.

    One without a name is a part of another page. `take` writes down what a form says that is sent there.
    """

    address: str
    name: str
    key: str
    page: Callable[["Site", Mapping[str, str]], str]
    take: Callable[["Site", Visitor, Form], str] | None = None


@dataclass(slots=True)
class Site:
    """One home (or some shards of it), seen through one recipe: its stages, its thresholds drawn and compared.

    `dagster_url` is where Dagster's web UI is, empty for the same server, None for no links to it. All addresses of
    the site begin with `root`: empty, or a path such as `/samples`. `recipe_file` is where the recipe lies, if pages
    may write it.
    """

    home: Home
    recipe: Recipe
    dagster_url: str | None = None
    shards: Sequence[str] | None = None
    root: str = ""
    more: Sequence[MorePage] = ()
    recipe_file: Path | None = None
    index: Index = field(init=False)
    pictures: Pictures = field(init=False)
    stages: Sequence[Stage] = field(init=False)

    def __post_init__(self) -> None:
        self.index = Index(self.home, self.shards)
        self.stages = stages_of(self.recipe)
        self.pictures = Pictures(self.index, self.home.local / CACHE)

    def render(self, template: str, **values: Any) -> str:
        """A page; whatever is put into it is escaped."""
        return (
            templates(self.root).get_template(template).render(site=self, damaged=dict(self.index.damaged), **values)
        )


def number(value: Any) -> str:
    """A score as people read it: four digits at most."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def plain(value: Any) -> Any:
    """What is put into a page: text in one line, its control and direction characters made visible."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def block(text: str) -> Markup:
    """Text whose lines and indentation stay."""
    kept = "\n".join(line[: len(line) - len(line.lstrip(" "))] + printable(line) for line in text.splitlines())
    return Markup(escape(kept))


def row_address(table: str, identity: str, question: Question | None = None) -> str:
    """Where a row's story is, and the rows around it that a question finds; a region has one id with and without."""
    erased = table != SAMPLES and table in STAGE_NAMES and ERASED in line(table)
    query = [*(["erased=1"] if erased else []), *([question.query()] if question else [])]
    return f"/row/{identity}" + (f"?{'&'.join(query)}" if query else "")


def thumbnail_address(row: Mapping[str, Any]) -> str:
    """Where the two images of a row of the gallery are, in their order."""
    erased = f"erased={row['region_id']}&" if row["erased_hash"] else ""
    first = "first=target&" if row["images"][0].side == "target" else ""
    return f"/thumbnail/{row['pair_id']}?{erased}{first}v={version_of(row, row['images'])}"


def image_address(image: ShownImage, hashes: Mapping[str, Any]) -> str:
    """Where one image is; its content has the hash `<name>_hash`."""
    version = (hashes.get(f"{image.name}_hash") or "")[:VERSION_LENGTH]
    return f"/image/{image.row_id}/{image.name}" + (f"?v={version}" if version else "")


def gallery(**values: Any) -> str:
    """The address of a gallery."""
    return Question().address(**values)


def reason_in_words(name: str, stage: str) -> str:
    row = {"kept": False, "rejected_by": name, "error": None}
    return in_words(stage_named(stage), row).partition(": ")[2]


FILTERS: Mapping[str, Any] = {
    "block": block,
    "number": number,
    "counted": counted,
    "in_words": reason_in_words,
    # For the package's own style sheet alone.
    "inline": Markup,
}


@cache
def templates(root: str) -> jinja2.Environment:
    """The templates of a site whose addresses begin with `root`."""

    def below(address: Callable[..., str]) -> Callable[..., str]:
        return lambda *arguments, **values: root + address(*arguments, **values)

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("imgdiff_assets.browser"),
        autoescape=True,
        finalize=plain,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    addresses: dict[str, Callable[..., str]] = {
        "gallery": gallery,
        "row_address": row_address,
        "thumbnail_address": thumbnail_address,
        "image_address": image_address,
    }
    made.globals.update({name: below(address) for name, address in addresses.items()}, root=root, gap=GAP)
    return made
