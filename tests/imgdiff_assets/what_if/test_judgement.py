"""What-if promises what a run would do: its verdicts are compared with those of real runs of the real stages."""

import random
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine.loaded_models import LoadedModels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import REJECT, Review, add_review
from imgdiff_assets.method.caption_edit import words
from imgdiff_assets.method.tasks import OURS
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.mistakes import RecipeError
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.statistics.funnel import funnel
from imgdiff_assets.what_if.judgement import Judgement, StoredScores
from resources.miniature.scenes import OBJECTS, random_caption
from tests.every_setting import overrides


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
                left, right = chance.choice([words[0], question.split("/")[1]]), question.split("/")[2]
                words = ["the left image shows", left, "and the right image shows", right]
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


def _captions() -> list[str]:
    chance = random.Random(5)
    return list(dict.fromkeys(random_caption(chance) for _ in range(60)))


CAPTIONS = _captions()
ONE_TASK = "fine_tune_set.tasks=[difference]"
RECIPE = load_recipe(
    "miniature",
    [
        "max_error_share=1",
        "prompt_pairs.attempts=2",
        "prompt_pairs.keep_attempts=2",
        f"prompt_pairs.known_words={sorted({word for caption in CAPTIONS for word in words(caption)})}",
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
        f"fine_tune_set.tasks={list(OURS)}",
        "fine_tune_set.validation_fraction=0.3",
        "fine_tune_set.min_validation_bits=20",
        "fine_tune_set.max_validation_similarity=1.01",
    ],
)


def run(home: Home, recipe: Recipe) -> None:
    for shard in shard_keys(home):
        for stage in STAGES:
            inputs = read_inputs(stage, home, shard)
            materialize(stage, shard, inputs, recipe, Ledger(home.ledger), ChanceModels(recipe), "run")


@pytest.fixture(scope="module")
def chance_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two shards of sixty captions in all, judged by RECIPE; of every seven samples reviewers rejected one."""
    root = tmp_path_factory.mktemp("chance")
    (root / "captions.txt").write_text("\n".join(CAPTIONS), encoding="utf-8")
    home = Home(root / "home")
    ingest([root / "captions.txt"], home, shard_size=35)
    run(home, RECIPE)
    samples = [
        (shard, row)
        for shard in shard_keys(home)
        for row in Ledger(home.ledger).read("fine_tune_set", shard)["sample_id"].to_pylist()
    ]
    for shard, sample_id in samples[::7]:
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


def common(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Those of stages that every recipe has."""
    names = {stage.name for stage in STAGES}
    return [judgement for judgement in judgements if judgement.stored.stage.name in names]


def test_the_present_is_as_stored(chance_home: Home) -> None:
    scores = StoredScores(chance_home, shard_keys(chance_home))
    stages = funnel(Ledger(chance_home.ledger)).stages
    assert [judgement.funnel() for judgement in common(scores.present())] == list(stages)
    assert [judgement.funnel() for judgement in common(scores.judge(RECIPE))] == list(stages)
    for stage in stages:
        assert stage.kept > 0
        reasons = 1 if stage.stage == "fine_tune_set" else min(2, len(stage.rejected))
        assert sum(count > 0 for count in stage.rejected.values()) >= reasons, stage


BEYOND_STAGES = st.sampled_from([["seed=1"], ["image_text_encoder.dtype=bfloat16"]])
CHANGES = st.one_of(overrides(RECIPE), overrides(RECIPE), BEYOND_STAGES)
MARGIN = "fine_tune_set.min_match_margin=0.5"
TASKS = st.sampled_from([[], [ONE_TASK]])


def changed(changes: Sequence[str]) -> Recipe:
    """RECIPE with these changes, if they go together."""
    try:
        return override_recipe(RECIPE, changes)
    except RecipeError:
        assume(False)
        raise


