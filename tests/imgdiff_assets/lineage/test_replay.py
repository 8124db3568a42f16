"""Replay on a real ledger: real stages, real weights, made by Dagster; then what it is made of is changed."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.engine.materialize import materialize
from imgdiff_assets.engine.parents import read_inputs
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.checked_file import DamagedTable
from imgdiff_assets.ledger.compaction import keep_rows, sweep
from imgdiff_assets.ledger.images import decode, encode_png
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.lineage.compare import Comparison, Verdict
from imgdiff_assets.lineage.lineage import LineageError
from imgdiff_assets.lineage.replay import Replay, ReplayError, replay, shared_models
from imgdiff_assets.lineage.replay_text import to_text
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.recipe.recorded_recipe import UnknownOrigin
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named
from imgdiff_assets.stages.steps import Measurement
from resources.loading import weights

SHARD = "shard-000000"
COMMON_STAGES = ("prompt_pairs", "image_pairs", "filtered_pairs", "bounding_boxes", "fine_tune_set")
MEASUREMENTS = [(stage.name, step.name) for stage in STAGES for step in stage.measurements]


@pytest.fixture
def home(miniature_home: Home, tmp_path: Path) -> Home:
    """A copy that a test may change."""
    return Home(Path(shutil.copytree(miniature_home.root, tmp_path / "home")))


def rows(home: Home, asset: str) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = Ledger(home.ledger).read(asset, SHARD).to_pylist()
    return table


def sample_id(home: Home) -> str:
    return next(str(row["sample_id"]) for row in rows(home, "fine_tune_set") if row["kept"])


def change_record(home: Home, asset: str, **values: Any) -> None:
    """The table again, with a record in which some values are others."""
    ledger = Ledger(home.ledger)
    record = ledger.record(asset, SHARD)
    assert record is not None
    table = ledger.read(asset, SHARD, images=True)
    ledger.commit(asset, SHARD, table.schema, table, [], {**record, **values})


def change_image(home: Home, change: Callable[[bytes], bytes]) -> None:
    """Other bytes in the source image of the pair that the sample is of; the record and the hashes stay."""
    ledger = Ledger(home.ledger)
    table = ledger.read("image_pairs", SHARD, images=True)
    pair = next(row["pair_id"] for row in rows(home, "fine_tune_set") if row["sample_id"] == sample_id(home))
    images = table["source_image"].to_pylist()
    number = table["pair_id"].to_pylist().index(pair)
    images[number]["bytes"] = change(images[number]["bytes"])
    position = table.schema.get_field_index("source_image")
    table = table.set_column(position, table.schema.field(position), [images])
    record = ledger.record("image_pairs", SHARD)
    assert record is not None
    ledger.commit("image_pairs", SHARD, table.schema, table, [], record)


def differing(result: Replay) -> dict[tuple[str, str], list[Comparison]]:
    return {
        (step.stage, step.measurement): [one for one in step.comparisons if one.verdict == Verdict.DIFFERS]
        for step in result.steps
        if step.verdict == Verdict.DIFFERS
    }


def test_samples_of_both_branches_are_made_again_from_their_lineage(
    miniature_home: Home, miniature_recipe: Recipe
) -> None:
    samples = {row["erased_from"] is None: row for row in rows(miniature_home, "fine_tune_set") if row["kept"]}
    assert set(samples) == {True, False}
    for row in samples.values():
        result = replay(miniature_home, miniature_recipe, row["sample_id"])
        assert (result.kind, result.id, result.shard) == ("sample", row["sample_id"], SHARD)
        assert result.verdict <= Verdict.CLOSE
        assert (result.origins, result.surroundings) == ([], [])
        made = [(step.stage, step.measurement) for step in result.steps]
        assert made == [name for name in MEASUREMENTS if name in set(made)]
        branch = {"captions"} if row["erased_from"] is None else {"removed_pairs", "removal_captions"}
        assert {stage for stage, _ in made} == {*COMMON_STAGES, *branch}
        compared = {one.name: one for step in result.steps for one in step.comparisons}
        texts = ["target_caption", "conversations"]
        texts += ["source_region_caption", "difference_caption"] if row["erased_from"] is None else []
        for name in texts:
            assert compared[name].verdict == Verdict.SAME
        pair = next(pair for pair in rows(miniature_home, "image_pairs") if pair["pair_id"] == row["pair_id"])
        for name in ("source", "target"):
            assert compared[f"{name}_image"].recorded == pair[f"{name}_hash"]


@pytest.mark.slow
def test_in_a_batch_of_the_same_size_images_are_the_same_bit_for_bit(home: Home, miniature_recipe: Recipe) -> None:
    recipe = override_recipe(miniature_recipe, ["pair_generator.batch_size=1"])
    stage, ledger = stage_named("image_pairs"), Ledger(home.ledger)
    shutil.rmtree(ledger.table_path("image_pairs", SHARD).parent)
    materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, ledger, shared_models(recipe), "run-2")
    for row in rows(home, "image_pairs"):
        result = replay(home, miniature_recipe, row["pair_id"])
        made = next(step for step in result.steps if step.measurement == "generate")
        assert made.verdict == Verdict.SAME
        hashes = {one.name: (one.recorded, one.again) for one in made.comparisons}
        for name in ("source", "target"):
            assert hashes[f"{name}_image"] == (row[f"{name}_hash"], row[f"{name}_hash"])


def drop_images(home: Home, asset: str) -> None:
    """As retention does, of every row."""
    ledger, column = Ledger(home.ledger), {"image_pairs": "source_image", "removed_pairs": "erased_image"}[asset]
    both = {column, column.replace("source", "target")}
    every = np.ones(len(rows(home, asset)), dtype=bool)
    keep_rows(ledger, asset, SHARD, every, ledger.record(asset, SHARD), dict.fromkeys(both, every))
    assert sweep(ledger, asset, SHARD).files
    assert all(row[column] is None for row in ledger.read(asset, SHARD, images=True).to_pylist())


def record_hash(home: Home, pair: str, recorded: str) -> None:
    """Have this be what was recorded of a pair's source image."""
    ledger = Ledger(home.ledger)
    table, record = ledger.read("image_pairs", SHARD), ledger.record("image_pairs", SHARD)
    assert record is not None
    changed = [row | ({"source_hash": recorded} if row["pair_id"] == pair else {}) for row in table.to_pylist()]
    table = type(table).from_pylist(changed, table.schema)
    ledger.commit("image_pairs", SHARD, stage_named("image_pairs").schema, table, [None] * len(table), record)


