"""A threshold as a line that is dragged through the histogram of its score, and what each value of it would keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from imgdiff_assets.browser.candidates import read_rows
from imgdiff_assets.browser.correcting import NotKept
from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.question import BadQuestion, read_number
from imgdiff_assets.browser.site import MorePage, Site
from imgdiff_assets.browser.statistics import Histogram, Threshold, histograms
from imgdiff_assets.common.errors import sentence
from imgdiff_assets.ledger.files import atomic_file
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.recipe import recipe_of
from imgdiff_assets.recipe.recipe_text import with_overrides
from imgdiff_assets.stages.graph import SAMPLES, stage_named
from imgdiff_assets.what_if.judgement import StoredScores
from imgdiff_assets.what_if.live_threshold import LiveThreshold
from resources.loading.bounded_yaml import load_yaml

STEPS = 500
"""Values from one end of the histogram to the other."""


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold, and the histogram that it is drawn into."""

    chart: Histogram
    limit: Threshold

    @property
    def key(self) -> str:
        """The setting, as `--set` writes it."""
        return f"{self.chart.stage}.{self.limit.setting}"

    @property
    def whole(self) -> bool:
        return "int" in str(stage_named(self.chart.stage).schema.field(self.chart.score).type)

    @property
    def step(self) -> float:
        """Between two values that can be tried."""
        return 1.0 if self.whole else float(f"{(self.chart.edges[-1] - self.chart.edges[0]) / STEPS:.1g}")


def threshold_page(site: Site, values: Mapping[str, str]) -> str:
    """`of` is a setting as `--set` writes it, the first one unless told. Raises BadQuestion."""
    lines = _lines(site)
    if not lines:
        return site.render("threshold.html", lines=lines, line=None)
    line = _line(lines, values.get("of") or next(iter(lines)))
    value = _value(line, values["value"]) if values.get("value") else line.limit.value
    return site.render("threshold.html", lines=lines, line=line, value=value, written=values.get("written", ""))


def threshold_then(site: Site, values: Mapping[str, str]) -> str:
    """The part of the page that follows the line: what `value` of the setting `of` would do. Raises BadQuestion."""
    line = _line(_lines(site), values.get("of", ""))
    value = _value(line, values.get("value"))
    stage = stage_named(line.chart.stage)

    def prepare() -> LiveThreshold:
        scores = site.index.computed("stored scores", "", lambda: StoredScores(site.home, site.index.shards()))
        judge = next(step for step in stage.under(site.recipe).filters if step.name == line.limit.filter)
        return LiveThreshold(scores, site.recipe, stage, judge)

    live = site.index.computed("live threshold", f"{line.key} {site.recipe.hash}", prepare)
    try:
        tried = live.at(int(value) if line.whole else value)
    except RecipeError as error:
        raise BadQuestion(str(error)) from None
    samples = next(pair for pair in tried.stages if pair[0].stage == SAMPLES)
    rows = {row["id"]: row for row in _rows(site, stage.name, [*tried.kept, *tried.rejected])}
    return site.render(
        "threshold_then.html",
        line=line,
        setting=f"{line.key}={_told(line, value)}",
        tried=tried,
        samples=samples,
        edge={name: [rows[each] for each in getattr(tried, name) if each in rows] for name in ("kept", "rejected")},
    )


def take_threshold(site: Site, who: Visitor, form: Form) -> str:
    """Write a value into the recipe's file, its comments kept; the pages go by it from then on.

    Raises BadQuestion, NotKept.
    """
    line = _line(_lines(site), form.one("of"))
    setting = f"{line.key}={_told(line, _value(line, form.one('value')))}"
    path = site.recipe_file
    if path is None:
        raise NotKept(
            "The recipe was left as it is: it is written only behind a token (IMGDIFF_BROWSE_TOKEN), and only one of "
            "your own (`imgdiff recipe copy`)."
        )
    try:
        text = with_overrides(path.read_text(encoding="utf-8"), [setting])
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        site.recipe = recipe_of(path.name, load_yaml(text))
    except RecipeError as error:
        raise BadQuestion(str(error)) from None
    except (OSError, ValueError) as error:
        raise NotKept(f"{setting}: not written. {sentence(error)}") from error
    return f"/threshold?{urlencode({'of': line.key, 'written': setting})}"


def _lines(site: Site) -> dict[str, Line]:
    """All thresholds that any row has a score for, by the setting."""
    charts = site.index.computed("histograms", site.recipe.hash, lambda: histograms(site.index, site.recipe))
    lines = [Line(chart, limit) for chart in charts for limit in chart.thresholds]
    return {line.key: line for line in lines}


def _line(lines: Mapping[str, Line], key: str) -> Line:
    if key not in lines:
        raise BadQuestion(f"of: {key!r} is none of {', '.join(lines)}")
    return lines[key]


def _value(line: Line, text: str | None) -> float:
    value = read_number("value", text)
    if value is None:
        raise BadQuestion("value: a number is missing")
    return float(round(value)) if line.whole else value


def _told(line: Line, value: float) -> str:
    return f"{value:.0f}" if line.whole else repr(round(value, 6))


def _rows(site: Site, table: str, ids: list[str]) -> list[dict[str, Any]]:
    """Cards of these rows."""
    stage = stage_named(table)
    places = site.index.rows(f"SELECT shard, row FROM {table} WHERE {stage.id_column} IN (SELECT unnest(?))", [ids])
    return read_rows(site.index, stage, places)


PAGES = (
    MorePage("/threshold", "Threshold", "t", threshold_page, take_threshold),
    MorePage("/threshold/then", "", "", threshold_then),
)