def copy_of(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    copy = Home(tmp_path_factory.mktemp("copy") / "home")
    shutil.copytree(home.root, copy.root)
    return copy


def told_wrongly(home: Home, foretold: Sequence[Judgement]) -> list[str]:
    """Where the tables are not what was foretold of them; what was said not to be known cannot be wrong."""
    wrong = []
    for judgement in foretold:
        stored = judgement.stored
        name = stored.stage.name
        rows = rows_of(home, name)
        settled = dict(zip(stored.ids.to_pylist(), ~judgement.unsettled, strict=True))
        for identity, verdict in verdicts(judgement).items():
            found = rows[identity]["rejected_by"] if identity in rows else "gone"
            if verdict != "undecided" and settled[identity] and found != verdict:
                wrong.append(f"{name} {identity}: {verdict} was foretold, {found} it is")
        parents = {stored.stage.row_above(row)[1] for row in rows.values()}
        wrong += [f"{name}: nothing was made of {identity}" for identity in set(judgement.added_kept) - parents]
    if not any(judgement.undecided or judgement.unsettled.any() for judgement in foretold):
        counted = zip(common(foretold), funnel(Ledger(home.ledger)).stages, strict=True)
        wrong += [f"{told.funnel()} was foretold, {found} it is" for told, found in counted if told.funnel() != found]
    return wrong


def check(chance_home: Home, tmp_path_factory: pytest.TempPathFactory, first: list[str], then: list[str]) -> None:
    """Run one recipe, ask what another would do, and run that."""
    before, after = changed(first), changed(then)
    home = copy_of(chance_home, tmp_path_factory)
    run(home, before)
    foretold = StoredScores(home, shard_keys(home)).judge(after)
    run(home, after)
    assert told_wrongly(home, foretold) == []
    shutil.rmtree(home.root)


def slowly(*changes: tuple[list[str], list[str]]) -> list[Any]:
    return [pytest.param(*change, marks=pytest.mark.slow) for change in changes]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([MARGIN], [MARGIN, "removal_captions.match_score=itm"]),
        (["filtered_pairs.max_similarity=0.99"], []),
        ([], ["prompt_pairs.attempts=3", "prompt_pairs.keep_attempts=1"]),
        ([], ["captions.difference_question='{source_caption}/{target_caption}'", "captions.min_match=0.5"]),
        ([], ["fine_tune_set.tasks=[grounding]"]),
        *slowly(
            ([], ["captions.match_score=itm"]),
            ([], ["filtered_pairs.max_similarity=0.99"]),
            ([], ["captions.min_match=0.5"]),
            ([], ["prompt_pairs.attempts=1"]),
            ([], ["prompt_pairs.answer_pattern='(?P<caption>.+) ?'", "prompt_pairs.max_words=7"]),
        ),
    ],
)
def test_what_depends_on_more_than_its_row_is_not_guessed(
    chance_home: Home, tmp_path_factory: pytest.TempPathFactory, first: list[str], then: list[str]
) -> None:
    check(chance_home, tmp_path_factory, first, then)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=TASKS, first=CHANGES, then=CHANGES)
def test_a_run_does_what_was_foretold(
    chance_home: Home, tmp_path_factory: pytest.TempPathFactory, tasks: list[str], first: list[str], then: list[str]
) -> None:
    check(chance_home, tmp_path_factory, [*tasks, *first], [*tasks, *then])


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tasks=TASKS, first=CHANGES, then=CHANGES)
def test_a_run_does_what_was_foretold_of_many_changes(
    chance_home: Home, tmp_path_factory: pytest.TempPathFactory, tasks: list[str], first: list[str], then: list[str]
) -> None:
    check(chance_home, tmp_path_factory, [*tasks, *first], [*tasks, *then])


ABOVE = ("prompt_pairs.max_words=9", "filtered_pairs.min_similarity=0.91", "bounding_boxes.max_boxes=2")
BELOW = ("captions.min_agreement=0.3", "fine_tune_set.min_validation_bits=30")


def test_thresholds_are_exact(chance_home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every row is told, and counted: of those that leave, and of those that come back."""
    one_task = [ONE_TASK, "removed_pairs.enabled=false", "captions.min_agreement=0"]
    home = copy_of(chance_home, tmp_path_factory)
    run(home, changed(one_task))
    kept = []
    for changes in ([], [*ABOVE, *BELOW], [*ABOVE, BELOW[0]]):
        recipe = changed([*one_task, *changes])
        foretold = StoredScores(home, shard_keys(home)).judge(recipe)
        unknown = {one.stored.stage.name: (one.undecided, int(one.unsettled.sum())) for one in foretold}
        assert set(unknown.values()) == {(0, 0)}, unknown
        run(home, recipe)
        assert told_wrongly(home, foretold) == []
        kept.append({one.stored.stage.name: one.kept for one in foretold})
    for change in (*ABOVE, *BELOW):
        assert kept[1][change.partition(".")[0]] < kept[0][change.partition(".")[0]]
    assert kept[1]["fine_tune_set"] < kept[2]["fine_tune_set"]
