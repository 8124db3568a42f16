"""The branch of erased regions, end to end: by the real stages, over models that know what they drew."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.images import PairImages, pixel_hash
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.lineage import Node, lineage
from imgdiff_assets.lineage.lineage_text import to_text
from imgdiff_assets.lineage.replay import replay
from imgdiff_assets.reading.samples import SampleImages, StaleSample, read_samples
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.canaries import mistakes
from imgdiff_assets.stages.removal_captions import STAGE as REMOVAL_CAPTIONS
from imgdiff_assets.stages.removed_pairs import STAGE as REMOVED_PAIRS
from imgdiff_assets.statistics.sample_checks import answers_not_seen, violations
from resources.images.crops import padded

SHARDS = ["shard-000000", "shard-000001"]
BRANCH = ["removed_pairs", "removal_captions", "fine_tune_set"]
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def removal_recipe(drawn_recipe: Recipe) -> Recipe:
    return override_recipe(drawn_recipe, ["removed_pairs.enabled=true", "removed_pairs.max_regions=2"])


@pytest.fixture(scope="module")
def removal_home(
    drawn_home: Home, removal_recipe: Recipe, run_stages: Any, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """The drawn home with its regions erased; tests leave it as it is."""
    home = Home(Path(shutil.copytree(drawn_home.root, tmp_path_factory.mktemp("removal") / "home")))
    run_stages(home, removal_recipe, SHARDS, BRANCH)
    return home


@pytest.fixture
def changed_home(removal_home: Home, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(removal_home.root, tmp_path / "home")))


def rows_of(home: Home, asset: str, images: bool = False) -> Rows:
    return [row for shard in SHARDS for row in Ledger(home.ledger).read(asset, shard, images=images).to_pylist()]


def removal_samples(home: Home) -> Rows:
    return [row for row in rows_of(home, "fine_tune_set") if row["erased_from"]]


def nodes(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in nodes(child))]


def test_every_box_of_a_pair_in_the_running_is_a_candidate(removal_home: Home) -> None:
    boxes = {row["region_id"]: row for row in rows_of(removal_home, "bounding_boxes")}
    candidates = rows_of(removal_home, "removed_pairs")
    assert {row["region_id"] for row in candidates} == {
        key for key, row in boxes.items() if row["found_in"] and row["rejected_by"] != "upstream"
    }
    reasons = Counter(row["rejected_by"] for row in candidates)
    assert reasons[None] > 0
    assert reasons["too_small"] > 0
    assert reasons["same_region"] > 0
    assert reasons["not_erased"] > 0
    erased = {row["region_id"] for row in candidates if row["erased_hash"]}
    assert any(boxes[key]["rejected_by"] for key in erased), "regions that bounding_boxes rejects are erased too"


def test_only_the_region_is_erased_from_the_image_it_was_found_in(removal_home: Home) -> None:
    from imgdiff_assets.ledger.images import decode

    ledger = Ledger(removal_home.ledger)
    for shard in SHARDS:
        images = PairImages(ledger, shard)
        for row in ledger.read("removed_pairs", shard, images=True).to_pylist():
            if row["erased_image"] is None:
                continue
            original = images(row["pair_id"])[row["found_in"] == "target"]
            erased = decode(row["erased_image"]["bytes"])
            assert pixel_hash(erased) == row["erased_hash"]
            x1, y1, x2, y2 = padded([row[name] for name in BOX_COLUMNS], 3, *original.shape[1::-1])
            outside = np.ones(original.shape[:2], bool)
            outside[y1:y2, x1:x2] = False
            np.testing.assert_array_equal(erased[outside], original[outside])
        images.close()


def test_the_answer_names_the_image_that_still_has_the_object(removal_home: Home) -> None:
    """The truth is the drawing's: an outline is black, and no background is."""
    ledger = Ledger(removal_home.ledger)
    letters = Counter()
    for shard in SHARDS:
        images = SampleImages(ledger, shard)
        for sample in read_samples(ledger, shard):
            if sample.erased_from is None or sample.box is None:
                continue
            x1, y1, x2, y2 = padded(sample.box, 0, 64, 64)
            shown = [images(image) for image in sample.shown.images]
            outlined = [bool((image[y1:y2, x1:x2].max(axis=2) < 60).any()) for image in shown]
            assert outlined == [sample.answer == "A", sample.answer == "B"]
            assert sample.conversations[-1]["value"] == sample.answer
            letters[sample.answer] += 1
        images.close()
    assert min(letters["A"], letters["B"]) > 0


