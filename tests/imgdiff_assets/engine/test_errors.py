"""Errors lose nothing: what a row's failure does to its table, to the run and to the next run, by the real stages."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.common.aliases import Pixels
from imgdiff_assets.engine.materialize import ShardFailed, materialize
from imgdiff_assets.engine.parents import MissingInput, read_inputs
from imgdiff_assets.engine.record import Materialization
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import stage_named
from tests.imgdiff_assets.conftest import with_images

SHARD = "shard-000000"


class Spoilt:
    """A captioner whose answers to some questions are spoilt."""

    def __init__(self, artist: Any, spoil: Callable[[str, str], str]) -> None:
        self._artist, self._spoil = artist, spoil

    def answer(self, images: Sequence[Sequence[Pixels]], questions: Sequence[str]) -> list[str]:
        answers = self._artist.answer(images, questions)
        return [self._spoil(question, answer) for question, answer in zip(questions, answers, strict=True)]


RunStage = Callable[..., Materialization]


@pytest.fixture
def run_stage(own_home: Home, drawn_models: Any) -> RunStage:
    """`run_stage(recipe, name, role=player)`: one stage over the first shard."""

    def run(recipe: Recipe, name: str, **players: Any) -> Materialization:
        stage, models = stage_named(name), drawn_models(recipe, **players)
        inputs = read_inputs(stage, own_home, SHARD)
        return materialize(stage, SHARD, inputs, recipe, Ledger(own_home.ledger), models, "run-2")

    return run


def rows_of(home: Home, name: str) -> list[dict[str, Any]]:
    stage = stage_named(name)
    return Ledger(home.ledger).read(name, SHARD, stage.schema).to_pylist()


def forget(home: Home, name: str) -> None:
    shutil.rmtree(Ledger(home.ledger).table_path(name, SHARD).parent)


def rewrite_images(home: Home, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of `image_pairs` behind the ledger's back."""
    path = Ledger(home.ledger).table_path("image_pairs", SHARD)
    table = with_images(path)
    rows = table.to_pylist()
    change([row for row in rows if row["source_image"] is not None])
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def test_a_damaged_image_fails_its_pair_alone_until_it_is_whole(
    own_home: Home, drawn_recipe: Recipe, run_stage: RunStage
) -> None:
    before = rows_of(own_home, "filtered_pairs")
    whole = Ledger(own_home.ledger).table_path("image_pairs", SHARD).read_bytes()
    broken: list[str] = []

    def tear(rows: list[dict[str, Any]]) -> None:
        rows[0]["source_image"]["bytes"] = rows[0]["source_image"]["bytes"][:200]
        rows[1]["target_image"]["bytes"] = b"no image"
        broken.extend(row["pair_id"] for row in rows[:2])

    rewrite_images(own_home, tear)
    forget(own_home, "filtered_pairs")
    record = run_stage(drawn_recipe, "filtered_pairs")
    rows = {row["pair_id"]: row for row in rows_of(own_home, "filtered_pairs")}
    assert record.rejections["error:damaged_image"] == record.errors == 2
    for pair in broken:
        assert rows[pair]["rejected_by"] == "error:damaged_image"
        assert rows[pair]["error"].startswith("the image is damaged: ")
    assert [row["kept"] for row in before if row["pair_id"] not in broken] == [
        row["kept"] for row in rows.values() if row["pair_id"] not in broken
    ]
    Ledger(own_home.ledger).table_path("image_pairs", SHARD).write_bytes(whole)
    record = run_stage(drawn_recipe, "filtered_pairs")
    assert (record.calls, record.errors) == ({"compare": 2}, 0), "rows that a filter rejected are not tried again"
    again = rows_of(own_home, "filtered_pairs")
    assert [{**row, "run_id": "", "measured_at": None} for row in again] == [
        {**row, "run_id": "", "measured_at": None} for row in before
    ]
    assert any(row["rejected_by"] == "too_similar" for row in again)


@pytest.mark.parametrize(
    ("question", "column", "message"),
    [
        ("what is", "source_region_caption", "the captioner said nothing about the source and the target image"),
        ("/", "difference_caption", "the captioner named no difference"),
    ],
)
def test_a_captioner_that_answers_nothing_is_an_error_and_asked_again(
    own_home: Home,
    drawn_recipe: Recipe,
    drawn_models: Any,
    run_stage: RunStage,
    question: str,
    column: str,
    message: str,
) -> None:
    before = rows_of(own_home, "captions")
    forget(own_home, "captions")
    silent = Spoilt(drawn_models.artist, lambda asked, answer: " \n" if question in asked else answer)
    record = run_stage(drawn_recipe, "captions", captioner=silent)
    rows = [row for row in rows_of(own_home, "captions") if row["error"]]
    assert len(rows) == record.errors > 0
    assert {(row["rejected_by"], row["error"], row[column]) for row in rows} == {("error:no_answer", message, None)}
    with pytest.raises(ShardFailed, match=f"{record.errors} error:no_answer.*for example: {message}"):
        run_stage(override_recipe(drawn_recipe, ["max_error_share=0.2"]), "captions", captioner=silent)
    assert run_stage(drawn_recipe, "captions").errors == 0
    assert [row["difference_caption"] for row in rows_of(own_home, "captions")] == [
        row["difference_caption"] for row in before
    ]


def test_only_the_side_that_is_missing_is_named(
    own_home: Home, drawn_recipe: Recipe, drawn_models: Any, run_stage: RunStage
) -> None:
    asked: list[str] = []

    def every_second(question: str, answer: str) -> str:
        asked.append(question)
        return answer if len(asked) % 2 else ""

    forget(own_home, "captions")
    record = run_stage(drawn_recipe, "captions", captioner=Spoilt(drawn_models.artist, every_second))
    messages = {row["error"] for row in rows_of(own_home, "captions") if row["error"]}
    assert record.errors > 0
    assert messages == {"the captioner said nothing about the target image"}


def test_regions_are_not_measured_on_images_they_were_not_found_in(
    own_home: Home, drawn_recipe: Recipe, run_stage: RunStage
) -> None:
    """`run --set pair_generator... --select image_pairs`, and then a later stage alone."""
    forget(own_home, "image_pairs")
    other = override_recipe(drawn_recipe, ["seed=1"])
    run_stage(other, "image_pairs")
    before = Ledger(own_home.ledger).table_path("bounding_boxes", SHARD).read_bytes()
    with pytest.raises(MissingInput, match=r"filtered_pairs was made from other images.*materialise filtered_pairs"):
        run_stage(other, "bounding_boxes")
    assert Ledger(own_home.ledger).table_path("bounding_boxes", SHARD).read_bytes() == before
    run_stage(other, "filtered_pairs")
    run_stage(other, "bounding_boxes")


def test_missing_weights_are_no_rows_fault(
    own_home: Home, drawn_recipe: Recipe, run_stage: RunStage, tmp_path: Path
) -> None:
    """Also when a model that was let go is to be loaded again in the middle of a stage."""

    class Gone:
        def encode_images(self, images: Sequence[Pixels]) -> Any:
            return (tmp_path / "open_clip_model.safetensors").read_bytes()

    before = Ledger(own_home.ledger).table_path("filtered_pairs", SHARD).read_bytes()
    other = override_recipe(drawn_recipe, ["image_text_encoder.dtype=bfloat16"])
    with pytest.raises(FileNotFoundError):
        run_stage(other, "filtered_pairs", image_text_encoder=Gone())
    assert Ledger(own_home.ledger).table_path("filtered_pairs", SHARD).read_bytes() == before
