"""The benchmark's ways of measuring, and that what it compares does the same work."""

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from benchmarks import quality
from benchmarks.speed import __main__ as command
from benchmarks.speed import boxes, pairs, peer, questions, regions, stages, timing
from benchmarks.speed.__main__ import main
from benchmarks.speed.random_models import SMALL, save_captioner
from benchmarks.speed.whole import Load, measure, save_models
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.captioner import Captioner, CaptionerSettings
from resources.miniature.scenes import OBJECTS
from resources.segmenter import SegmenterSettings, load_sam

# SDXL's scheduler hands a tensor to numpy in a way that numpy is about to drop.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    sam = json.loads(json.dumps(SMALL.sam))
    sam["image_encoder"] |= {"img_size": 64, "depth": 1, "global_attn_indexes": [0]}
    sam["prompt_encoder"] |= {"image_embedding_size": [4, 4], "input_image_size": [64, 64]}
    return save_models(tmp_path_factory.mktemp("models"), dataclasses.replace(SMALL, sam=sam))


def test_what_is_compared_takes_turns() -> None:
    order: list[str] = []
    times = timing.take_turns({"one": lambda: order.append("one"), "two": lambda: order.append("two")}, rounds=2)
    assert order == ["two", "one", "one", "two", "two", "one"]
    assert [len(seconds) for seconds in times.values()] == [2, 2]


def test_ratios_are_taken_turn_by_turn() -> None:
    figure = timing.ratio("one / two", [2.0, 30.0, 8.0], [1.0, 10.0, 1.0], goal="≥ 2")
    assert (figure.value, figure.spread) == (3.0, (2.0, 8.0))


def test_peak_memory_is_what_a_call_needs_on_top() -> None:
    kept = np.ones(50 * 2**20, np.uint8)
    assert timing.peak_memory(lambda: np.ones(100 * 2**20, np.uint8).sum()) == pytest.approx(100, abs=15)
    assert kept.all()


def test_all_ways_to_make_a_pair_make_the_same(models: dict[str, Path]) -> None:
    ways = pairs.Pairs(models["pair_generator"], latent_side=8, steps=3, dtype="float32")
    stock, fused, maps = ways.stock(), ways.fused(), ways.materialised()
    torch.testing.assert_close(fused, maps, atol=1e-3, rtol=1e-4)
    assert torch.equal(fused[0], stock[0])
    assert (fused[1] - stock[1]).abs().max() > 0.01


def test_compiled_blocks_make_the_same(models: dict[str, Path]) -> None:
    torch.compiler.set_default_backend("eager")  # captured as ever; kernels would take half a minute
    try:
        gain, once = pairs.measure_compiled(models["pair_generator"], 8, 1, 1, "float32")
    finally:
        torch.compiler.set_default_backend(None)
        torch.compiler.reset()
    assert gain.value > 0 < once.value
    assert float(gain.note.split()[-1]) < 1e-4


def test_boxes_are_compared_with_those_of_the_library(models: dict[str, Path]) -> None:
    images = [scene.image for pair in quality.draw_pairs(2, seed=0) for scene in pair.scenes]
    for ratio, spent, *_ in (
        boxes.measure_trained(images, 1),
        boxes.measure_random(models["segmenter"], images[:1], 3, 0.5, "float32", 1),
    ):
        same, _, found = ratio.note.split()[:3]
        assert int(same) == int(found) >= 3
        assert ratio.value > 0 < spent.value