@pytest.mark.slow
def test_images_that_are_not_kept_any_more_are_made_again(home: Home, miniature_recipe: Recipe) -> None:
    """They are compared by their pixels' hash, and what was measured of them is measured of the new ones."""
    sample = next(row for row in rows(home, "fine_tune_set") if row["kept"] and row["erased_from"] is not None)
    before = replay(home, miniature_recipe, sample["sample_id"])
    for name in ("image_pairs", "removed_pairs"):
        drop_images(home, name)
    after = replay(home, miniature_recipe, sample["sample_id"])
    assert [step.failure for step in after.steps if step.failure] == []
    images = []
    for then, now in zip(before.steps, after.steps, strict=True):
        for one, other in zip(then.comparisons, now.comparisons, strict=True):
            if one.name.endswith("_image"):
                images.append(one.name)
                assert (one.recorded, one.again) == (other.recorded, other.again)
                assert other.verdict == (Verdict.SAME if other.again == other.recorded else Verdict.DIFFERS)
            else:
                assert one.verdict == other.verdict <= Verdict.CLOSE
    assert images == ["source_image", "target_image", "erased_image"]
    made = next(one.again for step in after.steps for one in step.comparisons if one.name == "source_image")
    for recorded, verdict in ((made, Verdict.SAME), ("0" * 64, Verdict.DIFFERS)):
        record_hash(home, sample["pair_id"], recorded)
        steps = replay(home, miniature_recipe, sample["pair_id"]).steps
        source = next(one for step in steps for one in step.comparisons if one.name == "source_image")
        assert (source.verdict, source.again) == (verdict, made)
    assert source.difference == "the image was dropped, so that nobody knows by how much"


def test_pairs_and_regions_are_made_again_too_rejected_ones_as_well(
    miniature_home: Home, miniature_recipe: Recipe
) -> None:
    regions = rows(miniature_home, "bounding_boxes")
    rejected = {row["rejected_by"]: row for row in regions if row["rejected_by"] is not None}
    assert rejected
    for row in rejected.values():
        result = replay(miniature_home, miniature_recipe, row["region_id"][:12])
        assert (result.kind, result.id) == ("region", row["region_id"])
        assert result.verdict <= Verdict.CLOSE
        measured = {"compare": "region_similarity", "match": "source_match_itc"}
        made = {step.measurement for step in result.steps if step.stage == "bounding_boxes"}
        assert made == {"propose", *(name for name, column in measured.items() if row[column] is not None)}
        assert "captions" not in {step.stage for step in result.steps}
    pair = rows(miniature_home, "image_pairs")[0]["pair_id"]
    result = replay(miniature_home, miniature_recipe, pair)
    assert (result.kind, result.verdict <= Verdict.CLOSE) == ("pair", True)
    assert [step.stage for step in result.steps] == ["prompt_pairs", "image_pairs", "filtered_pairs"]


