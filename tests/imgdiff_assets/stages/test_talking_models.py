"""The whole graph over a rewriter and a captioner that talk as real models do: every conversation reads well.

They are asked over HTTP, as a server would be; the pictures beneath are drawn.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.export.exporting import export
from imgdiff_assets.export.formats import formats
from imgdiff_assets.export.options import Options
from imgdiff_assets.export.view import views
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.method.language import language_named
from imgdiff_assets.method.reading_faults import reading_faults
from imgdiff_assets.method.tasks import OURS
from imgdiff_assets.reading.samples import SampleImages, read_samples
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.statistics.sample_checks import STATED, unreadable, violations
from resources.chat_server import ServedCaptioner, ServedPromptRewriter
from tests.answering_server import MODEL, answering
from tests.imgdiff_assets.conftest import OVERRIDES, Artist, DrawnModels
from tests.talking_models import REGION_QUESTION, SCENES, answer

SHARD = "shard-000000"
ENGLISH = language_named("english")
TALK = ("sure", "certainly", "image shows", "we can see", "i see", "object:", "close-up", "main subject", "focus")
TALK += ("think", "answer is", "caption", "sorry", "blurry", "nothing", "lovely", "what is it", "no difference")
"""What is said around what is meant."""
SETTINGS = [
    "image_pairs.method=prompt_to_prompt",
    *(
        text
        for text in OVERRIDES
        if not re.match(r"prompt_pairs\.answer|removed_pairs\.enabled|.*_question=|captions\.m", text)
    ),
    f"captions.region_question='{REGION_QUESTION}'",
    "captions.difference_question='In the red box, left: {source_caption} right: {target_caption}'",
    "captions.min_agreement=0.5",
    "captions.max_caption_similarity=0.99",
    "removed_pairs.enabled=true",
    f"fine_tune_set.tasks={list(OURS)}",
    "fine_tune_set.min_match_margin=-1",
    "fine_tune_set.min_same_similarity=0.9",
    "fine_tune_set.min_validation_bits=0",
    "fine_tune_set.max_validation_similarity=1.01",
]


class Eyes(Artist):
    """Draws a few pairs again and again, and sees in a crop whether there is anything, whatever it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = [self._pair("a red ball on the grass", "a red cup on the grass", seed) for seed in range(4)]

    def generate(self, sources: Any, targets: Any, seeds: Any) -> tuple[Pixels, Pixels]:
        first, second = zip(*(self.pairs[seed % 4] for seed in seeds), strict=True)
        return np.stack(first), np.stack(second)

    def match(self, images: Any, texts: Any) -> tuple[np.ndarray, np.ndarray]:
        scores = np.array([0.1 + 0.8 * (image.max(axis=2) < 60).any() for image in images], np.float32)
        return scores, scores


@pytest.fixture(scope="module")
def talked_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root = tmp_path_factory.mktemp("talked")
    (root / "captions.txt").write_text("\n".join(scene.caption for scene in SCENES) + "\n", encoding="utf-8")
    home = Home(root / "home")
    ingest([root / "captions.txt"], home)
    with answering(answer) as (base_url, _):
        served = [
            f"{role}.{key}={value}"
            for role in ("prompt_rewriter", "captioner")
            for key, value in (("model", MODEL), ("base_url", base_url), ("max_retries", 0))
        ]
        recipe = load_recipe("modern", [*SETTINGS, *served])
        eyes = Eyes()
        players = dict.fromkeys(recipe.roles, eyes)
        players |= {
            "prompt_rewriter": ServedPromptRewriter(recipe.models.prompt_rewriter),
            "captioner": ServedCaptioner(recipe.models.captioner),
        }
        for stage in STAGES:
            inputs = read_inputs(stage, home, SHARD)
            materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), DrawnModels(recipe, **players), "run")
    return home


def kept(home: Home, asset: str = "fine_tune_set") -> list[dict[str, Any]]:
    return [row for row in Ledger(home.ledger).read(asset, SHARD).to_pylist() if row["kept"]]


def test_every_conversation_reads_well(talked_home: Home) -> None:
    ledger = Ledger(talked_home.ledger)
    assert violations(ledger, SHARD) == []
    assert unreadable(ledger, SHARD) == []
    samples = read_samples(ledger, SHARD)
    tasks = Counter(sample.task for sample in samples)
    assert tasks.keys() == OURS.keys()
    assert len(samples) > 100
    assert [sample for sample in samples if sample.erased_from]
    images = SampleImages(ledger, SHARD)
    for options in (Options(), Options(boxes=False), Options(single=True), Options(boxes=False, single=True)):
        for view in views(SHARD, samples, images, options):
            stated = view.sample.task in STATED
            assert reading_faults(view.question, view.answer, None, stated, ENGLISH) == []
            assert ("red box" in view.question) == (options.boxes and OURS[view.sample.task].marked)
            text = f"{view.question} {view.answer}".lower()
            assert not [talk for talk in TALK if talk in text]
    images.close()


def test_what_was_meant_is_what_is_asked_and_answered(talked_home: Home) -> None:
    named = {name for scene in SCENES for name in scene.seen}
    edits = {scene.edit for scene in SCENES}
    pairs = {row["pair_id"]: row["source_caption"] for row in kept(talked_home, "prompt_pairs")}
    scenes = {scene.caption: scene for scene in SCENES}
    for row in kept(talked_home):
        scene = scenes[pairs[row["pair_id"]]]
        if row["task"] == "which_image":
            assert row["subject"] in (named if row["erased_from"] else scene.seen)
        elif row["task"] == "grounding":
            assert all(name in row["subject"] for name in scene.seen)
        elif row["task"] == "difference":
            assert all(name.lower() in row["answer"].lower() for name in scene.seen)
            assert len(row["answer"]) < 300
        elif row["task"] == "edit_instruction" and row["first"] == "source":
            assert row["answer"] in edits
            assert row["answer"] == scene.edit


def test_what_says_nothing_is_rejected_for_a_reason_of_its_own(talked_home: Home) -> None:
    ledger = Ledger(talked_home.ledger)
    reasons = {
        asset: Counter(row["rejected_by"] for row in ledger.read(asset, SHARD).to_pylist())
        for asset in ("prompt_pairs", "captions", "removal_captions")
    }
    assert reasons["prompt_pairs"].keys() == {None, "no_answer", "cut_off", "several_objects"}
    assert reasons["captions"].keys() == {
        None,
        "nothing_named",
        "nothing_told",
        "difference_disagrees",
        "error:no_answer",
    }
    assert reasons["removal_captions"].keys() <= {None, "nothing_named", "error:no_answer"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", "swift", "sharegpt"])
@pytest.mark.parametrize("options", [Options(), Options(boxes=False, single=True)], ids=["boxes", "clean"])
def test_what_trainers_read_has_an_image_for_each_token(
    talked_home: Home, tmp_path: Path, name: str, options: Options
) -> None:
    export(Ledger(talked_home.ledger), [SHARD], formats()[name], tmp_path / "out", options, lambda *told: None)
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((tmp_path / "out").glob("*.json*")))
    samples = len(read_samples(Ledger(talked_home.ledger), SHARD))
    assert text.count("<image>") == samples * (1 if options.single else 2)
    assert not re.search(r"<\||\|>|</?s>|\[/?INST\]", text)