def test_the_library_has_as_many_points_at_once_as_it_is_fastest_with(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SegmenterSettings(model=str(models["segmenter"]), points_per_side=4)
    ticks = itertools.chain.from_iterable((0.0, spent) for spent in (3.0, 1.0, 2.0, 4.0))  # with 1, 4, 8 and 16
    monkeypatch.setattr(boxes, "clock", lambda: next(ticks))
    generator = boxes._tuned(load_sam(models["segmenter"]), settings, np.zeros((64, 64, 3), np.uint8))
    assert (generator.points_per_batch, generator.output_mode) == (4, "uncompressed_rle")


def test_regions_are_scored_either_way(tmp_path: Path) -> None:
    drawn = [
        (pair.scenes[0].image, pair.scenes[1].image, pair.boxes[0], pair.claim) for pair in quality.draw_pairs(6, 0)
    ]
    scoring = regions.Scoring("miniature:image_text_encoder", "miniature:image_text_matcher", "float32", 0.5)
    assert scoring.in_batches(drawn) == scoring.one_by_one(drawn, tmp_path) == 3
    assert not list(tmp_path.iterdir())


def test_a_turn_computes_what_an_earlier_turn_computed(tmp_path: Path) -> None:
    drawn = regions.of_drawn(quality.draw_pairs(3, seed=0), 64)
    scoring = regions.Scoring("miniature:image_text_encoder", "miniature:image_text_matcher", "float32", 0.5)
    seen: list[int] = []
    scoring.matcher._model.vision_model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    scoring.encoder.towers.model.visual.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    for way in (lambda: scoring.in_batches(drawn), lambda: scoring.one_by_one(drawn, tmp_path)):
        turns = []
        for _ in range(2):
            seen.clear()
            way()
            turns.append(list(seen))
        assert turns[0] == turns[1] != []


def test_a_stage_computes_what_an_earlier_turn_computed(tmp_path: Path) -> None:
    work = dataclasses.replace(stages.WORKS["miniature"], pairs=3)
    recipe = load_recipe("miniature", work.overrides({"captioner": tmp_path}))
    drawn = stages.draw_pairs(work.pairs)
    found = stages.propose_and_enlarge(recipe, drawn, work.enlarged)
    home = stages.Home(tmp_path / "home")
    quality.write_parents(home, drawn)
    loaded = stages.with_given_proposals(recipe, found)
    stages._materialise(stages.AREA_STAGES, home, recipe, loaded)
    seen: list[int] = []
    hooks = [
        part.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
        for part in (
            loaded.open("image_text_matcher")._model.vision_model,
            loaded.open("image_text_encoder").towers.model.visual,
        )
    ]
    turns = []
    for _ in range(2):
        seen.clear()
        stages._materialise(stages.AREA_STAGES, home, recipe, loaded)
        turns.append(list(seen))
    for hook in hooks:
        hook.remove()
    assert turns[0] == turns[1] != []


def test_questions_are_answered_alike_either_way(models: dict[str, Path]) -> None:
    figure, _ = questions.measure("small", models["captioner"], 2, 2, "float32", 1)
    assert figure.note.startswith("4 of 4 answers the same")
    assert figure.value > 0


def test_the_other_side_is_given_the_same_weights_boxes_and_nouns(models: dict[str, Path], tmp_path: Path) -> None:
    work = dataclasses.replace(stages.WORKS["miniature"], pairs=3)
    recipe = load_recipe("miniature", work.overrides(models))
    drawn = stages.draw_pairs(work.pairs)
    assert not any(" " in name for pair in drawn for name in pair.claim if name)
    found = stages.propose_and_enlarge(recipe, drawn, work.enlarged)
    home = stages.Home(tmp_path / "home")
    ids = quality.write_parents(home, drawn)
    loaded = stages.with_given_proposals(recipe, found)
    stages._materialise(stages.AREA_STAGES, home, recipe, loaded)
    by_id = dict(zip(ids, drawn, strict=True))
    job = json.loads(stages._job(tmp_path, home, recipe, by_id, found, work).read_text(encoding="utf-8"))
    rows = stages.Ledger(home.ledger).read("bounding_boxes", quality.SHARD)
    assert sum(len(boxes) for boxes in job["proposals"].values()) == len(rows)
    assert sum(len(pair["boxes"]) for pair in job["pairs"]) == sum(rows["kept"].to_pylist()) > 0
    assert {name for name in OBJECTS if " " not in name} <= set(job["nouns"])
    x, y, width, height = next(iter(job["proposals"].values()))[0]
    assert 0 <= x - width / 2 < x + width / 2 <= work.side
    assert 0 <= y - height / 2 < y + height / 2 <= work.side
    for role in ("encoder", "matcher", "captioner"):
        theirs = load_file(Path(job["models"][role]) / "model.safetensors")
        assert {tensor.dtype for tensor in theirs.values() if tensor.is_floating_point()} == {torch.float32}, role


def test_questions_are_as_long_as_theirs() -> None:
    captions = load_recipe("miniature", stages.OVERRIDES).captions
    assert len(captions.region_question.format(**stages.CORNERS)) == peer.REGION_PROMPT
    asked = captions.difference_question.format(source_caption="", target_caption="")
    assert len(asked) == peer.DIFFERENCE_PROMPT


def test_limits_leave_random_scores_the_shares_that_they_should(models: dict[str, Path], tmp_path: Path) -> None:
    work = dataclasses.replace(stages.WORKS["small"], pairs=2)
    recipe = load_recipe("miniature", work.overrides(models))
    drawn = stages.draw_pairs(work.pairs)
    found = stages.propose_and_enlarge(recipe, drawn, work.enlarged, work.drawn)
    home = stages.Home(tmp_path / "home")
    quality.write_parents(home, drawn)
    loaded = stages.with_given_proposals(recipe, found)
    limited = stages._with_shares_left(recipe, home, loaded)
    stages._materialise(stages.AREA_STAGES, home, limited, loaded)
    rows = stages.Ledger(home.ledger).read("bounding_boxes", quality.SHARD).to_pylist()
    matched = [row for row in rows if row["rejected_by"] != "same_content"]
    assert len(matched) / len(rows) == pytest.approx(stages.DIFFERENT, abs=1 / len(rows))
    assert 0 < sum(row["rejected_by"] == "object_not_seen" for row in matched) < len(matched)
    assert len(rows) == 2 * work.drawn * work.pairs
    assert sum(row["kept"] for row in rows) == stages.SEEN * len(rows), "3 a pair, as published"
    largest = max((row["x2"] - row["x1"]) * (row["y2"] - row["y1"]) for row in rows)
    assert largest < work.side**2 / 10, "their caption operator leaves out larger ones"


@pytest.fixture
def _as_many_threads_after() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_as_many_threads_after")
def test_what_has_been_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    def figures(section: str, size: str, *_: object) -> list[timing.Figure]:
        asked.append((section, size, torch.get_num_threads()))
        if asked[-1] == ("boxes", "small", 1):
            raise KeyboardInterrupt
        return [timing.Figure("what", 1.0)]

    monkeypatch.setattr(command, "_figures", figures)
    arguments = ["boxes", "questions", "--size", "miniature", "--size", "small", "--json", str(tmp_path / "f.json")]
    CliRunner().invoke(main, arguments)
    asked.clear()
    done = CliRunner().invoke(main, [*arguments, "--threads", "2"])
    assert done.exit_code == 0, done.output
    assert asked == [("boxes", "miniature", 2), ("boxes", "small", 2), ("questions", "", 2)]
    asked.clear()
    CliRunner().invoke(main, arguments)
    assert asked == [("boxes", "small", 1)], "it was cut off there"


def test_random_answers_are_of_one_length(tmp_path: Path) -> None:
    save_captioner(tmp_path / "captioner", SMALL)
    captioner = Captioner(CaptionerSettings(model=str(tmp_path / "captioner"), max_new_tokens=7))
    shown = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    answers = captioner.answer([[shown], [shown]], ["What is left?", "And what is right of it, if anything?"])
    assert [len(answer) for answer in answers] == [7, 7]
    assert "".join(answers).isalpha()


def test_the_whole_work_on_a_pair_is_measured(models: dict[str, Path]) -> None:
    load = Load(image_size=64, steps=1, points_per_side=2, compared=2, matched=1, captioned=1, answer_tokens=2)
    figures = measure(models, 1, load, "float32")
    assert [one.what.partition(",")[0] for one in figures[:4]] == [
        "image_pairs",
        "filtered_pairs",
        "bounding_boxes",
        "captions",
    ]
    whole = sum(one.value for one in figures[:4])
    assert figures[4].value == pytest.approx(1 / whole)
    assert (
        figures[4].note.removeprefix("bounded by ") == max(figures[:4], key=lambda one: one.value).what.split(",")[0]
    )
    assert figures[5].value == pytest.approx(whole / 13.2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_full_size_needs_a_gpu() -> None:
    result = CliRunner().invoke(main, ["--full-size"])
    assert result.exit_code == 1
    assert "--full-size needs a GPU" in result.output
