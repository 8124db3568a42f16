"""A backend that an installed package offers is used like ours, from the recipe to the replay."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from imgdiff_assets.cli.main import main
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.release import card
from resources import installed
from tests.installed_backend import install

SHARD = "shard-000000"
STAMPED = ("prompt_rewriter.backend=stamp", "prompt_rewriter.model=stamp", "prompt_rewriter.backend_settings.word=dog")
PLAIN = ("prompt_pairs.answer_pattern='(?s)(?P<caption>.+)'", "prompt_pairs.known_words=[]")


@pytest.fixture(autouse=True)
def stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(tmp_path / "packages", monkeypatch)
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMGDIFF_RECIPE", raising=False)
    yield
    installed.offers.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def answer(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose prompt pairs are written by the stamp; not to be changed."""
    folder = tmp_path_factory.mktemp("stamped")
    captions = folder / "captions.txt"
    captions.write_text("a dog on the grass\na cat on the sand\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        install(folder / "packages", patch)
        patch.setenv("IMGDIFF_HOME", str(folder / "home"))
        patch.delenv("IMGDIFF_RECIPE", raising=False)
        assert call("ingest", str(captions)).exit_code == 0
        result = call("run", "--select", "prompt_pairs", "--set", *STAMPED, *PLAIN)
        assert result.exit_code == 0, result.output
    installed.offers.cache_clear()
    return folder / "home"


@pytest.fixture
def ledger(stamped: Path, stamp: None, tmp_path: Path) -> Ledger:
    """Of a copy."""
    return Ledger(Path(shutil.copytree(stamped, tmp_path / "home")) / "ledger")


def test_a_run_measures_with_it_and_records_what_it_was(ledger: Ledger) -> None:
    rows = ledger.read("prompt_pairs", SHARD).to_pylist()
    assert {row["target_caption"] for row in rows} == {"a cube on the grass", "a cat on the sand"}
    record = ledger.record("prompt_pairs", SHARD)
    assert record is not None
    assert record["devices"] == {"prompt_rewriter": "paper"}
    known = record["models"]["prompt_rewriter"]
    assert (known["backend"], known["backend_package"]) == ("stamp", "rubber-stamp 1.2")
    assert (known["backend_settings"], known["weights"]) == ({"word": "dog"}, "stamp of stamp")


def test_nothing_is_made_again_until_its_package_changes(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = ("run", "--dry-run", "--select", "prompt_pairs", "--set", *STAMPED, *PLAIN)
    assert "prompt_pairs      up to date" in call(*dry).stdout
    install(tmp_path / "newer", monkeypatch, version="2.0")
    told = call(*dry).stdout
    assert 'prompt_rewriter.backend_package: "rubber-stamp 1.2" → "rubber-stamp 2.0"' in told
    assert "2 rows measured again: rewrite" in told


def test_lineage_and_replay_know_it(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = next(row["pair_id"] for row in ledger.read("prompt_pairs", SHARD).to_pylist() if row["source_object"])
    assert "stamp (weights stamp of sta, by rubber-stamp 1.2)" in call("lineage", pair).stdout
    # By a recipe that has another backend for the role.
    same = answer("replay", pair)
    assert (same["verdict"], same["origins"]) == ("same", [])
    install(tmp_path / "newer", monkeypatch, version="2.0")
    assert answer("replay", pair)["origins"] == ["prompt_rewriter: run by rubber-stamp 1.2, now by rubber-stamp 2.0."]


def test_what_was_made_without_it_is_replayed_without_it(tmp_path: Path) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("a red ball on the grass\n", encoding="utf-8")
    call("ingest", str(captions))
    assert call("run", "--select", "prompt_pairs").exit_code == 0
    (row,) = Ledger(tmp_path / "home" / "ledger").read("prompt_pairs", SHARD).to_pylist()[:1]
    recipe = tmp_path / "stamped.yaml"
    shipped = Path(__file__).parents[2] / "imgdiff_assets" / "recipe" / "shipped" / "miniature.yaml"
    text = shipped.read_text(encoding="utf-8").replace("prompt_rewriter:\n", "prompt_rewriter:\n    backend: stamp\n")
    recipe.write_text(text, encoding="utf-8")
    replayed = answer("replay", row["pair_id"], "--recipe", str(recipe))
    assert (replayed["verdict"], replayed["origins"]) == ("same", [])


def test_a_release_s_card_names_its_package_and_its_licence(ledger: Ledger) -> None:
    record = ledger.record("prompt_pairs", SHARD)
    assert record is not None
    table = card._models(record["models"])
    assert "| prompt_rewriter | `stamp` by rubber-stamp 1.2 | — | `stamp of sta` | public domain |" in table


def test_models_and_doctor_tell_of_it() -> None:
    (listed, *_) = answer("models", "list", "--set", *STAMPED)
    assert listed["backend"] == "stamp"
    assert (listed["present"], listed["fetchable"]) == (True, False)
    assert (listed["where"], listed["licence"], listed["dtype"]) == ("in the drawer", "public domain", None)
    assert "stamp is on a stamp, nothing to fetch" in call("models", "pull", "--set", *STAMPED).stderr
    (checked,) = answer("models", "check", "--roles", "prompt_rewriter", "--set", *STAMPED)
    assert (checked["device"], checked["answer"], checked["peak_memory"]) == (
        "paper",
        "'a red ball on the grass'",
        None,
    )
    report = answer("doctor", "--set", *STAMPED)
    stamp = {"kind": "backends", "name": "stamp", "package": "rubber-stamp", "version": "1.2", "named": True}
    assert stamp in report["installed"]
    assert "models on a stamp need the no_such_ink package: pip install ink" in report["remarks"]
    assert report["recipes"][0]["problems"] == []
    assert "Installed backends: stamp (rubber-stamp 1.2, not in the recipe)" in call("doctor").stdout


def test_a_model_that_it_lacks_is_missing_in_its_own_words() -> None:
    result = call("models", "list", "--set", *STAMPED, "prompt_rewriter.model=seal")
    assert result.exit_code == 1
    assert "prompt_rewriter: There is no stamp 'seal': cut one." in result.stdout
    report = answer("doctor", "--set", *STAMPED, "prompt_rewriter.model=seal")
    assert report["recipes"][0]["problems"] == ["There is no stamp 'seal': cut one."]


def test_one_that_is_not_installed_is_one_sentence() -> None:
    result = call("models", "list", "--set", "captioner.backend=nobody")
    assert result.exit_code == 1
    assert "the backend 'nobody' is not installed (installed: stamp): install the package" in result.stderr
    assert "Traceback" not in result.output