def test_the_answer_is_the_image_that_the_matcher_prefers(removal_home: Home) -> None:
    assert [violations(Ledger(removal_home.ledger), shard) for shard in SHARDS] == [[], []]


def test_a_swapped_answer_is_noticed() -> None:
    def sample(first: str, answer: str) -> dict[str, Any]:
        return {"sample_id": "canary", "task": "which_image", "first": first, "answer": answer}

    scores = {"canary": {"source": 0.9, "target": 0.1}}
    for first, right, wrong in (("source", "A", "B"), ("target", "B", "A")):
        assert answers_not_seen([sample(first, right)], scores) == []
        (finding,) = answers_not_seen([sample(first, wrong)], scores)
        assert finding["invariant"] == "answer_not_seen"
    assert answers_not_seen([sample("source", "A")], {}), "nothing was measured"


def test_stored_answers_are_checked_against_stored_scores(
    changed_home: Home, monkeypatch: pytest.MonkeyPatch, removal_recipe: Recipe, run_stages: Any
) -> None:
    """A stage that gives the answers the wrong way round: every sample of an erased region is found."""
    monkeypatch.setattr("imgdiff_assets.method.tasks.LETTERS", ("B", "A"))
    run_stages(changed_home, removal_recipe, SHARDS, ["fine_tune_set"])
    # Nothing has changed that a record knows of; so the table is made anew.
    for shard in SHARDS:
        Ledger(changed_home.ledger).table_path("fine_tune_set", shard).unlink()
    run_stages(changed_home, removal_recipe, SHARDS, ["fine_tune_set"])
    found = [finding for shard in SHARDS for finding in violations(Ledger(changed_home.ledger), shard)]
    kept = [row["sample_id"] for row in removal_samples(changed_home) if row["kept"]]
    assert sorted(finding["sample_id"] for finding in found if finding["invariant"] == "answer_not_seen") == sorted(
        kept
    )


def test_an_image_that_was_not_erased_is_rejected(
    changed_home: Home, removal_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, run_stages: Any, drawn_models: Any
) -> None:
    monkeypatch.setattr(type(drawn_models.artist), "erase", lambda self, images, masks, seeds: images)
    recipe = override_recipe(removal_recipe, ["seed=1"])
    run_stages(changed_home, recipe, SHARDS, BRANCH)
    verdicts = Counter(row["rejected_by"] for row in rows_of(changed_home, "removed_pairs") if row["erased_hash"])
    assert set(verdicts) == {"not_erased"}
    assert not any(row["kept"] for row in removal_samples(changed_home))


@pytest.mark.parametrize("stage", [REMOVED_PAIRS, REMOVAL_CAPTIONS], ids=lambda stage: stage.name)
def test_the_filters_reject_their_canaries(stage: Any, removal_recipe: Recipe) -> None:
    assert mistakes(stage, stage.settings(removal_recipe)) == []


def test_thresholds_between_which_nothing_could_be_told_are_refused() -> None:
    with pytest.raises(RecipeError, match="max_erased_match is larger than min_original_match"):
        load_recipe("miniature", ["removal_captions.max_erased_match=0.9"])


def test_switched_off_it_keeps_what_was_measured_and_gives_no_sample(
    changed_home: Home, removal_recipe: Recipe, run_stages: Any
) -> None:
    before = {row["region_id"]: row for row in rows_of(changed_home, "removed_pairs") if row["erased_hash"]}
    run_stages(changed_home, override_recipe(removal_recipe, ["removed_pairs.enabled=false"]), SHARDS, BRANCH)
    after = {row["region_id"]: row for row in rows_of(changed_home, "removed_pairs", images=True)}
    assert set(after) == set(before)
    for key, row in after.items():
        assert row["rejected_by"] == "upstream"
        assert row["erased_hash"] == before[key]["erased_hash"]
        assert row["erased_image"] is not None
    assert not any(row["kept"] for row in removal_samples(changed_home))


