"""What-if promises what a run would do: its verdicts are compared with those of real runs of the real stages."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import ingest, shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import REJECT, Review, add_review
from imgdiff_assets.recipe.recipe import Recipe, load_recipe, override_recipe
from imgdiff_assets.stages.graph import STAGES, stage_named
from imgdiff_assets.statistics.funnel import funnel
from imgdiff_assets.what_if.judgement import Judgement, StoredScores
from imgdiff_assets.what_if.what_if import notes_on_samples, what_if
from resources.miniature.scenes import OBJECTS, random_caption


def dice(*values: Any) -> random.Random:
    return random.Random(content_hash(*[str(value) for value in values]))


class Dice:
    """All roles at once: answers and scores by chance, the same for the same question."""

    def rewrite(self, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        answers = []
        for caption, seed in zip(captions, seeds, strict=True):
            chance = dice("rewrite", caption, seed % 3)
            old = next(name for name in OBJECTS if f" {name} " in caption)
            new = chance.choice([name for name in OBJECTS if name not in caption])
            answers.append(caption if chance.random() < 0.1 else caption.replace(old, new, 1))
        return answers

    def generate(self, sources: Sequence[str], targets: Sequence[str], seeds: Sequence[int]) -> tuple[Pixels, Pixels]:
        blocks = [np.random.default_rng(seed).integers(0, 256, (2, 4, 4, 3), np.uint8) for seed in seeds]
        pairs = np.stack(blocks, axis=1).repeat(4, axis=2).repeat(4, axis=3)
        return pairs[0], pairs[1]

    def encode_images(self, images: Sequence[Pixels]) -> np.ndarray:
        return self._vectors([image.mean() / 40 for image in images])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._vectors([dice("text", text).random() for text in texts])

    def _vectors(self, angles: Sequence[float]) -> np.ndarray:
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def match(self, images: Sequence[Pixels], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        pairs = list(zip(images, texts, strict=True))
        scores = [[dice(head, image.mean(), text).random() for image, text in pairs] for head in ("itc", "itm")]
        return np.array(scores[0], np.float32), np.array(scores[1], np.float32)

    def propose(self, images: Sequence[Pixels]) -> list[tuple[np.ndarray, np.ndarray]]:
        results = []
        for image in images:
            chance = dice("boxes", image.mean())
            corners = [[chance.randrange(0, 8), chance.randrange(0, 8)] for _ in range(chance.randrange(0, 5))]
            boxes = [[x, y, x + chance.randrange(1, 9), y + chance.randrange(1, 9)] for x, y in corners]
            results.append((np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32)))
        return results

    def erase(self, images: Sequence[Pixels], masks: Sequence[Any], seeds: Sequence[int]) -> list[Pixels]:
        return [
            np.where(mask[..., None], (image + seed % 97).astype(np.uint8), image)
            for image, mask, seed in zip(images, masks, seeds, strict=True)
        ]

    def answer(self, images: Sequence[Sequence[Pixels]], questions: Sequence[str]) -> list[str]:
        answers = []
        for group, question in zip(images, questions, strict=True):
            chance = dice("answer", question, *[image.mean() for image in group])
            words = [f"a {name}" for name in chance.sample(OBJECTS, 2)]
            if question.startswith("tell"):
                words = [chance.choice([words[0], question.split("/")[1]]), "and", question.split("/")[2]]
            answers.append(" ".join(words) if chance.random() < 0.95 else "")
        return answers


class ChanceModels(LoadedModels):
    def __init__(self, recipe: Recipe) -> None:
        roles = recipe.roles
        super().__init__(roles, dict.fromkeys(roles, Dice))

    def identity(self, role: str) -> dict[str, Any]:
        return {**self.settings(role).identity(), "weights": "chance"}

    def device(self, role: str) -> str:
        return "none"


RECIPE = load_recipe(
    "miniature",
    [
        "max_error_share=1",
        "prompt_pairs.attempts=2",
        "prompt_pairs.answer_pattern='(?P<caption>.+)'",
        "filtered_pairs.min_similarity=0.90",
        "filtered_pairs.max_similarity=0.9999",
        "bounding_boxes.max_region_similarity=0.95",
        "bounding_boxes.min_match=0.3",
        "bounding_boxes.match_score=itc",
        "bounding_boxes.match_rule=either",
        "bounding_boxes.min_area_fraction=0.02",
        "bounding_boxes.max_area_fraction=0.6",
        "bounding_boxes.max_overlap=0.4",
        "bounding_boxes.max_boxes=3",
        "captions.region_question='what is it ?'",
        "captions.difference_question='tell/{source_caption}/{target_caption}'",
        "captions.max_caption_similarity=0.97",
        "captions.min_match=0.2",
        "captions.min_agreement=0.6",
        "removed_pairs.min_area_fraction=0.03",
        "removed_pairs.max_area_fraction=0.5",
        "removed_pairs.max_candidates=3",
        "removed_pairs.max_erased_similarity=0.9",
        "removed_pairs.max_regions=1",
        "removal_captions.region_question='what was here ?'",
        "removal_captions.min_original_match=0.4",
        "removal_captions.max_erased_match=0.4",
    ],
)


def run(home: Home, recipe: Recipe) -> None:
    for shard in shard_keys(home):
        for stage in STAGES:
            inputs = read_inputs(stage, home, shard)
            materialize(stage, shard, inputs, recipe, Ledger(home.ledger), ChanceModels(recipe), "run")


@pytest.fixture(scope="module")
def chance_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two shards of sixty captions in all, judged by RECIPE; of every three samples reviewers rejected one."""
    root = tmp_path_factory.mktemp("chance")
    chance = random.Random(5)
    captions = list(dict.fromkeys(random_caption(chance) for _ in range(60)))
    (root / "captions.txt").write_text("\n".join(captions), encoding="utf-8")
    home = Home(root / "home")
    ingest([root / "captions.txt"], home, shard_size=35)
    run(home, RECIPE)
    samples = [
        (shard, row)
        for shard in shard_keys(home)
        for row in Ledger(home.ledger).read("fine_tune_set", shard)["sample_id"].to_pylist()
    ]
    for shard, sample_id in samples[::3]:
        add_review(home, Review(sample_id, shard, "Ann", REJECT))
    run(home, RECIPE)
    return home


