"""What so many captions will take, by whose rates."""

from pathlib import Path

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.stages.graph import stages_of
from imgdiff_assets.statistics.estimate import HERE, PUBLISHED, RECORDED, UNKNOWN, estimate, estimate_text, hours_text
from imgdiff_assets.statistics.measured_rates import measured_rates
from imgdiff_assets.statistics.served import MACHINES, served, served_markdown

ROOT = Path(__file__).parents[3]


def steps(found: object) -> dict[str, tuple[float | None, float | None, str]]:
    return {step.step: (step.rows, step.seconds_a_row, step.rate_from) for step in found.steps}  # type: ignore[attr-defined]


def test_the_miniature_is_reckoned_by_what_was_recorded(tmp_path: Path) -> None:
    found = estimate(Home(tmp_path), load_recipe("miniature"), 1000)
    assert {source for _, _, source in steps(found).values()} == {RECORDED}
    assert len(found.steps) == sum(
        bool(step.roles) for stage in stages_of(load_recipe("miniature")) for step in stage.measurements
    )
    assert 100 < found.seconds < 3600
    assert estimate(None, load_recipe("miniature"), 2000).seconds == pytest.approx(2 * found.seconds)


def test_published_rates_are_scaled_and_named_and_what_nobody_knows_is_left_out() -> None:
    modern = load_recipe("modern", ["image_pairs.method=prompt_to_prompt"])
    found = steps(estimate(None, modern, 1000, card="A100"))
    assert found["image_pairs.generate"] == (1000, pytest.approx(2 * 30 * 0.123), PUBLISHED)
    assert found["captions.describe"] == (998, pytest.approx(2 * 0.115), PUBLISHED)
    assert found["bounding_boxes.match"] == (None, None, UNKNOWN)
    assert not any(name.startswith("removed_pairs") for name in found), "switched off"
    fewer = override_recipe(modern, ["pair_generator.num_inference_steps=15"])
    assert steps(estimate(None, fewer, 1000, card="A100"))["image_pairs.generate"][1] == pytest.approx(30 * 0.123)
    assert steps(estimate(None, modern, 1000, card="H100"))["image_pairs.generate"][1] == pytest.approx(60 * 0.083)
    whole = estimate(None, modern, None, samples=1000, price=2)
    assert whole.captions == pytest.approx(9302, rel=0.001)
    assert whole.to_json()["cost"] == pytest.approx(2 * whole.seconds / 3600)
    text = estimate_text(whole)
    assert "Not known, and left out: filtered_pairs.compare" in text
    assert "published: Stable Diffusion XL 1024²" in text
    assert max(map(len, text.splitlines()[:-6])) <= 100


def test_a_pair_takes_what_the_roles_of_its_way_take() -> None:
    def drawn(card: str, *overrides: str) -> tuple[float | None, float | None, str]:
        return steps(estimate(None, load_recipe("modern", overrides), 1000, card=card))["image_pairs.generate"]

    assert drawn("H100") == (1000, pytest.approx(4 * 0.1425 + 0.9), PUBLISHED)
    assert drawn("H100", "image_pairs.method=text_pair") == (1000, pytest.approx(2 * 4 * 0.1425), PUBLISHED)
    assert drawn("H100", "image_pairs.attempts=3")[1] == pytest.approx(3 * (4 * 0.1425 + 0.9))
    assert drawn("A100") == (1000, None, UNKNOWN), "nobody published what drawing takes there"


def test_what_was_recorded_of_one_way_is_not_said_of_another() -> None:
    edits = [
        "models.editor.model=miniature:editor",
        "models.image_generator.model=miniature:pair_generator",
        "prompt_pairs.instructions={}",
        "image_pairs.method=edit",
    ]
    found = steps(estimate(None, load_recipe("miniature", edits), 1000))
    assert found["image_pairs.generate"][2] == UNKNOWN
    assert found["captions.describe"][2] == RECORDED


def test_a_home_that_has_measured_knows_best(measured_home: Home) -> None:
    recipe = load_recipe("miniature")
    rates = measured_rates(measured_home, recipe, shard_keys(measured_home))
    record = Ledger(measured_home.ledger).record("image_pairs", "shard-000000")
    assert record is not None
    assert rates.captions == 6
    assert rates.steps["image_pairs.generate"].rows == record["calls"]["generate"]
    assert rates.steps["image_pairs.generate"].seconds == record["step_seconds"]["generate"]
    assert rates.per_caption["image_pairs.generate"] == record["calls"]["generate"] / 6
    found = steps(estimate(measured_home, recipe, 1000))
    # Of six pairs loading the model was most; of many boxes it was not.
    assert found["image_pairs.generate"][2] == RECORDED
    assert found["bounding_boxes.compare"][2] == HERE


def test_what_other_models_measured_says_nothing_of_these(measured_home: Home) -> None:
    for recipe in (load_recipe("modern"), load_recipe("miniature", ["pair_generator.num_inference_steps=20"])):
        rates = measured_rates(measured_home, recipe, shard_keys(measured_home))
        assert "image_pairs.generate" not in rates.steps
        assert (rates.per_caption, rates.samples, rates.pair_bytes) == ({}, None, None)


def test_who_is_served_is_on_its_page() -> None:
    assert served_markdown() in (ROOT / "docs" / "who_is_served.md").read_text(encoding="utf-8")
    assert [machine.has for machine, _ in served()] == [machine.has for machine in MACHINES]


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 seconds"), (720, "12 minutes"), (12_240, "3.4 hours"), (619_200, "172 hours")]
)
def test_times_are_told_as_people_do(seconds: float, text: str) -> None:
    assert hours_text(seconds) == text
