"""What docs/how_it_works.md says is measured again, row by row, proved by counting calls of the real models."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imgdiff_assets.engine.earlier import earlier_versions_of_row
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import SCHEMA, caption_id, caption_path
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.stages.graph import COMMON_STAGES as STAGES
from imgdiff_assets.stages.graph import stage_named, stages_of
from imgdiff_assets.stages.stage import Stage
from imgdiff_assets.stages.steps import Measurement
from resources.loading import devices
from tests.imgdiff_assets.conftest import with_images

SHARD = "shard-000000"
GUIDE = Path(__file__).parents[3] / "docs" / "how_it_works.md"
PROVED: dict[str, Callable[..., None]] = {}


def proves(row: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Ties a test to its row of the table."""

    def tie(test: Callable[..., None]) -> Callable[..., None]:
        PROVED[row] = test
        return test

    return tie


@pytest.fixture
def home(measured_home: Home, tmp_path: Path) -> Home:
    """A copy of six captions' ledger."""
    return Home(Path(shutil.copytree(measured_home.root, tmp_path / "home")))


def rows_of(home: Home, name: str) -> list[dict[str, Any]]:
    return Ledger(home.ledger).read(name, SHARD).to_pylist()


def count(home: Home, name: str, column: str) -> int:
    """Rows that have a value there."""
    return sum(row[column] is not None for row in rows_of(home, name))


def newer(step: str, stage: Stage) -> tuple[Stage, ...]:
    """All stages, with newer code of one measurement."""
    steps = tuple(
        replace(each, version=each.version + 1) if isinstance(each, Measurement) and each.name == step else each
        for each in stage.steps
    )
    return tuple(replace(stage, steps=steps) if each is stage else each for each in STAGES)


