"""Tasks and wordings of packages in the fine-tune set: what depends on them, and what does not."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.engine.plan import TablePlan, plan_stage, plan_table
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.task import Task
from imgdiff_assets.method.tasks import OURS, TASKS
from imgdiff_assets.method.wordings import Wordings
from imgdiff_assets.reading.scan import scan
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.fine_tune_set import STAGE
from imgdiff_assets.stages.sample_settings import FineTuneSetSettings
from resources import installed
from resources.installed import BrokenPart
from tests.installed_packages import install, install_documented

SHARDS = ["shard-000000", "shard-000001"]
ASK = ("How many words has the caption?",)
BOTH = "fine_tune_set.tasks=[difference, words]"


def ask(known: Any, first: str) -> dict[str, Any]:
    return {"subject": None, "answer": f"{len(known['source_caption'].split())}."}


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """As if a package offered it."""
    task = Task("words", ASK, ask, once_per_pair=True)
    monkeypatch.setitem(TASKS, "words", task)  # type: ignore[arg-type]
    return task


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, for packages."""
    monkeypatch.syspath_prepend(tmp_path / "packages")
    (tmp_path / "packages").mkdir()
    installed.offers.cache_clear()
    yield tmp_path / "packages"
    installed.offers.cache_clear()


def planned(home: Home, recipe: Recipe, models: Any) -> TablePlan:
    how = plan_stage(STAGE, recipe, models(recipe))
    return plan_table(how, Ledger(home.ledger), SHARDS[0], read_inputs(STAGE, home, SHARDS[0]).hash)


def test_a_task_that_is_installed_and_not_asked_is_in_no_settings(task: Task) -> None:
    settings = FineTuneSetSettings(tasks=["which_image", "difference"], questions={"words": ["How long is it?"]})
    assert list(settings.questions) == list(OURS)
    assert FineTuneSetSettings().model_dump() == {**settings.model_dump(), "tasks": ["difference"]}


def test_a_task_that_is_asked_is_asked_in_its_words_or_in_the_recipe_s(task: Task, drawn_recipe: Recipe) -> None:
    settings = FineTuneSetSettings(tasks=["words", "difference"])
    assert (settings.tasks, settings.questions["words"]) == (["difference", "words"], list(ASK))
    worded = FineTuneSetSettings(tasks=["words"], questions={"words": ["How long is {subject}?"]})
    assert worded.questions["words"] == ["How long is {subject}?"]
    recipe = override_recipe(drawn_recipe, [BOTH])
    assert override_recipe(recipe, ["fine_tune_set.tasks=[difference]"]).hash == drawn_recipe.hash


def test_its_samples_are_made_like_ours(task: Task, own_home: Home, drawn_recipe: Recipe, run_stages: Any) -> None:
    run_stages(own_home, override_recipe(drawn_recipe, [BOTH]), SHARDS, ["fine_tune_set"])
    ledger = Ledger(own_home.ledger)
    rows = scan(ledger, "fine_tune_set", ["task", "pair_id", "first", "answer", "conversations", "kept"]).to_pylist()
    own = [row for row in rows if row["task"] == "words"]
    assert len({row["pair_id"] for row in own}) == len(own) > 1
    assert {row["first"] for row in own} == {"source", "target"}
    for row in own:
        assert row["conversations"][0]["value"].endswith(ASK[0])
        assert re.fullmatch(r"\d+\.", row["answer"])


def test_a_task_knows_what_its_docstring_says(
    own_home: Home, drawn_recipe: Recipe, run_stages: Any, task: Task
) -> None:
    known: dict[str, Any] = {}

    def look(of_region: Any, first: str) -> None:
        known.update(of_region)

    TASKS["words"] = replace(task, ask=look)  # type: ignore[index]
    run_stages(own_home, override_recipe(drawn_recipe, [BOTH]), SHARDS, ["fine_tune_set"])
    told, _, _ = str(Task.__doc__).partition("Known, by name, are")[2].partition("Only `which_image`")
    names = set(re.findall(r"`(\w+)`", told)) - {"train", "validation", "target", "itm"}
    assert len(names) > 20
    assert names <= known.keys()


def test_a_task_of_a_new_version_makes_its_samples_anew_and_the_first_is_in_no_hash(
    drawn_home: Home, drawn_recipe: Recipe, drawn_models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(drawn_home, drawn_recipe, drawn_models)
    record = dict(plan.record or {})
    assert plan.fresh
    assert record.pop("item_versions") == {"difference": 2, "which_image": 2}
    first = replace(plan.how, item_versions={"difference": 1, "which_image": 1})
    assert not first.newer_items(record), "a table of 0.1.0 does not tell of versions"
    assert replace(plan.how, item_versions={}).hash == first.hash != plan.how.hash
    # One that the recipe does not ask changes nothing.
    monkeypatch.setitem(TASKS, "grounding", replace(TASKS["grounding"], version=9))  # type: ignore[arg-type]
    assert planned(drawn_home, drawn_recipe, drawn_models).how.hash == plan.how.hash
    monkeypatch.setitem(TASKS, "difference", replace(TASKS["difference"], version=9))  # type: ignore[arg-type]
    newer = planned(drawn_home, drawn_recipe, drawn_models)
    assert newer.reasons == ("the code is newer",)
    assert newer.how.other_items(record)
    assert not newer.how.outdated(record), "an answer that stays is not put into words again"


def test_a_task_that_fails_is_named(own_home: Home, drawn_recipe: Recipe, run_stages: Any, task: Task) -> None:
    recipe = override_recipe(drawn_recipe, [BOTH])
    TASKS["words"] = replace(task, ask=lambda known, first: {"answer": known["colour"]})  # type: ignore[index]
    with pytest.raises(RuntimeError, match=r"the task words fails on the pair \w{16}: KeyError\('colour'\)"):
        run_stages(own_home, recipe, SHARDS, ["fine_tune_set"])


def test_wordings_of_a_package_stand_in_a_recipe_as_texts(packages: Path) -> None:
    install_documented(packages)
    wordings = "fine_tune_set.questions={difference: ['What differs?', 'installed:formal']}"
    given = load_recipe("miniature", [wordings]).fine_tune_set.questions["difference"]
    assert given == [
        "What differs?",
        "Kindly state the difference {region}.",
        "Please describe what differs {region}.",
    ]
    with pytest.raises(RecipeError, match="no installed wordings 'formal' for grounding; installed for it: none"):
        load_recipe("miniature", ["fine_tune_set.questions={grounding: ['installed:formal']}"])


def test_wordings_that_are_none_are_told_with_their_package(packages: Path) -> None:
    points = {"imgdiff_assets.questions": {"curt": "curt:TEXTS"}}
    install(packages, "imgdiff-curt", {"curt.py": "TEXTS = ['What?']"}, points)
    with pytest.raises(BrokenPart, match=r"imgdiff-curt 1\.0 offers 'curt', but it is no Wordings: mend"):
        load_recipe("miniature", ["fine_tune_set.questions={difference: ['installed:curt']}"])


@pytest.mark.parametrize("wordings", [(), ("What {differs}?",), "What differs?"])
def test_wordings_and_tasks_that_cannot_be_asked_are_refused(wordings: Any) -> None:
    for make in (lambda: Wordings("difference", wordings), lambda: Task("words", wordings, ask)):
        with pytest.raises(ValueError, match=r"cannot be filled \('differs'\)|a list of at least one wording"):
            make()