def rows_of(home: Home, asset: str) -> dict[str, dict[str, Any]]:
    """All rows by id."""
    stage = stage_named(asset)
    ledger = Ledger(home.ledger)
    tables = [ledger.read(asset, shard, stage.schema).to_pylist() for shard in ledger.shards(asset)]
    return {row[stage.id_column]: row for table in tables for row in table}


def verdicts(judgement: Judgement) -> dict[str, str | None]:
    """The new verdicts by id, as the table would have them; undecided and removed rows are named so."""
    names = [None, "upstream", "undecided", "gone", *judgement.stored.reasons]
    return dict(zip(judgement.stored.ids.to_pylist(), [names[fate] for fate in judgement.fates], strict=True))


def test_the_present_is_as_stored(chance_home: Home) -> None:
    scores = StoredScores(chance_home, shard_keys(chance_home))
    stages = funnel(Ledger(chance_home.ledger)).stages
    assert [judgement.funnel() for judgement in scores.present()] == list(stages)
    assert [judgement.funnel() for judgement in scores.judge(RECIPE)] == list(stages)
    for stage in stages:
        assert stage.kept > 0
        reasons = 1 if stage.stage == "fine_tune_set" else min(2, len(stage.rejected))
        assert sum(count > 0 for count in stage.rejected.values()) >= reasons, stage


