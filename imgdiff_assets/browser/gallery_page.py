"""The gallery: rows of one stage as cards, with the filters that chose them."""

from collections.abc import Mapping

from imgdiff_assets.browser.candidates import read_page
from imgdiff_assets.browser.joins import ancestors, kind_in, scores_of, source_of
from imgdiff_assets.browser.people import Visitor
from imgdiff_assets.browser.prepared import prepared
from imgdiff_assets.browser.question import COLUMNS, REVIEWS, SPLITS, VERDICTS, BadQuestion, read_question
from imgdiff_assets.browser.site import Site
from imgdiff_assets.ledger.views import views
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.stage import UPSTREAM, Stage


def gallery_page(site: Site, values: Mapping[str, str], who: Visitor) -> str:
    """Raises BadQuestion."""
    question, alike = prepared(site, read_question(values))
    stage = next((stage for stage in site.stages if stage.name == question.stage), None)
    if stage is None:
        raise BadQuestion(f"stage: the recipe does not name {question.stage}")
    kinds, tasks, present = site.index.computed("values of a stage", stage.name, lambda: _present(site, stage))
    reasons = [step.name for step in stage.filters]
    reasons += sorted(present - {*reasons, UPSTREAM}) + ([UPSTREAM] if UPSTREAM in present else [])
    columns = {f"{stage.name}.{name}" for stage in site.stages for name in stage.schema.names}
    return site.render(
        "gallery.html",
        question=question,
        page=read_page(site.index, question),
        contradictions=list(question.contradictions(reasons)),
        stage_names=[stage.name for stage in site.stages],
        reasons=reasons,
        scores=[name for name in scores_of(stage_named(stage.name)) if name in columns],
        verdicts=VERDICTS,
        tasks=tasks,
        kinds=kinds,
        splits=SPLITS if "split" in stage.schema.names else (),
        tags=[row["tag"] for row in site.index.rows("SELECT DISTINCT tag FROM tagged ORDER BY 1")],
        views=views(site.home),
        reasons_to_reject=site.recipe.review.reasons,
        who=who,
        alike=alike,
        reviews=REVIEWS if stage.id_column == "sample_id" else (),
        filters={step.name: step for step in stage.filters},
    )


def _present(site: Site, stage: Stage) -> tuple[list[str], list[str], set[str]]:
    """The kinds, tasks and reasons that a stage's rows have."""
    found = site.index.rows(f"SELECT DISTINCT rejected_by AS name FROM {stage.name} WHERE rejected_by IS NOT NULL")
    return _kinds(site, stage), _values(site, stage, "task"), {row["name"] for row in found}


def _kinds(site: Site, stage: Stage) -> list[str]:
    """The kinds of difference that a stage's rows have."""
    kind = kind_in(stage)
    found = site.index.rows(f"SELECT DISTINCT {kind} AS name FROM {source_of(stage, kind)} ORDER BY 1")
    return [row["name"] for row in found if row["name"] is not None]


def _values(site: Site, stage: Stage, name: str) -> list[str]:
    """What rows of a stage can be asked for by task: the values that there are in the ledger."""
    column = COLUMNS[name]
    table = next((table for table in (stage, *ancestors(stage)) if column in table.schema.names), None)
    if table is None:
        return []
    found = site.index.rows(
        f"SELECT DISTINCT {column} AS name FROM {table.name} WHERE {column} IS NOT NULL ORDER BY 1"
    )
    return [row["name"] for row in found]
