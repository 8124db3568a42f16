"""Every number that is counted of rows, and every check of a table."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.site.text import plain, table, type_name
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.engine.record import FilterStatistic, Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import STAGE_NAMES
from imgdiff_assets.statistics.certificate import Agreement, AtThreshold, Band, Certificate, Precision
from imgdiff_assets.statistics.diversity import Diversity, Spread
from imgdiff_assets.statistics.funnel import Funnel, StageFunnel

COUNTED = (
    ("The funnel", "`imgdiff stats --json`", (Funnel, StageFunnel)),
    ("Diversity", "`imgdiff stats --diversity --json`", (Diversity, Spread)),
    ("The certificate", "`imgdiff certificate --json`", (Certificate, Precision, Band, AtThreshold, Agreement)),
    ("A materialisation", "the history beside each table, and Dagster's web UI", (Materialization, FilterStatistic)),
)
"""What is counted, where it is told, and the classes that hold it."""


def numbers_page() -> Iterator[str]:
    """The lines of the page."""
    yield from ("# Numbers and checks", "")
    yield "Scores of rows are [columns of the tables](tables.md); here is what is counted of them."
    for title, where, classes in COUNTED:
        yield from ("", f"## {title}", "", f"Told by {where}.")
        for kind in classes:
            yield from ("", f"**{kind.__name__}.** {plain(kind.__doc__)}", "")
            yield from table(("name", "type", "what it is"), _numbers(kind))
    yield from ("", "## Checks", "", "Asset checks in Dagster. One that blocks stops what is made of its table.", "")
    yield from table(("check", "blocks", "of", "what must hold"), _checks())


def _numbers(kind: Any) -> Iterator[tuple[str, ...]]:
    """Its fields, and what it computes of them."""
    for field in dataclasses.fields(kind):
        yield f"`{field.name}`", type_name(field.type), ""
    for name, value in vars(kind).items():
        if isinstance(value, property) and value.fget is not None:
            yield f"`{name}`", type_name(inspect.signature(value.fget).return_annotation), plain(value.__doc__)


def _checks() -> Iterator[tuple[str, ...]]:
    graph = build_definitions(Home(Path("imgdiff_home")), load_recipe()).resolve_asset_graph()
    tables: dict[tuple[str, str, str], list[str]] = {}
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        check = spec.name, "yes" if spec.blocking else "", plain(spec.description)
        tables.setdefault(check, []).append(key.asset_key.to_user_string())
    for (name, blocks, text), of in sorted(tables.items()):
        every = len(of) == len(STAGE_NAMES)
        listed = ", ".join(f"`{table_name}`" for table_name in sorted(of, key=STAGE_NAMES.index))
        yield f"`{name}`", blocks, "every table" if every else listed, text