OVERRIDES = st.lists(
    st.one_of(
        st.floats(0.3, 0.999).map("filtered_pairs.min_similarity={:.4f}".format),
        st.floats(0.9991, 1).map("filtered_pairs.max_similarity={:.4f}".format),
        st.floats(0, 0.3).map("bounding_boxes.min_area_fraction={:.4f}".format),
        st.floats(0.3, 1).map("bounding_boxes.max_area_fraction={:.4f}".format),
        st.floats(0.3, 1).map("bounding_boxes.max_region_similarity={:.4f}".format),
        st.floats(0, 1).map("bounding_boxes.min_match={:.4f}".format),
        st.sampled_from(["itc", "itm"]).map("bounding_boxes.match_score={}".format),
        st.sampled_from(["both", "either"]).map("bounding_boxes.match_rule={}".format),
        st.floats(0, 1).map("bounding_boxes.max_overlap={:.4f}".format),
        st.integers(1, 5).map("bounding_boxes.max_boxes={}".format),
        st.floats(0.5, 1).map("captions.max_caption_similarity={:.4f}".format),
        st.floats(0, 1).map("removed_pairs.max_erased_similarity={:.4f}".format),
        st.integers(1, 4).map("removed_pairs.max_candidates={}".format),
        st.integers(1, 3).map("removed_pairs.max_regions={}".format),
        st.just("removed_pairs.enabled=false"),
        st.floats(0.4, 1).map("removal_captions.min_original_match={:.4f}".format),
        st.floats(0, 1).map("captions.min_match={:.4f}".format),
        st.floats(0, 1).map("captions.min_agreement={:.4f}".format),
        st.integers(1, 3).map("prompt_pairs.attempts={}".format),
        st.integers(5, 12).map("prompt_pairs.max_words={}".format),
        st.integers(1, 2).map("bounding_boxes.crop_padding={}".format),
        st.just("captions.region_question='and what is it ?'"),
        st.integers(0, 1).map("seed={}".format),
        st.just("image_text_encoder.dtype=bfloat16"),
        st.just("fine_tune_set.validation_fraction=0.5"),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda override: override.partition("=")[0],
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=OVERRIDES, then=OVERRIDES)
def test_a_run_does_what_was_foretold(
    chance_home: Home, tmp_path_factory: pytest.TempPathFactory, first: list[str], then: list[str]
) -> None:
    home = Home(tmp_path_factory.mktemp("copy") / "home")
    shutil.copytree(chance_home.root, home.root)
    run(home, override_recipe(RECIPE, first))
    recipe = override_recipe(RECIPE, then)
    foretold = StoredScores(home, shard_keys(home)).judge(recipe)
    run(home, recipe)
    if not any(judgement.undecided for judgement in foretold):
        assert [judgement.funnel() for judgement in foretold] == list(funnel(Ledger(home.ledger)).stages)
    for judgement in foretold:
        stored = judgement.stored
        rows = rows_of(home, stored.stage.name)
        settled = dict(zip(stored.ids.to_pylist(), ~judgement.unsettled, strict=True))
        for identity, verdict in verdicts(judgement).items():
            if verdict == "gone":
                assert identity not in rows
            elif verdict != "undecided" and settled[identity]:
                assert rows[identity]["rejected_by"] == verdict
        parents = {stored.stage.row_above(row)[1] for row in rows.values()}
        assert parents.issuperset(judgement.added_kept)


def test_what_is_not_exact_of_several_tasks_is_said(task_home: Home, task_recipe: Recipe) -> None:
    def notes(override: str) -> list[str]:
        return what_if(task_home, override_recipe(task_recipe, [override]), shard_keys(task_home)).notes

    assert notes("captions.min_match=0.6") == []
    (note,) = notes("filtered_pairs.max_similarity=0.75")
    assert "about a whole pair" in note
    *before, samples = StoredScores(task_home, shard_keys(task_home)).judge(task_recipe)
    assert notes_on_samples([*before, samples], task_recipe) == []
    (note,) = notes_on_samples([*before, replace(samples, added_kept=["0123456789abcdef"])], task_recipe)
    assert "a new region counts as one sample" in note