def test_the_recipe_of_today_makes_no_difference(miniature_home: Home, miniature_recipe: Recipe) -> None:
    other = override_recipe(
        miniature_recipe,
        [
            "seed=7",
            "prompt_rewriter.temperature=0.1",
            "pair_generator.num_inference_steps=2",
            "captions.difference_question='which is larger ?'",
            "filtered_pairs.min_similarity=0.9",
            "bounding_boxes.max_boxes=1",
            "captions.min_match=0.99",
        ],
    )
    identity = sample_id(miniature_home)
    assert replay(miniature_home, other, identity) == replay(miniature_home, miniature_recipe, identity)


def test_an_image_that_is_not_the_recorded_one_is_named(home: Home, miniature_recipe: Recipe) -> None:
    change_image(home, lambda data: encode_png(255 - decode(data), 6))
    result = replay(home, miniature_recipe, sample_id(home))
    assert result.verdict == Verdict.DIFFERS
    (image,) = differing(result)["image_pairs", "generate"]
    assert (image.name, image.difference) == ("source_image", "the stored image is not the recorded one")
    assert image.again == image.recorded, "drawn again, it is the one that was recorded"
    # What is measured of the image that is there now is not what was measured of the one that was.
    assert ("filtered_pairs", "compare") in differing(result)
    assert "source_image: the stored image is not the recorded one" in to_text(result)