def test_a_model_that_is_missing_matters_only_when_it_is_used(
    own_home: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, drawn_models: Any
) -> None:
    def identity(self: Any, role: str) -> dict[str, Any]:
        if role == "inpainter":
            raise FileNotFoundError("no weights of the inpainter")
        return {**self.settings(role).identity(), "weights": role}

    monkeypatch.setattr(drawn_models, "identity", identity)
    ledger = Ledger(own_home.ledger)
    for enabled in (False, True):
        recipe = override_recipe(drawn_recipe, [f"removed_pairs.enabled={enabled}"])
        inputs = read_inputs(REMOVED_PAIRS, own_home, SHARDS[0])
        arguments = (REMOVED_PAIRS, SHARDS[0], inputs, recipe, ledger, drawn_models(recipe), "run-2")
        if enabled:
            with pytest.raises(FileNotFoundError, match="no weights of the inpainter"):
                materialize(*arguments)
        else:
            assert materialize(*arguments).rows == 0


def test_another_threshold_erases_nothing_again(changed_home: Home, removal_recipe: Recipe, drawn_models: Any) -> None:
    recipe = override_recipe(
        removal_recipe, ["removed_pairs.max_erased_similarity=0.5", "removed_pairs.max_regions=1"]
    )
    record = materialize(
        REMOVED_PAIRS,
        SHARDS[0],
        read_inputs(REMOVED_PAIRS, changed_home, SHARDS[0]),
        recipe,
        Ledger(changed_home.ledger),
        drawn_models(recipe),
        "run-2",
    )
    assert (record.changed, record.calls) == (True, {"erase": 0, "compare": 0})


def test_a_sample_is_led_back_through_its_own_branch(removal_home: Home, removal_recipe: Recipe) -> None:
    for sample in removal_samples(removal_home):
        root = lineage(removal_home, removal_recipe, sample["sample_id"])
        above = ["caption", "prompt_pairs", "image_pairs", "filtered_pairs", "bounding_boxes"]
        assert [node.table for node in nodes(root)] == [*above, *BRANCH]
        text = to_text(root)
        assert f"erased from the {sample['erased_from']} image, seed " in text
        assert "was there: something with an outline" in text


def test_a_sample_can_be_made_again(removal_home: Home, removal_recipe: Recipe, drawn_models: Any) -> None:
    sample = next(row for row in removal_samples(removal_home) if row["kept"])
    result = replay(removal_home, removal_recipe, sample["sample_id"], drawn_models)
    assert [f"{step.stage}.{step.measurement}" for step in result.steps if step.stage in BRANCH] == [
        "removed_pairs.erase",
        "removed_pairs.compare",
        "removal_captions.describe",
        "removal_captions.score",
        "fine_tune_set.converse",
    ]
    assert "captions" not in {step.stage for step in result.steps}
    assert (str(result.verdict), result.origins) == ("same", []), [s for s in result.steps if s.verdict]


def test_samples_of_images_erased_anew_are_stale(
    changed_home: Home, removal_recipe: Recipe, run_stages: Any, monkeypatch: pytest.MonkeyPatch, drawn_models: Any
) -> None:
    def paint(self: Any, images: Any, masks: Any, seeds: Any) -> list[Any]:
        return [np.where(mask[..., None], np.uint8(40), image) for image, mask in zip(images, masks, strict=True)]

    monkeypatch.setattr(type(drawn_models.artist), "erase", paint)
    run_stages(changed_home, override_recipe(removal_recipe, ["seed=1"]), SHARDS, ["removed_pairs"])
    with pytest.raises(StaleSample, match="is older than its images"):
        read_samples(Ledger(changed_home.ledger), SHARDS[0])
