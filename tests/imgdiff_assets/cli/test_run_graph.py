"""A run over a range of shards: one that is bad costs the others nothing; nor does a full disk."""

import datetime
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.defs import instance_files
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.partitions import SHARDS
from imgdiff_assets.engine import looks
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.release.making import make_release
from resources.pair_generator import PairGenerator
from resources.prompt_rewriter import PromptRewriter

STAGES = ["prompt_pairs", "image_pairs"]
KEYS = ["shard-000000", "shard-000001", "shard-000002"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Three shards of captions with unknown words: all stages can run, and no model is needed."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = Home(tmp_path / "home")
    return with_captions(home, tmp_path / "captions.txt")


def with_captions(home: Home, file: Path) -> Home:
    file.write_text("\n".join(f"quokka number {number}" for number in range(3)))
    ingest([file], home, shard_size=1)
    return home


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_bad_shard_stops_no_other_and_loses_no_record(home: Home) -> None:
    bad = home.captions / f"{KEYS[1]}.parquet"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    report = run_graph(home, load_recipe("miniature"), select=STAGES)
    assert len(report.failures) == 1
    assert f"{KEYS[1]}.parquet: is not a readable caption table" in report.failures[0]
    ledger = Ledger(home.ledger)
    for stage in STAGES:
        assert ledger.shards(stage) == [KEYS[0], KEYS[2]]
    with dagster_instance(home) as instance:
        recorded = instance.get_materialized_partitions(dg.AssetKey("prompt_pairs"))
        assert recorded == {KEYS[0], KEYS[2]}, "by the run that failed"
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert [run.run_id for run in failed] == report.run_ids[:1]

    bad.write_bytes(whole)
    again = run_graph(home, load_recipe("miniature"), select=STAGES)
    assert (again.failures, again.fresh, len(again.run_ids)) == ([], [KEYS[0], KEYS[2]], 1)
    assert [record["shard"] for record in again.materializations] == [KEYS[1]] * len(STAGES)
    assert run_graph(home, load_recipe("miniature"), select=STAGES).run_ids == []


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home, recipe = with_captions(Home(small_disk / "home"), tmp_path / "captions.txt"), load_recipe("miniature")
    run_graph(home, recipe, shards=KEYS[:1], select=STAGES)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    with pytest.raises(OSError, match=r"Dagster's database cannot be used \(.*\); make room") as full:
        run_graph(home, recipe, select=STAGES)
    assert "\n" not in str(full.value)
    filler.unlink()
    assert run_graph(home, recipe, select=STAGES).failures == []
    assert run_graph(home, recipe, select=STAGES).fresh == KEYS


class Grumpy:
    """Makes the rewriter fail on one caption, and counts how often that was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.broken = 0, True
        rewrite = PromptRewriter.rewrite

        def grumble(model: PromptRewriter, captions: Sequence[str], seeds: Sequence[int]) -> list[str]:
            if any("yellow" in caption for caption in captions):
                self.asked += len(captions) == 1
                if self.broken:
                    raise ValueError("I do not like yellow")
            return rewrite(model, captions, seeds)

        monkeypatch.setattr(PromptRewriter, "rewrite", grumble)


@pytest.mark.slow
def test_one_that_is_stopped_says_no_more_than_that(mixed_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that something failed, with a traceback to report."""

    def stop(model: Any, captions: Any, seeds: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("goes on")

    monkeypatch.setattr(PromptRewriter, "rewrite", stop)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_graph(mixed_home, load_recipe("miniature"), select=STAGES, log=said.append)
    assert said == ["running shard-000000"]


@pytest.fixture
def mixed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = Home(tmp_path / "home")
    captions = tmp_path / "captions.txt"
    captions.write_text("a red ball on the grass\na yellow house on the snow\n")
    ingest([captions], home)
    return home


def test_a_later_stage_that_keeps_failing_ends_the_run(mixed_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a row of an earlier stage failed, which alone would be tried again."""
    grumpy, attempts = Grumpy(monkeypatch), 0

    def fail(*_: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 5:
            raise KeyboardInterrupt("without end")
        raise FileNotFoundError("the weights are gone")

    monkeypatch.setattr(PairGenerator, "generate", fail)
    report = run_graph(mixed_home, load_recipe("miniature", ["max_error_share=0.9"]), select=STAGES)
    assert (attempts, grumpy.asked, len(report.run_ids)) == (1, 1, 1)
    assert "the weights are gone" in report.failures[0]


@pytest.mark.slow
def test_failed_rows_are_tried_a_few_times_and_then_left(mixed_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    grumpy = Grumpy(monkeypatch)
    recipe = load_recipe("miniature", ["max_error_share=0.9", "max_tries=2"])
    for tries, select in ((1, STAGES), (2, None), (2, None)):
        report = run_graph(mixed_home, recipe, select=select)
        assert report.failures == []
        assert grumpy.asked == tries
    assert report.run_ids == [], "the shard is fresh, with a row that failed"

    made = make_release(mixed_home, recipe)
    assert (list(made.shards), list(made.not_fresh), made.failed_rows) == ([KEYS[0]], [], 1)
    assert "1 row could not be measured" in (made.folder / "README.md").read_text(encoding="utf-8")

    grumpy.broken = False
    assert run_graph(mixed_home, recipe).run_ids == []
    assert run_graph(mixed_home, recipe, retry=True).failures == []
    record = Ledger(mixed_home.ledger).record("prompt_pairs", KEYS[0]) or {}
    assert (record["errors"], record["tries"], grumpy.asked) == (0, 0, 3)
    assert run_graph(mixed_home, recipe, retry=True).run_ids == [], "nothing is left to try again"


def test_more_failures_than_are_allowed_are_never_fresh(mixed_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    grumpy = Grumpy(monkeypatch)
    recipe = load_recipe("miniature", ["max_error_share=0.1", "max_tries=1"])
    for tries in (1, 2):
        report = run_graph(mixed_home, recipe, select=STAGES[:1])
        assert "more than max_error_share 0.1 allows" in report.failures[0]
        assert grumpy.asked == tries


def test_failed_checks_are_told_at_the_end_and_are_errors_to_the_strict(home: Home, invoke: Any) -> None:
    """Of captions with unknown words none is kept, which a check warns of."""
    for key, options, status, kind in ((KEYS[0], [], 0, "Warning"), (KEYS[1], ["--strict"], 1, "Error")):
        result = invoke(home.root, "run", "--select", "prompt_pairs", "--shards", key, "--json", *options)
        assert result.exit_code == status
        last = result.stderr.splitlines()[-1]
        assert last.startswith(f"{kind}: prompt_pairs: the check kept_share failed: prompt_pairs of {key} keeps 0.0%")
        (told,) = json.loads(result.stdout)["failed_checks"]
        assert last == f"{kind}: {told}"
    assert invoke(home.root, "run", "--select", "prompt_pairs", "--shards", KEYS[0], "--strict").exit_code == 0


def lose_dagster(home: Home) -> None:
    shutil.rmtree(home.dagster)


def lose_a_partition(home: Home) -> None:
    with dagster_instance(home) as instance:
        instance.delete_dynamic_partition(str(SHARDS.name), KEYS[1])


def lose_the_catalog(home: Home) -> None:
    home.catalog.unlink()


@pytest.mark.slow
def test_where_nothing_is_to_be_done_or_told_dagster_is_not_begun(
    home: Home, invoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "YOUNG", datetime.timedelta(0))
    monkeypatch.setattr(instance_files, "YOUNG_SECONDS", 0.0)
    begun: list[Home] = []
    begin = dagster_instance

    def count(home: Home) -> Any:
        begun.append(home)
        return begin(home)

    monkeypatch.setattr("imgdiff_assets.cli.dagster_runs.dagster_instance", count)

    def run() -> tuple[int, str]:
        begun.clear()
        result = invoke(home.root, "run")
        assert result.exit_code == 0
        return len(begun), result.stdout

    assert run()[0] == 1
    # No definitions are built for what is only told.
    monkeypatch.setattr("imgdiff_assets.cli.dagster_runs.build_definitions", None)
    times, said = run()
    assert times == 1, "what the run itself wrote has not been looked at yet"
    assert run() == (0, said)
    for lose in (lose_dagster, lose_a_partition, lose_the_catalog):
        lose(home)
        assert run() == (1, said), lose.__name__
        with dagster_instance(home) as instance:
            assert list(instance.get_dynamic_partitions(str(SHARDS.name))) == KEYS
        assert home.catalog.exists()
        run()
        assert run() == (0, said), lose.__name__
    lock = instance_files.live_folder(home) / "of a run that was killed"
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    assert run() == (1, said)
    lock.unlink()
    assert run() == (0, said)
    settings = home.dagster / instance_files.SETTINGS
    settings.write_text(f"{settings.read_text()}\nstorage: {{sqlite: {{base_dir: {home.local / 'elsewhere'}}}}}\n")
    run()
    assert run() == (1, said), "what is kept elsewhere is asked each time"


@pytest.mark.slow
def test_a_run_ends_with_what_to_do_and_begins_with_what_it_takes_back(home: Home, invoke: Any) -> None:
    first = invoke(home.root, "run", "--set", "bounding_boxes.max_boxes=2")
    assert first.exit_code == 0
    frame = first.stderr.split("═" * 98)[1].splitlines()
    assert frame[1:3] == ["WARNING", "NO SAMPLE AT ALL came of 3 captions."]
    assert "3 of 3 captions name things that the miniature recipe cannot draw (number, quokka); " in " ".join(frame)
    assert "Next: " not in first.stdout
    assert "To keep it: `imgdiff recipe copy --set bounding_boxes.max_boxes=2`\n" in first.stderr
    value = "  bounding_boxes.max_boxes: 2 → 5 (3 shards)"
    told = f"Tables were made with other values, which this run does not have:\n{value}\n"
    again = invoke(home.root, "run", "--strict")
    assert again.exit_code == 1
    assert told in again.stderr
    assert again.stderr.index(told) < again.stderr.index("running shard-000000")
    third = invoke(home.root, "run")
    assert third.stdout.startswith("Nothing to do, up to date already: shard-000000, shard-000001, shard-000002\nNo ")
    assert told not in third.stderr
    assert "To keep it" not in again.stderr + third.stderr