def test_a_damaged_image_is_named(home: Home, miniature_recipe: Recipe) -> None:
    change_image(home, lambda data: data[: len(data) // 2])
    result = replay(home, miniature_recipe, sample_id(home))
    (image,) = differing(result)["image_pairs", "generate"]
    assert image.difference.startswith("the stored image is damaged")
    failed = next(step for step in result.steps if step.stage == "filtered_pairs")
    assert failed.failure is not None
    assert "damaged" in failed.failure
    assert "filtered_pairs  compare     failed" in to_text(result)


def test_a_text_that_was_altered_is_shown_beside_the_one_that_is_made(home: Home, miniature_recipe: Recipe) -> None:
    ledger = Ledger(home.ledger)
    table, record = ledger.read("captions", SHARD), ledger.record("captions", SHARD)
    assert record is not None
    altered = [
        {**row, "difference_caption": "nothing at all", "difference": "Nothing at all."} for row in table.to_pylist()
    ]
    ledger.commit("captions", SHARD, table.schema, type(table).from_pylist(altered, table.schema), [], record)
    result = replay(home, miniature_recipe, sample_id(home))
    (text,) = differing(result)["captions", "tell_apart"]
    assert text.recorded == "nothing at all"
    assert text.again in {row["difference_caption"] for row in table.to_pylist()}
    assert f"difference_caption: was nothing at all, is {text.again}" in to_text(result)
    assert [text for text in result.origins if text.startswith("fine_tune_set is older than captions")]


def test_other_libraries_and_devices_are_told_and_are_no_difference(home: Home, miniature_recipe: Recipe) -> None:
    record = Ledger(home.ledger).record("image_pairs", SHARD)
    assert record is not None
    versions = {**record["versions"], "torch": "1.13.0", "tensorflow": "2.0"}
    change_record(home, "image_pairs", versions=versions, devices={"pair_generator": "cuda: Tesla T4"})
    result = replay(home, miniature_recipe, sample_id(home))
    assert result.verdict <= Verdict.CLOSE
    told = "\n".join(result.surroundings)
    assert f"torch 1.13.0 then, {record['versions']['torch']} now" in told
    assert "tensorflow 2.0 then, not installed now" in told
    assert f"pair_generator on cuda: Tesla T4 then, on {record['devices']['pair_generator']} now" in told
    assert told.replace("\n", "\n  ") in to_text(result)


@contextmanager
def raised_version(step: Measurement) -> Iterator[None]:
    original = step.version
    object.__setattr__(step, "version", original + 1)
    try:
        yield
    finally:
        object.__setattr__(step, "version", original)


def test_other_code_is_not_what_it_was_made_of(miniature_home: Home, miniature_recipe: Recipe) -> None:
    stage = stage_named("filtered_pairs").under(miniature_recipe)
    then = stage.code_version
    with raised_version(stage.measurements[0]):
        result = replay(miniature_home, miniature_recipe, sample_id(miniature_home))
        assert result.origins == [f"filtered_pairs: made by version {then} of its code, now {stage.code_version}."]
    assert result.verdict == Verdict.DIFFERS
    assert "it gives the same, but not from what it was made of." in to_text(result)


def test_changed_weights_are_known_by_their_content(home: Home, miniature_recipe: Recipe, tmp_path: Path) -> None:
    """A model in a folder of its own, whose weights are changed under the same name."""
    folder = tmp_path / "rewriter"
    shutil.copytree(weights.locate(miniature_recipe.models.prompt_rewriter.model, None), folder)
    recipe = override_recipe(miniature_recipe, [f"prompt_rewriter.model={folder}"])
    stage = stage_named("prompt_pairs")
    inputs = read_inputs(stage, home, SHARD)
    materialize(stage, SHARD, inputs, recipe, Ledger(home.ledger), shared_models(recipe), "run-2")
    pair = rows(home, "prompt_pairs")[0]["pair_id"]
    result = replay(home, miniature_recipe, pair)
    assert (result.verdict, result.origins) == (Verdict.SAME, [])
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    noise = np.random.default_rng(0).integers(0, 255, 20_000, dtype=np.uint8)
    # The high bytes of float16 or float32 numbers stay finite when only their low bytes change.
    data[-40_000::2] = noise.tobytes()
    file.write_bytes(bytes(data))
    result = replay(home, miniature_recipe, pair)
    assert result.verdict == Verdict.DIFFERS
    (origin,) = result.origins
    assert origin.startswith("prompt_rewriter: the weights have changed, from ")
    shutil.rmtree(folder)
    result = replay(home, miniature_recipe, pair)
    assert str(folder) in result.origins[0]


def test_a_row_that_is_older_than_what_it_was_made_of_is_said_to_be(home: Home, miniature_recipe: Recipe) -> None:
    """The captions have been made again, and say something else; the samples have not."""
    ledger = Ledger(home.ledger)
    table, record = ledger.read("bounding_boxes", SHARD), ledger.record("bounding_boxes", SHARD)
    assert record is not None
    moved = [{**row, "x1": None if row["x1"] is None else row["x1"] + 1} for row in table.to_pylist()]
    ledger.commit("bounding_boxes", SHARD, table.schema, type(table).from_pylist(moved, table.schema), [], record)
    result = replay(home, miniature_recipe, sample_id(home))
    assert result.verdict == Verdict.DIFFERS
    (older,) = [
        text for text in result.origins if text.startswith("captions is older than bounding_boxes: its x1 was")
    ]
    assert older.endswith(" now.")
    assert older in to_text(result)


def test_what_was_never_measured_is_not_said_to_be_the_same(home: Home, miniature_recipe: Recipe) -> None:
    recipe = override_recipe(miniature_recipe, ["prompt_pairs.known_words=[none]"])
    stage = stage_named("prompt_pairs")
    ledger = Ledger(home.ledger)
    shutil.rmtree(ledger.root)
    materialize(stage, SHARD, read_inputs(stage, home, SHARD), recipe, ledger, shared_models(recipe), "run-2")
    result = replay(home, recipe, rows(home, "prompt_pairs")[0]["pair_id"])
    assert result.steps == []
    assert "nothing was measured of it" in to_text(result)


def test_ids_that_cannot_be_replayed_are_refused(home: Home, miniature_recipe: Recipe) -> None:
    with pytest.raises(LineageError, match="no caption, pair, region or sample"):
        replay(home, miniature_recipe, "0123456789abcdef")
    with pytest.raises(LineageError, match="not an id"):
        replay(home, miniature_recipe, "../../etc")
    with pytest.raises(ReplayError, match="a caption is given, not made"):
        replay(home, miniature_recipe, rows(home, "prompt_pairs")[0]["caption_id"])
    identity = sample_id(home)
    change_record(home, "captions", settings={"min_match": "high"})
    with pytest.raises(UnknownOrigin, match="captions: a table was made by another version"):
        replay(home, miniature_recipe, identity)
    table = Ledger(home.ledger).table_path("image_pairs", SHARD)
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(DamagedTable, match=r"image_pairs/.*is damaged"):
        replay(home, miniature_recipe, identity)


@pytest.fixture
def invoke(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("IMGDIFF_HOME", str(home.root))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    return lambda *arguments: CliRunner().invoke(main, ["replay", *arguments])


def test_the_command_prints_the_verdict_and_exits_with_it(home: Home, invoke: Callable[..., Any]) -> None:
    identity = sample_id(home)
    shown = invoke(identity)
    assert shown.exit_code == 0
    assert shown.output.startswith(f"sample {identity} of {SHARD}: the same")
    change_image(home, lambda data: encode_png(255 - decode(data), 6))
    shown = invoke(identity, "--json")
    assert shown.exit_code == 1
    values = json.loads(shown.output)
    assert (values["verdict"], values["kind"], values["id"]) == ("differs", "sample", identity)
    steps = {(step["stage"], step["measurement"]): step for step in values["steps"]}
    assert steps["image_pairs", "generate"]["verdict"] == "differs"
    assert steps["prompt_pairs", "rewrite"]["verdict"] == "same"
    refused = invoke("0123456789abcdef")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: 0123456789abcdef: ")
