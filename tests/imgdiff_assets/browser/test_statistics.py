"""The figures of the first page against a recount of the files and against the rows that they open."""

from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgdiff_assets.browser.candidates import read_page
from imgdiff_assets.browser.index import Index
from imgdiff_assets.browser.question import Question, read_question
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.statistics import MOST_BINS, bin_edges, count_funnel, histograms, keep_rates
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.statistics.funnel import funnel


def test_the_funnel_is_the_one_of_the_command_line(site: Site) -> None:
    ledger = Ledger(site.home.ledger)
    assert count_funnel(site.index, site.recipe) == funnel(ledger)
    for shard in site.index.shards():
        assert count_funnel(site.index, site.recipe, shard) == funnel(ledger, [shard])


def test_nothing_made_yet(tmp_path: object, drawn_recipe: Recipe) -> None:
    empty = count_funnel(Index(Home(tmp_path / "none")), drawn_recipe)  # type: ignore[operator]
    assert (empty.captions, empty.samples) == (0, 0)
    assert all(stage.shards == 0 for stage in empty.stages)


def test_every_number_of_the_funnel_opens_as_many_rows(site: Site) -> None:
    for stage in count_funnel(site.index, site.recipe).stages:
        questions = {Question(stage.stage): stage.kept}
        questions |= {Question(stage.stage, reason=name): count for name, count in stage.rejected.items()}
        questions |= {Question(stage.stage, reason=f"error:{kind}"): count for kind, count in stage.errors.items()}
        for question, count in questions.items():
            assert read_page(site.index, question).total == count, question


def test_every_bar_opens_the_rows_it_counts(site: Site) -> None:
    charts = histograms(site.index, site.recipe)
    assert {chart.stage for chart in charts} >= {"filtered_pairs", "bounding_boxes", "captions", "removed_pairs"}
    for chart in charts:
        for low, high, kept, rejected in zip(chart.edges, chart.edges[1:], chart.kept, chart.rejected, strict=False):
            if kept + rejected:
                question = Question(chart.stage, "all", score=f"{chart.stage}.{chart.score}", low=low, high=high)
                again = read_question(dict(parse_qsl(question.address().partition("?")[2])))
                rows = read_page(site.index, again, size=500).rows
                assert [sum(row["kept"] for row in rows), sum(not row["kept"] for row in rows)] == [kept, rejected]


def test_thresholds_are_the_recipes_and_their_sides_are_right(site: Site) -> None:
    limits = {
        (chart.stage, limit.setting): (limit.value, limit.keeps_larger)
        for chart in histograms(site.index, site.recipe)
        for limit in chart.thresholds
    }
    assert limits["filtered_pairs", "min_similarity"] == (0.7, True)
    assert limits["filtered_pairs", "max_similarity"] == (0.9999, False)
    assert limits["bounding_boxes", "max_region_similarity"] == (0.97, False)
    assert limits["captions", "min_match"] == (0.5, True)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30),
    st.lists(st.floats(-1, 1), max_size=2),
    st.sampled_from([0.0, 1.0]),
)
def test_bins_hold_every_score(scores: list[float], marks: list[float], step: float) -> None:
    values = np.array(scores)
    edges = bin_edges(values, marks, step)
    assert 2 <= len(edges) <= MOST_BINS + 2
    assert edges[0] <= values.min()
    assert values.max() < edges[-1]
    assert np.all(np.diff(edges) > 0)


def test_keep_rates_tell_each_run(own_home: Home, drawn_recipe: Recipe, run_stages: object) -> None:
    stricter = drawn_recipe.model_copy(
        update={"filtered_pairs": drawn_recipe.filtered_pairs.model_copy(update={"min_similarity": 0.99})}
    )
    run_stages(own_home, stricter, ["shard-000000"], ["filtered_pairs"], "run-2")  # type: ignore[operator]
    points = keep_rates(Index(own_home), "filtered_pairs")
    assert [point.run_id for point in points] == ["run-1", "run-2"]
    assert points[0].rate > points[1].rate
    assert points[0].judged == points[1].judged + len(Ledger(own_home.ledger).read("filtered_pairs", "shard-000001"))


@pytest.mark.parametrize("shard", ["shard-000000", "shard-000001"])
def test_figures_of_one_shard(site: Site, shard: str) -> None:
    for chart in histograms(site.index, site.recipe, shard):
        rows = Ledger(site.home.ledger).read(chart.stage, shard)[chart.score].drop_null()
        assert sum(chart.kept) + sum(chart.rejected) <= len(rows)
