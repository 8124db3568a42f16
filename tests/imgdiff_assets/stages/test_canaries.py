"""Each filter of each stage must notice when it is replaced by one that keeps, or rejects, everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
import numpy as np
import pytest

from imgdiff_assets.common.aliases import Columns
from imgdiff_assets.defs.partitions import register_shards
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.method.regions import numbered, ranks
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.editions import shipped_recipes
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.graph import COMMON_STAGES, STAGES, stage_named
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Derivation, Filter

FILTERS = [pytest.param(stage, step, id=f"{stage.name}-{step.name}") for stage in STAGES for step in stage.filters]
TWO_STAGES = ("filtered_pairs", "fine_tune_set")
"""Those that the short suite runs in Dagster, which runs all alike: one with a next stage, and the last."""

NEXT = {stage.name: other.name for other in STAGES for stage in STAGES if stage.name == other.parents[0]}
"""The stage that reads the table of each."""


def settings_of(stage: Stage, *overrides: str) -> Any:
    """The miniature's, with what it has switched off."""
    return stage.settings(
        load_recipe(
            "miniature",
            (
                "prompt_pairs.language=english",
                "prompt_pairs.avoid=[people, weapon*]",
                "captions.language=english",
                "verifier.model=miniature:verifier",
                "filtered_pairs.plausibility={}",
                "filtered_pairs.plausibility.min_plausibility=0.5",
                "prompt_pairs.instructions={}",
                "captions.naming={}",
                "captions.inversion={}",
                "captions.inversion.min_inversion=0.5",
                "witness.model=miniature:captioner",
                "captions.witness={}",
                "captions.witness.min_witness_agreement=0.5",
                "captions.confirmation={}",
                "captions.confirmation.min_confirmation=0.5",
                "filtered_pairs.alignment={}",
                "derived_pairs={}",
                "bounding_boxes.preserved={}",
                "bounding_boxes.preserved.min_psnr=20",
                "fine_tune_set.balance={}",
                "fine_tune_set.balance.caps={task: 2, kind: 2, object: 2, replacement: 2}",
                "removal_captions.language=english",
                *overrides,
            ),
        )
    )


def with_filter(stage: Stage, old: Filter, passes: Callable[[Columns, Any], Any]) -> Stage:
    return replace(stage, steps=tuple(replace(old, passes=passes) if step is old else step for step in stage.steps))


def is_proved(stage: Stage, step: Filter) -> bool:
    """Whether the miniature has the filter, and it can reject something there."""
    recipe = load_recipe("miniature")
    had, settings = stage.under(recipe), stage.settings(recipe)
    return step in had.filters and bool(mistakes(with_filter(had, step, lambda columns, settings: True), settings))


RUN = [
    pytest.param(
        stage,
        step,
        id=f"{stage.name}-{step.name}",
        marks=pytest.mark.slow if number or stage.name not in TWO_STAGES else (),
    )
    for stage in STAGES
    for number, step in enumerate(stage.filters)
    if is_proved(stage, step)
]
"""All filters that the miniature proves; the short suite takes the first of two stages."""


def with_derivation(name: str, column: str, compute: Callable[[Columns, Any], Any]) -> Stage:
    stage = stage_named(name)
    return replace(
        stage,
        steps=tuple(
            replace(step, compute=compute) if isinstance(step, Derivation) and step.column.name == column else step
            for step in stage.steps
        ),
    )


@pytest.mark.parametrize("recipe", shipped_recipes())
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_filters_of_every_recipe_work(stage: Stage, recipe: str) -> None:
    assert mistakes(stage, stage.settings(load_recipe(recipe))) == []


@pytest.mark.parametrize("verdict", [True, False])
@pytest.mark.parametrize("one_for_all", [True, False])
@pytest.mark.parametrize(("stage", "step"), FILTERS)
def test_a_filter_with_one_verdict_is_noticed(stage: Stage, step: Filter, verdict: bool, one_for_all: bool) -> None:
    def constant(columns: Columns, settings: Any) -> Any:
        return verdict if one_for_all else np.full(len(next(iter(columns.values()))), verdict)

    found = mistakes(with_filter(stage, step, constant), settings_of(stage))
    verb = "keeps a row that it must reject" if verdict else "rejects a row that it must keep"
    assert found
    assert all(text.startswith(f"the filter {step.name} {verb}") for text in found)


@pytest.mark.parametrize(("stage", "step"), FILTERS)
def test_a_filter_the_wrong_way_round_is_noticed(stage: Stage, step: Filter) -> None:
    found = mistakes(
        with_filter(stage, step, lambda columns, settings: ~step.judge(columns, settings)), settings_of(stage)
    )
    assert {text.split()[2] for text in found} == {step.name}


def test_a_filter_that_raises_is_noticed() -> None:
    stage = stage_named("filtered_pairs")
    too_different = next(step for step in stage.filters if step.name == "too_different")
    broken = with_filter(stage, too_different, lambda columns, settings: columns["no such column"])
    assert mistakes(broken, settings_of(stage)) == [
        "the filter too_different cannot judge the rows planted for it: KeyError: 'no such column'"
    ]


def always(value: float) -> Callable[[Columns, Any], np.ndarray]:
    """A derivation that says the same of every row."""
    return lambda columns, settings: np.full(len(next(iter(columns.values()))), value)


def in_order(*names: str) -> Callable[[Columns, Any], np.ndarray]:
    """A place among the rows with the same values that only follows their order."""

    def place(columns: Columns, settings: Any) -> np.ndarray:
        groups = numbered([" ".join(row) for row in zip(*(columns[name] for name in names), strict=True)])
        return ranks(np.arange(len(groups)), groups)

    return place