def test_every_row_of_the_table_is_proved_here() -> None:
    table = GUIDE.read_text(encoding="utf-8").partition("| when you |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert [re.sub(r" \(.*\)", "", row) for row in rows] == list(PROVED)


@proves("run again, nothing changed")
def test_nothing_changed(home: Home, measured: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.ledger.rglob("*.parquet")}
    ran = measured.run(home, measured.recipe())
    assert (ran.calls, ran.measured, ran.opened) == ({}, {}, set())
    assert {path: path.stat().st_mtime_ns for path in home.ledger.rglob("*.parquet")} == before


@proves("kill a run and start it again")
def test_a_run_that_was_stopped_in_the_middle(home: Home, measured: Any, tmp_path: Path) -> None:
    """With a real kill, over all stages: `benchmarks.faults`, and its test."""
    fresh = measured.ingest(tmp_path / "fresh", [row["source_caption"] for row in rows_of(home, "prompt_pairs")])

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("image_pairs: generate", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured.run(fresh, measured.recipe(), progress=stop)
    ran = measured.run(fresh, measured.recipe(), STAGES[:2])
    assert ran.calls == {"pair_generator.generate": 3}


@proves("ingest more captions")
def test_more_captions(home: Home, measured: Any) -> None:
    """Written into the file of a shard, as no command does; `imgdiff ingest` makes a new shard of them."""
    caption = "a blue kite on the sea"
    path = caption_path(home, SHARD)
    row = {"caption_id": caption_id(caption), "caption": caption, "source": "later", "line": 1}
    pq.write_table(
        pa.concat_tables([pq.read_table(path, partitioning=None), pa.Table.from_pylist([row], SCHEMA)]), path
    )
    ran = measured.run(home, measured.recipe(), run_id="run-2")
    assert ran.calls["prompt_rewriter.rewrite"] == ran.calls["pair_generator.generate"] == 1
    assert ran.calls["segmenter.propose"] == 2
    for stage in stages_of(measured.recipe()):
        for step in stage.measurements:
            new = {row[step.fingerprint_column] for row in rows_of(home, stage.name) if row["run_id"] == "run-2"}
            assert len(new - {None}) == ran.measured.get(f"{stage.name}.{step.name}", 0)
    pairs = {row["pair_id"] for row in rows_of(home, "prompt_pairs") if row["run_id"] == "run-2"}
    for stage in STAGES[1:]:
        assert {row["pair_id"] for row in rows_of(home, stage.name) if row["run_id"] == "run-2"} <= pairs


@proves("change a threshold")
def test_a_threshold(home: Home, measured: Any) -> None:
    """Tighter: no model is even loaded. Looser: the rows that it lets in go on, and no other."""
    devices.unload_all()
    before = {name: use.loads for name, use in devices.uses().items()}
    kept = sum(row["kept"] for row in rows_of(home, "captions"))
    scores = sorted(row["match"] for row in rows_of(home, "captions") if row["match"] is not None)
    ran = measured.run(home, measured.recipe(f"captions.min_match={scores[len(scores) // 2]:.6f}"))
    assert 0 < sum(row["kept"] for row in rows_of(home, "captions")) < kept
    assert (ran.calls, ran.measured, ran.opened) == ({}, {}, set())
    assert {name: use.loads for name, use in devices.uses().items()} == before
    measured.run(home, measured.recipe())
    shut_out = sum(row["rejected_by"] == "same_content" for row in rows_of(home, "bounding_boxes"))
    ran = measured.run(home, measured.recipe("bounding_boxes.max_region_similarity=1"), STAGES[:4])
    assert shut_out > 0
    assert ran.measured == {"bounding_boxes.match": shut_out}
    assert set(ran.calls) == {"image_text_matcher.match"}
    loads = {name.rpartition(".")[2] for name, use in devices.uses().items() if use.loads > before[name]}
    assert loads == {"ImageTextMatcher"}


@proves("change a model or its settings")
def test_a_models_settings(home: Home, measured: Any) -> None:
    described, told = (
        count(home, "captions", "describe_fingerprint"),
        count(home, "captions", "tell_apart_fingerprint"),
    )
    erased = count(home, "removal_captions", "describe_fingerprint")
    ran = measured.run(home, measured.recipe("captioner.max_new_tokens=23"))
    assert ran.measured == {
        "captions.describe": described,
        "captions.tell_apart": told,
        "removal_captions.describe": erased,
    }
    assert set(ran.calls) == {"captioner.answer"}, "the answers are the same, so nothing else is measured"
    compared = count(home, "bounding_boxes", "compare_fingerprint")
    ran = measured.run(home, measured.recipe("captioner.max_new_tokens=23", "image_text_encoder.dtype=bfloat16"))
    assert {name: ran.measured[name] for name in ("filtered_pairs.compare", "bounding_boxes.compare")} == {
        "filtered_pairs.compare": 6,
        "bounding_boxes.compare": compared,
    }
    assert not ran.calls.keys() & {"prompt_rewriter.rewrite", "pair_generator.generate", "segmenter.propose"}
    ran = measured.run(
        home, measured.recipe("image_text_encoder.dtype=bfloat16", "pair_generator.num_inference_steps=3")
    )
    assert "prompt_rewriter.rewrite" not in ran.calls
    assert (ran.calls["pair_generator.generate"], ran.calls["segmenter.propose"]) == (6, 12)


@proves("change a batch size or a device")
def test_a_batch_size(home: Home, measured: Any) -> None:
    ran = measured.run(home, measured.recipe("pair_generator.batch_size=5", "captioner.device=cpu"))
    assert (ran.calls, ran.measured) == ({}, {})


@proves("raise a measurement's code version")
def test_a_code_version(home: Home, measured: Any) -> None:
    """Rows that are there are left, however they are judged; told to, all are measured again."""
    stages = newer("propose", stage_named("bounding_boxes"))
    before = [row["propose_fingerprint"] for row in rows_of(home, "bounding_boxes")]
    assert measured.run(home, measured.recipe(), stages).calls == {}
    assert [row["propose_fingerprint"] for row in rows_of(home, "bounding_boxes")] == before
    record = Ledger(home.ledger).record("bounding_boxes", SHARD) or {}
    assert record["left"] == {"propose": [1]}
    for row in rows_of(home, "bounding_boxes"):
        assert row["propose_fingerprint"] is None or earlier_versions_of_row(stages[3], row, record) == {"propose": 1}
    assert measured.run(home, measured.recipe("bounding_boxes.max_overlap=0.4"), stages).calls == {}
    ran = measured.run(home, measured.recipe(), stages, again=True)
    assert ran.calls == {"segmenter.propose": 12}, "the boxes are the same, so their scores are"
    record = Ledger(home.ledger).record("bounding_boxes", SHARD) or {}
    assert record["left"] == {}
    assert not any(earlier_versions_of_row(stages[3], row, record) for row in rows_of(home, "bounding_boxes"))


@proves("hit an error on a row")
def test_an_error(home: Home, measured: Any) -> None:
    """A pair's image is damaged, and then whole again."""
    path = Ledger(home.ledger).table_path("image_pairs", SHARD)
    whole = path.read_bytes()
    table = with_images(path)
    rows = table.to_pylist()
    rows[2]["source_image"]["bytes"] = rows[2]["source_image"]["bytes"][:99]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    shutil.rmtree(Ledger(home.ledger).table_path("filtered_pairs", SHARD).parent)
    measured.run(home, measured.recipe(), STAGES[2:3])
    assert [row["rejected_by"] for row in rows_of(home, "filtered_pairs")].index("error:damaged_image") == 2
    path.write_bytes(whole)
    ran = measured.run(home, measured.recipe())
    assert ran.measured == {"filtered_pairs.compare": 1}
    assert ran.calls == {"image_text_encoder.encode_images": 2}
