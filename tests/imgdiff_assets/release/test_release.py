"""A release as its users find it, and what is different from the one before; made by the shipped weights."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.cli.run_graph import run_graph
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.whole_graph import build_definitions
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.ingest_captions import ingest
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.reading.gathered import gather
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.changes import changes
from imgdiff_assets.release.contents import Contents, read_contents
from imgdiff_assets.release.making import Release, make_release
from imgdiff_assets.release.versions import ReleaseError, latest_release
from imgdiff_assets.statistics.diversity import Diversity, Spread, diversity

SECTIONS = (
    "Examples",
    "Funnel",
    "Kinds",
    "Scores",
    "Models",
    "Licences",
    "Thresholds",
    "Diversity",
    "Cost",
    "Changes",
    "Known limits",
    "Citation",
)


@pytest.fixture(scope="module")
def released(
    miniature_home: Home, miniature_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Home, Release]:
    """A home with one release; tests leave it as it is."""
    home = Home(Path(shutil.copytree(miniature_home.root, tmp_path_factory.mktemp("released") / "home")))
    return home, make_release(home, miniature_recipe)


@pytest.fixture
def own_released(released: tuple[Home, Release], tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(released[0].root, tmp_path / "home")))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_holds_every_kept_sample_and_says_so(released: tuple[Home, Release]) -> None:
    home, made = released
    assert (made.version, made.made, made.previous) == ("1", True, None)
    assert sum(made.samples.values()) == len(gather(Ledger(home.ledger), made.shards)) > 0
    found = read_contents(made.folder)
    assert {row["sample_id"] for row in found.samples} == {
        s.sample_id for s in gather(Ledger(home.ledger), made.shards)
    }
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert "The first release." in card
    assert 'train = load_dataset("FOLDER", split="train")' in card
    assert "| captioner | `miniature:captioner` |" in card
    assert all(f"`{row['sample_id']}`" in card for row in found.samples[:1] if len(found.samples) == 1)
    about = [row for row in found.samples if row["region_id"] and not row["erased_from"]]
    assert re.search(rf"^object_replaced .* {len(about):,}$", card, re.MULTILINE)
    assert f"| which_image | {Counter(row['task'] for row in found.samples)['which_image']:,} |" in card


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that mlcroissant reads its file with
def test_sha256sum_datasets_and_mlcroissant_read_it(released: tuple[Home, Release], tmp_path: Path) -> None:
    import datasets
    import mlcroissant

    _, made = released
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made.folder, capture_output=True, text=True, check=True
    )
    assert {line.rpartition(": ")[0] for line in checked.stdout.splitlines()} == {
        name for name in files_of(made.folder) if name not in ("SHA256SUMS", "export.json")
    }
    data = datasets.load_dataset(str(made.folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(data[split]) for split in data} == {name: n for name, n in made.samples.items() if n}
    croissant = mlcroissant.Dataset(made.folder / "croissant.json")
    assert not croissant.metadata.issues.errors
    by_id = {row["sample_id"]: row for split in data for row in data[split]}
    seen = set()
    for name in [path.stem for path in sorted((made.folder / "data").iterdir())]:
        for record in croissant.records(name):
            sample_id = record[f"{name}/sample_id"].decode()
            seen.add(sample_id)
            assert record[f"{name}/answer"].decode() == by_id[sample_id]["answer"]
            assert record[f"{name}/image_1"].size == by_id[sample_id]["image_1"].size
    assert seen == by_id.keys()


def test_nothing_new_is_no_new_release(own_released: Home, miniature_recipe: Recipe) -> None:
    before = files_of(own_released.releases)
    again = make_release(own_released, miniature_recipe)
    assert (again.version, again.made) == ("1", False)
    assert files_of(own_released.releases) == before
    with pytest.raises(ReleaseError, match="is no version"):
        make_release(own_released, miniature_recipe, "../mine")
    named = make_release(own_released, miniature_recipe, "1.0-final")
    assert (named.made, named.previous) == (True, "1")
    assert named.changed == {"added": {}, "gone": {}, "changed": {}}
    with pytest.raises(ReleaseError, match="there already"):
        make_release(own_released, override_recipe(miniature_recipe, []), "1")


def test_the_same_shards_give_the_same_bytes(
    released: tuple[Home, Release], own_released: Home, miniature_recipe: Recipe
) -> None:
    shutil.rmtree(own_released.releases)
    make_release(own_released, miniature_recipe)
    assert files_of(own_released.releases) == files_of(released[0].releases)


def test_what_is_gone_changed_and_added_has_its_reason(own_released: Home, miniature_recipe: Recipe) -> None:
    strict = override_recipe(
        miniature_recipe,
        ["captions.max_caption_similarity=-1", "fine_tune_set.questions.which_image=['{subject} {region}?']"],
    )
    assert not run_graph(own_released, strict).failures
    second = make_release(own_released, strict)
    first = read_contents(own_released.releases / "1")
    tasks = Counter(row["task"] for row in first.samples)
    (reason,) = second.changed["gone"]
    assert "captions: rejected by captions_alike" in reason
    assert second.changed["gone"][reason] == tasks["difference"] > 0
    assert second.changed["changed"] == {"another question": tasks["which_image"]}
    listed = json.loads((second.folder / "changes.json").read_text(encoding="utf-8"))
    assert Counter(change["kind"] for change in listed) == {
        "gone": tasks["difference"],
        "changed": tasks["which_image"],
    }
    card = (second.folder / "README.md").read_text(encoding="utf-8")
    assert "settings.captions.max_caption_similarity: 0.85 → -1.0" in card
    assert not run_graph(own_released, miniature_recipe).failures
    third = make_release(own_released, miniature_recipe)
    assert third.previous == "2"
    assert third.changed["added"] == {"kept under the changed settings": tasks["difference"]}
    assert latest_release(own_released) == third.folder


def test_shards_that_are_not_fresh_are_left_out_by_name(
    own_released: Home, miniature_recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("a red car on the road\n", encoding="utf-8")
    ingest([tmp_path / "more.txt"], own_released)
    made = make_release(own_released, miniature_recipe, "more")
    assert made.not_fresh == ["shard-000001"]
    assert "Left out, not being up to date with the recipe: 1 shard (shard-000001)" in (
        made.folder / "README.md"
    ).read_text(encoding="utf-8")


def test_without_a_fresh_shard_there_is_no_release(own_released: Home, miniature_recipe: Recipe) -> None:
    other = override_recipe(miniature_recipe, ["captions.min_match=0.41"])
    with pytest.raises(ReleaseError, match="No shard is up to date"):
        make_release(own_released, other)


def test_the_asset_and_the_command_make_the_same(
    own_released: Home, released: tuple[Home, Release], miniature_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(own_released.releases)
    job = build_definitions(own_released, miniature_recipe).resolve_implicit_global_asset_job_def()
    with dagster_instance(own_released) as instance:
        result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("release")])
        (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["version"].value == "1"
    assert event.materialization.metadata["made"].value is True
    assert files_of(own_released.releases) == files_of(released[0].releases)
    monkeypatch.setenv("IMGDIFF_HOME", str(own_released.root))
    told = json.loads(CliRunner().invoke(main, ["release", "--json"]).stdout)
    assert (told["version"], told["made"]) == ("1", False)
    told = json.loads(CliRunner().invoke(main, ["release", "--version", "b", "--json"]).stdout)
    assert (told["made"], told["previous"]) == (True, "1")
    with dagster_instance(own_released) as instance:
        latest = instance.get_latest_materialization_event(dg.AssetKey("release"))
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["version"].value == "b"


def test_reasons_name_what_became_of_a_sample(released: tuple[Home, Release]) -> None:
    """Against a release that had more: each kind of loss is told apart."""
    home, made = released
    now = read_contents(made.folder)
    row = next(row for row in now.samples if row["task"] == "difference")
    others: dict[str, dict[str, Any]] = {
        "shard-000009 is gone": {"shard": "shard-000009", "region_id": "1" * 16},
        "the task grounding is switched off": {"task": "grounding"},
        "captions was made anew, and has other rows": {"region_id": "0" * 16},
        "its texts were measured anew": {"pair_id": row["pair_id"], "task": "difference", "erased_from": ""},
    }
    for why, values in others.items():
        before = Contents(now.manifest, [*now.samples, {**row, **values, "sample_id": "f" * 16}])
        gone = [change for change in changes(Ledger(home.ledger), before, now) if change.kind == "gone"]
        assert [change.why for change in gone] == [why]


def test_diversity_counts_cells() -> None:
    cells = {("dog", "cat"): 3, ("dog", "cow"): 1, ("cat", "dog"): 4}
    found = Diversity(Spread(cells))
    assert found.categories == 3
    assert found.replaced.counts == {"dog": 4, "cat": 4}
    assert (found.replaced.entropy, found.replaced.evenness) == (1.0, 1.0)
    assert found.coverage == pytest.approx(3 / 4)
    assert found.to_json()["counts"][0] == ["cat", "dog", 4]
    empty = Diversity(Spread({}))
    assert (empty.cells.entropy, empty.cells.evenness, empty.coverage) == (0.0, 0.0, 0.0)


def test_diversity_of_a_ledger(drawn_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(drawn_home.ledger)
    shards = ledger.shards("prompt_pairs")
    rows = [row for shard in shards for row in ledger.read("prompt_pairs", shard).to_pylist() if row["kept"]]
    expected = Counter((row["source_object"], row["target_object"]) for row in rows)
    assert diversity(ledger, shards).cells.counts == expected
    assert diversity(ledger, shards, []).cells.counts == {}
    monkeypatch.setenv("IMGDIFF_HOME", str(drawn_home.root))
    told = json.loads(CliRunner().invoke(main, ["stats", "--diversity", "--json"]).stdout)
    assert {(a, b): n for a, b, n in told["prompt_pairs"]["counts"]} == expected
    assert told["pairs_with_samples"]["pairs"] <= told["prompt_pairs"]["pairs"]
    text = CliRunner().invoke(main, ["stats", "--diversity"]).stdout
    assert "object categories" in text
    assert "→" in text
