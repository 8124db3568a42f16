"""The graph with parts of installed packages: those that `docs/extend.md` shows, whole and broken."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, ValidationError

from imgdiff_assets.engine.plan import is_given
from imgdiff_assets.recipe import recipe
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import OURS, build_graph, line
from imgdiff_assets.stages.stage import Above, Stage
from resources.installed import BrokenPart, Offer
from tests.installed_packages import documented_files, install, install_documented

ROOT = Path(__file__).parents[3]


def documented(module: str, name: str) -> Any:
    names: dict[str, Any] = {"__name__": module}
    exec(documented_files()[f"{module}.py"], names)
    return names[name]


FILTER, STAGE = documented("too_dark", "FILTER"), documented("palettes", "STAGE")
BRIGHTNESS, TOO_DARK = FILTER.steps


def offer(part: Any, name: str = "too_dark") -> Offer:
    return Offer(name, part, f"imgdiff-{name}", "1.0")


def graph(*stages: Any, filters: Any = ()) -> dict[str, Stage]:
    offered = [offer(part, part.name) for part in stages]
    return {stage.name: stage for stage in build_graph(OURS, [offer(part) for part in filters], offered)}


def recipe_with(stage: Stage, **section: Any) -> Any:
    """A recipe, as far as the stage looks at it."""
    return SimpleNamespace(**{stage.name: stage.section.model_validate(section)}, seed=0)


def test_the_page_s_examples_are_short() -> None:
    for name, text in documented_files().items():
        if name != "palettes.py":
            assert len(text.splitlines()) <= 30, name


def test_without_packages_the_graph_is_ours() -> None:
    assert build_graph(OURS) == OURS
    assert line("fine_tune_set") == {"caption_file", *(stage.name for stage in OURS)}
    above = {"caption_file", "prompt_pairs", "image_pairs", "derived_pairs"}
    assert line("filtered_pairs") == {*above, "filtered_pairs"}


def test_a_filter_that_is_off_leaves_no_trace() -> None:
    plain, extended = graph()["filtered_pairs"], graph(filters=[FILTER])["filtered_pairs"]
    values = recipe_with(extended)
    assert values.filtered_pairs.model_dump() == plain.section().model_dump()
    under, plain = extended.under(values), plain.under(values)
    assert (under.steps, under.schema, under.code_version) == (plain.steps, plain.schema, plain.code_version)


def test_a_filter_that_is_on_reads_its_own_settings() -> None:
    stage = graph(filters=[FILTER])["filtered_pairs"]
    values = recipe_with(stage, filters={"too_dark": {"min_brightness": 0.2}})
    settings = values.filtered_pairs
    assert settings.model_dump()["filters"] == {"too_dark": {"min_brightness": 0.2}}
    assert type(settings).model_validate(settings.model_dump()) == settings
    judge = stage.under(values).filters[-1]
    assert (judge.name, judge.setting, judge.limit(settings)) == (
        "too_dark",
        "filters.too_dark.min_brightness",
        0.2,
    )
    assert judge.judge({"brightness": pa.array([0.1, 0.3]).to_numpy()}, settings).tolist() == [False, True]
    assert judge.keeps_larger(settings)
    assert mistakes(stage.under(values), settings) == []
    blind = replace(stage, steps=(*stage.steps[:-1], replace(judge, passes=lambda columns, own: True)))
    assert "too_dark keeps a row that it must reject" in mistakes(blind, settings)[0]


def test_a_filter_may_measure_by_its_settings() -> None:
    measuring = replace(BRIGHTNESS, settings=("min_brightness", "min_similarity", "filtered_pairs.min_similarity"))
    with pytest.raises(BrokenPart, match="it names 'min_similarity', which is none of its settings"):
        graph(filters=[replace(FILTER, steps=(measuring, TOO_DARK))])
    measuring = replace(measuring, settings=("seed", "min_brightness", "filtered_pairs.min_similarity"))
    stage = graph(filters=[replace(FILTER, steps=(measuring, TOO_DARK))])["filtered_pairs"]
    values = recipe_with(stage, filters={"too_dark": {"min_brightness": 0.2}}, min_similarity=0.5)
    step = stage.measurements[-1]
    assert stage.values(values, step.settings, step) == {
        "seed": 0,
        "min_brightness": 0.2,
        "filtered_pairs.min_similarity": 0.5,
    }


def test_a_part_that_is_named_with_nothing_is_refused() -> None:
    """Whether it is to be on or off cannot be told."""
    section = graph(filters=[FILTER])["filtered_pairs"].section
    with pytest.raises(ValidationError, match="too_dark"):
        section.model_validate({"filters": {"too_dark": None}})
    assert section.model_validate({"filters": {"too_dark": {}}}).model_dump()["filters"]["too_dark"]


def test_the_versions_of_installed_measurements_are_told_by_name() -> None:
    plain, stage = graph()["filtered_pairs"], graph(filters=[FILTER])["filtered_pairs"]
    assert stage.code_version == f"{plain.code_version}+brightness=1"
    assert stage.versions("2+other=3+brightness=4") == {"compare": "2", "other": "3", "brightness": "4"}
    assert stage.versions("1") == {"compare": "1"}


def test_a_model_of_a_filter_makes_no_table_one_of_given_pairs() -> None:
    measuring = replace(BRIGHTNESS, roles=("captioner",), inputs=("pair_id",))
    part = replace(FILTER, stage="fine_tune_set", steps=(measuring, TOO_DARK))
    stage = graph(filters=[part])["fine_tune_set"]
    assert stage.roles == ("captioner",)
    assert not is_given(stage, {"models": {}})
    assert is_given(graph()["image_pairs"], {"models": {}})


def test_stages_of_packages_follow_ours_each_after_its_parents() -> None:
    above = (Above("palettes", "pair_id"),)
    contrasts = replace(STAGE, name="contrasts", parents=("palettes", "image_pairs"), above=above)
    names = list(graph(contrasts, STAGE, filters=[replace(FILTER, stage="palettes")]))
    assert names[-2:] == ["palettes", "contrasts"]
    found = graph(contrasts, STAGE, filters=[replace(FILTER, stage="contrasts")])
    assert [step.name for step in found["contrasts"].filters] == ["recoloured", "too_dark"]
    assert found["palettes"].package == "imgdiff-palettes 1.0"


BROKEN_FILTERS: Mapping[str, tuple[Any, str]] = {
    "nothing": (None, "it is not an InstalledFilter whose last step is a Filter"),
    "no filter": (replace(FILTER, steps=(BRIGHTNESS,)), "it is not an InstalledFilter whose last step is a Filter"),
    "another name": (
        replace(FILTER, steps=(BRIGHTNESS, replace(TOO_DARK, name="dim"))),
        "the filter is named 'dim', and must have that name",
    ),
    "no such stage": (replace(FILTER, stage="filtered_pears"), "there is no stage 'filtered_pears'"),
    "no settings": (replace(FILTER, settings=BaseModel), "its settings are no StageSettings"),
    "another's setting": (
        replace(FILTER, steps=(BRIGHTNESS, replace(TOO_DARK, threshold="max_similarity"))),
        "it names 'max_similarity', which is none of its settings",
    ),
    "an unknown column": (
        replace(FILTER, steps=(TOO_DARK,)),
        "it reads 'brightness', which is no column of filtered_pairs before it",
    ),
    "a column of ours": (
        replace(FILTER, steps=(replace(BRIGHTNESS, columns=(pa.field("image_similarity", pa.float32()),)), TOO_DARK)),
        "filtered_pairs has a column 'image_similarity' already",
    ),
    "a step of ours": (
        replace(FILTER, steps=(replace(BRIGHTNESS, name="compare"), TOO_DARK)),
        "filtered_pairs has a step 'compare' already",
    ),
    "several rows": (
        replace(FILTER, steps=(replace(BRIGHTNESS, expands=True), TOO_DARK)),
        "'brightness' makes several rows of one, which only the first step of a stage may",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FILTERS)
def test_a_filter_that_cannot_be_used_is_told_with_its_package(case: str) -> None:
    part, why = BROKEN_FILTERS[case]
    sentence = f"imgdiff-too_dark 1.0 offers 'too_dark', but {why}"
    with pytest.raises(BrokenPart, match=re.escape(sentence)) as raised:
        graph(filters=[part])
    assert str(raised.value).endswith(": mend or uninstall it.")


BROKEN_STAGES: Mapping[str, tuple[Any, str]] = {
    "our name": (replace(STAGE, name="captions"), "that name is taken"),
    "a name of the graph": (replace(STAGE, name="release"), "that name is taken"),
    "the captions": (replace(STAGE, parents=("filtered_pairs", "caption_file")), "its parent 'caption_file' is not a"),
    "no such parent": (replace(STAGE, parents=("pairs",)), "its parent 'pairs' is not a stage"),
    "made of nothing": (replace(STAGE, above=()), "`above` does not name the parent whose verdicts it follows"),
    "of no parent": (
        replace(STAGE, above=(Above("captions", "region_id"),)),
        "`above` does not name the parent whose verdicts it follows",
    ),
    "measures nothing": (replace(STAGE, steps=()), "it has no measurement"),
    "no id": (replace(STAGE, id_column="palette_id"), "neither its items nor `row_id` give 'palette_id'"),
    "no settings": (replace(STAGE, section=dict), "its settings are no StageSettings"),
    "itself": (replace(STAGE, parents=("palettes",)), "it is made of itself"),
    "an unknown column": (
        replace(STAGE, steps=(replace(STAGE.steps[0], inputs=("colour",)), STAGE.steps[1])),
        "it reads 'colour', which is no column of palettes before it",
    ),
}


@pytest.mark.parametrize("case", BROKEN_STAGES)
def test_a_stage_that_cannot_be_used_is_told_with_its_package(case: str) -> None:
    part, why = BROKEN_STAGES[case]
    with pytest.raises(BrokenPart, match=re.escape(f"imgdiff-{part.name} 1.0 offers '{part.name}', but {why}")):
        graph(part)


def test_what_is_no_stage_is_told_with_its_package() -> None:
    with pytest.raises(BrokenPart, match="it is not a Stage named 'palettes'"):
        build_graph(OURS, (), [offer(FILTER, "palettes")])


def test_a_recipe_that_names_a_stage_and_not_its_parent_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        recipe, "stages_of", lambda values: (*OURS, replace(STAGE, name="hues", parents=("palettes",)))
    )
    with pytest.raises(RecipeError, match=r"hues is made of palettes: name that stage too, as in `palettes: \{\}`"):
        load_recipe("miniature")


@pytest.mark.parametrize(
    ("source", "points", "sentence"),
    [
        (
            "import no_such_library",
            {"imgdiff_assets.filters": {"grey": "grey:FILTER"}},
            "imgdiff-grey offers 'grey' among the filters, but grey:FILTER cannot be imported "
            "(ModuleNotFoundError: No module named 'no_such_library'): mend or uninstall it.",
        ),
        (
            "from imgdiff_assets.method.task import Task\nTASK = Task('grey', ('Is {this} grey?',), print)",
            {"imgdiff_assets.tasks": {"grey": "grey:TASK"}},
            "imgdiff-grey offers 'grey' among the tasks, but grey:TASK cannot be imported (ValueError: "
            "'Is {this} grey?' cannot be filled ('this'); it may use {subject}, {region}, {coordinates}): mend or "
            "uninstall it.",
        ),
        (
            "from imgdiff_assets.method.tasks import OURS\nTASK = OURS['difference']",
            {"imgdiff_assets.tasks": {"difference": "grey:TASK"}},
            "imgdiff-grey 1.0 offers 'difference', but there is a task of that name: mend or uninstall it.",
        ),
        (
            documented_files()["palettes.py"].replace('"palettes"', '"captioner"'),
            {"imgdiff_assets.stages": {"captioner": "grey:STAGE"}},
            "imgdiff-grey 1.0 offers 'captioner', but every recipe has a key of that name: mend or uninstall it.",
        ),
        (
            documented_files()["too_dark.py"].replace("measure),", 'measure, roles=("taster",)),'),
            {"imgdiff_assets.filters": {"too_dark": "grey:FILTER"}},
            "imgdiff-grey asks for the model 'taster', which is no role: mend or uninstall it.",
        ),
    ],
    ids=["cannot be imported", "cannot be asked", "our task", "a key of recipes", "no such model"],
)
def test_a_broken_package_is_one_sentence_of_the_command_line(
    source: str, points: dict[str, dict[str, str]], sentence: str, tmp_path: Path
) -> None:
    install(tmp_path, "imgdiff-grey", {"grey.py": source}, points)
    command = [sys.executable, "-m", "imgdiff_assets.cli.main", "lineage", "0123456789abcdef"]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "IMGDIFF_HOME": str(tmp_path / "home"), "PATH": ""}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"Error: {sentence}\n"


def test_a_package_can_be_imported_before_us(tmp_path: Path) -> None:
    """By its own tests, for example: while it is, the graph asks for what it offers."""
    install_documented(tmp_path)
    code = "import too_dark, palettes, count_words, formal\nfrom imgdiff_assets.stages.graph import STAGE_NAMES\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(*STAGE_NAMES[-2:])"],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("fine_tune_set palettes\n", "")
