"""Looking at what is stale: each footer is read once, and none of a shard of which no file has changed."""

import datetime
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.common.hashing import content_hash
from imgdiff_assets.engine import looks, staleness
from imgdiff_assets.engine.staleness import Staleness
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.corrections import CORRECTIONS, Correction
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.reviews import REJECT, Review, add_review
from imgdiff_assets.ledger.store.local import LocalStore
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

SHARD, OTHER = SHARDS = ["shard-000001", "shard-000003"]
OVER = """
import sys
from pathlib import Path
from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
ledger = Ledger(Home(Path(sys.argv[1])).ledger)
rows = ledger.read("captions", "shard-000001")
record = {**ledger.record("captions", "shard-000001"), "settings_hash": "of another run"}
ledger.keep_rows("captions", "shard-000001", [True] * len(rows), record)
"""
"""What another process does with a table: the same rows, judged by another recipe."""


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch, drawn_models: Any, drawn_recipe: Recipe) -> None:
    """Tables of the artist's are looked at with his identity."""
    monkeypatch.setattr(staleness, "LoadedModels", lambda roles, openers: drawn_models(drawn_recipe))


@pytest.fixture
def two_shards(own_home: Home) -> Home:
    """Of all that is fresh in the home, two shards: one, and its like under another name."""
    shutil.copy(own_home.captions / f"{SHARD}.parquet", own_home.captions / f"{OTHER}.parquet")
    for name in STAGE_NAMES:
        table = Path(Ledger(own_home.ledger).table_path(name, SHARD))
        shutil.copytree(table.parent, Path(Ledger(own_home.ledger).table_path(name, OTHER)).parent)
    return own_home