def rank_among_all(columns: Columns, settings: Any) -> np.ndarray:
    """A rank that takes no notice of the pair."""
    return np.argsort(np.argsort(columns["region_similarity"]))


@pytest.mark.parametrize(
    ("name", "column", "noticed", "compute"),
    [
        ("prompt_pairs", "repeated", "repeated", always(False)),
        ("prompt_pairs", "repeated", "repeated", always(True)),
        ("bounding_boxes", "match", "object_not_seen", lambda columns, settings: columns["source_match_itc"]),
        ("bounding_boxes", "match", "object_not_seen", lambda columns, settings: columns["target_match_itc"]),
        ("bounding_boxes", "match", "object_not_seen", lambda columns, settings: columns["source_match_itm"]),
        ("bounding_boxes", "match", "object_not_seen", always(1.0)),
        ("prompt_pairs", "repeated", "repeated", lambda *given: in_order("caption_id")(*given) > 0),
        ("bounding_boxes", "rank", "beyond_the_first", in_order("pair_id")),
        ("removed_pairs", "proposal_rank", "beyond_the_best", in_order("pair_id", "found_in")),
        ("removed_pairs", "rank", "beyond_the_first", in_order("pair_id", "found_in")),
        ("removed_pairs", "rank", "beyond_the_first", always(0)),
        ("bounding_boxes", "rank", "beyond_the_first", always(0)),
        ("bounding_boxes", "rank", "beyond_the_first", rank_among_all),
        ("bounding_boxes", "rank", "beyond_the_first", lambda columns, settings: -rank_among_all(columns, settings)),
        ("captions", "match", "caption_misfits", lambda columns, settings: columns["target_match_itc"]),
        ("captions", "match", "caption_misfits", always(1.0)),
        ("filtered_pairs", "displacement", "misaligned", lambda columns, settings: columns["corner_shift"]),
        ("filtered_pairs", "displacement", "misaligned", always(0.0)),
        ("fine_tune_set", "enough_of", "enough_of_", lambda columns, settings: np.full(len(columns["task"]), None)),
    ],
)
def test_a_broken_derivation_is_noticed(
    name: str, column: str, noticed: str, compute: Callable[[Columns, Any], Any]
) -> None:
    stage = with_derivation(name, column, compute)
    found = mistakes(stage, settings_of(stage))
    assert found
    assert all(text.startswith(f"the filter {noticed}") for text in found)


@pytest.mark.parametrize("score", ["itc", "itm"])
@pytest.mark.parametrize("rule", ["both", "either"])
def test_the_rule_and_the_score_of_the_match_are_proved(rule: str, score: str) -> None:
    overrides = (f"bounding_boxes.match_rule={rule}", f"bounding_boxes.match_score={score}")
    stage = stage_named("bounding_boxes")
    assert mistakes(stage, settings_of(stage, *overrides)) == []
    wrong = np.maximum if rule == "both" else np.minimum
    sides = [f"{side}_match_{score}" for side in ("source", "target")]
    broken = with_derivation(stage.name, "match", lambda columns, settings: wrong(*(columns[name] for name in sides)))
    assert len(mistakes(broken, settings_of(stage, *overrides))) == 2


def test_a_setting_that_lets_everything_pass_needs_no_proof() -> None:
    stage = stage_named("bounding_boxes")
    assert mistakes(stage, settings_of(stage, "bounding_boxes.max_overlap=1")) == []


@contextmanager
def sabotaged(step: Filter, verdict: bool) -> Iterator[None]:
    """The very filter of the graph, replaced by one that says the same of every row."""
    original = step.passes
    object.__setattr__(step, "passes", lambda columns, settings: verdict)
    try:
        yield
    finally:
        object.__setattr__(step, "passes", original)


@pytest.fixture(scope="module")
def run_job(miniature_home: Home, miniature_recipe: Recipe) -> Iterator[Callable[[str], dg.ExecuteInProcessResult]]:
    """`run_job(asset)`: a real run of that asset and the next over the shard, where both are up to date."""
    graph = build_definitions(miniature_home, miniature_recipe).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        (shard,) = register_shards(instance, miniature_home)

        def run(asset: str) -> dg.ExecuteInProcessResult:
            return graph.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in (asset, NEXT.get(asset)) if name],
                partition_key=shard,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )

        yield run


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    events = result.get_asset_materialization_events()
    return [event.asset_key.to_user_string() for event in events if event.asset_key is not None]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(stage, id=stage.name, marks=() if stage.name in TWO_STAGES else pytest.mark.slow)
        for stage in COMMON_STAGES
    ],
)
def test_a_run_with_sound_filters_goes_on_to_the_next_stage(
    stage: Stage, run_job: Callable[[str], dg.ExecuteInProcessResult]
) -> None:
    result = run_job(stage.name)
    assert result.success
    assert materialized(result) == [name for name in (stage.name, NEXT.get(stage.name)) if name]


@pytest.mark.parametrize("verdict", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("stage", "step"), RUN)
def test_a_run_with_a_silent_filter_fails_before_the_next_stage(
    stage: Stage, step: Filter, verdict: bool, run_job: Callable[[str], dg.ExecuteInProcessResult]
) -> None:
    with sabotaged(step, verdict):
        result = run_job(stage.name)
    assert not result.success
    (failed,) = [check for check in result.get_asset_check_evaluations() if check.blocking and not check.passed]
    assert (failed.asset_key.to_user_string(), failed.check_name) == (stage.name, "canaries")
    assert failed.blocking
    assert f"the filter {step.name} " in str(failed.metadata)
    assert materialized(result) == [stage.name]