@pytest.fixture
def looked(two_shards: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that was looked at, and of which two shards were fresh."""
    monkeypatch.setattr(looks, "YOUNG", datetime.timedelta(0))
    assert look(two_shards, drawn_recipe) == {SHARD: [], OTHER: []}
    return two_shards


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each Parquet file was opened, by its path below the home."""
    counts: Counter[str] = Counter()
    before = LocalStore.open

    def count(self: LocalStore, address: Any) -> Any:
        if address.suffix == ".parquet":
            counts["/".join(address.parts[-3:])] += 1
        return before(self, address)

    monkeypatch.setattr(LocalStore, "open", count)
    return counts


def look(home: Home, recipe: Recipe, **options: Any) -> dict[str, list[str]]:
    looking = Staleness(home, recipe, STAGE_NAMES)
    with looking.looking():
        return {shard: looking.stages(shard, **options) for shard in SHARDS}


def test_a_footer_is_read_once_for_all_that_is_made_of_the_table(
    two_shards: Home, drawn_recipe: Recipe, opened: Counter[str]
) -> None:
    assert look(two_shards, drawn_recipe) == {SHARD: [], OTHER: []}
    tables = {name: count for name, count in opened.items() if "rows.parquet" in name}
    assert len(tables) == len(SHARDS) * len(STAGE_NAMES)
    assert set(tables.values()) == {1}


def test_of_a_shard_without_changes_nothing_is_read(looked: Home, drawn_recipe: Recipe, opened: Counter[str]) -> None:
    again = Staleness(looked, drawn_recipe, STAGE_NAMES)
    with again.looking():
        assert again.stages(SHARD) == []
    assert not opened
    told = {record["asset"]: record for record in again.fresh_records}
    assert set(told) == set(STAGE_NAMES)
    ledger = Ledger(looked.ledger)
    for name, record in told.items():
        whole = ledger.record(name, SHARD) or {}
        assert record == {each: whole[each] for each in looks.BRIEF}


def test_what_another_process_did_between_two_looks_is_seen(looked: Home, drawn_recipe: Recipe) -> None:
    subprocess.run([sys.executable, "-c", OVER, str(looked.root)], check=True)
    assert "captions" in look(looked, drawn_recipe)[SHARD]
    assert look(looked, drawn_recipe)[OTHER] == []


def test_who_looks_again_sees_what_was_done_meanwhile(looked: Home, drawn_recipe: Recipe) -> None:
    looking = Staleness(looked, drawn_recipe, STAGE_NAMES)
    assert looking.unusable(SHARD) == []
    subprocess.run([sys.executable, "-c", OVER, str(looked.root)], check=True)
    assert "captions" in looking.unusable(SHARD)


def _exchange(home: Home) -> None:
    """A table of another shard in the place of this one's."""
    ledger = Ledger(home.ledger)
    path = Path(ledger.table_path("filtered_pairs", SHARD))
    shutil.copy(ledger.table_path("filtered_pairs", "shard-000000"), path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def _flip(home: Home) -> None:
    """A bit of a footer, where it lies."""
    path = Path(Ledger(home.ledger).table_path("captions", SHARD))
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


def _stage(home: Home) -> None:
    """A batch of a run that was stopped."""
    ledger = Ledger(home.ledger)
    path = Path(ledger.staging("image_pairs", SHARD)) / "generate-000000.parquet"
    path.parent.mkdir(parents=True)
    shutil.copy(ledger.table_path("image_pairs", SHARD), path)


def _review(home: Home) -> None:
    sample = Ledger(home.ledger).read("fine_tune_set", SHARD)["sample_id"][0].as_py()
    add_review(home, Review(sample, SHARD, "Ann", REJECT))


def _correct(home: Home) -> None:
    region = Ledger(home.ledger).read("captions", SHARD)["region_id"][0].as_py()
    CORRECTIONS.add(home, [Correction(region, SHARD, "Ann", {"difference_caption": "Another."})])


CHANGES: dict[str, tuple[Callable[[Home], None], str]] = {
    "another table": (_exchange, "filtered_pairs"),
    "a damaged footer": (_flip, "captions"),
    "no table": (lambda home: Path(Ledger(home.ledger).table_path("captions", SHARD)).unlink(), "captions"),
    "other captions": (
        lambda home: shutil.copy(home.captions / "shard-000000.parquet", home.captions / f"{SHARD}.parquet"),
        "prompt_pairs",
    ),
    "a batch": (_stage, "image_pairs"),
    "a verdict": (_review, "fine_tune_set"),
    "a correction": (_correct, "fine_tune_set"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_since_is_seen(looked: Home, drawn_recipe: Recipe, change: str) -> None:
    make, stale = CHANGES[change]
    make(looked)
    found = look(looked, drawn_recipe)
    assert stale in found[SHARD]
    assert found[OTHER] == [], "of the other shard nothing has changed"


def test_another_recipe_or_model_or_release_is_seen(
    looked: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, drawn_models: Any, opened: Counter[str]
) -> None:
    other = override_recipe(drawn_recipe, ["filtered_pairs.min_similarity=0.75"])
    assert look(looked, other)[OTHER][0] == "filtered_pairs"
    assert look(looked, drawn_recipe)[OTHER] == [], "and back"

    class Retrained(drawn_models):  # type: ignore[misc]
        def identity(self, role: str) -> dict[str, Any]:
            return {**super().identity(role), **({"weights": content_hash("new")} if role == "captioner" else {})}

    with monkeypatch.context() as patched:
        patched.setattr(staleness, "LoadedModels", lambda roles, openers: Retrained(drawn_recipe))
        assert look(looked, drawn_recipe)[OTHER][0] == "captions"
    look(looked, drawn_recipe)
    opened.clear()
    monkeypatch.setattr(staleness, "RELEASE", "99.0.0")
    assert look(looked, drawn_recipe)[OTHER] == []
    assert opened, "another release looks for itself"


def test_what_was_written_just_now_is_looked_at_again(
    two_shards: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch, opened: Counter[str]
) -> None:
    monkeypatch.setattr(looks, "YOUNG", datetime.timedelta(days=365))
    for _ in range(2):
        opened.clear()
        look(two_shards, drawn_recipe)
        assert opened


def test_failed_rows_are_asked_for_in_the_tables(looked: Home, drawn_recipe: Recipe, opened: Counter[str]) -> None:
    look(looked, drawn_recipe, retry=True)
    assert opened


@pytest.mark.parametrize("text", ["", "{", '{"shard-000001": {"holds": 1}}', "[]"])
def test_a_memory_that_says_nothing_is_none(
    looked: Home, drawn_recipe: Recipe, opened: Counter[str], text: str
) -> None:
    (memory,) = (looked.local / "cache" / "looks").iterdir()
    memory.write_text(text, encoding="utf-8")
    assert look(looked, drawn_recipe) == {SHARD: [], OTHER: []}
    assert opened
    opened.clear()
    look(looked, drawn_recipe)
    assert not opened, "and it is written anew"


def test_a_table_that_an_earlier_release_measured_is_never_only_remembered(
    looked: Home, drawn_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs is asked about it each time."""
    monkeypatch.setattr(staleness, "RELEASE", "99.0.0")
    monkeypatch.setattr(staleness, "plan_table", lambda *arguments: _renewed(staleness.TablePlan, *arguments))
    for _ in range(2):
        looking = Staleness(looked, drawn_recipe, STAGE_NAMES)
        with looking.looking():
            looking.stages(SHARD)
        assert looking.renewed


def _renewed(made: Any, how: Any, ledger: Ledger, shard: str, inputs: str | None, *others: Any) -> Any:
    """The plan of a fresh table, of which newer code would measure a part."""
    stage = replace(
        how.stage,
        steps=tuple(
            replace(step, version=step.version + 1) if step in how.stage.measurements[:1] else step
            for step in how.stage.steps
        ),
    )
    return made(replace(how, stage=stage), shard, inputs, ledger.record(how.stage.name, shard), ())
