"""A release onto a hub, over the real client: told before, whole or not at all, gone on with; licences and reviews."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from click.testing import CliRunner

from imgdiff_assets.cli.main import main
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.ledger.licences import LICENCES, licence_shards
from imgdiff_assets.ledger.reviews import RANDOM, Review, add_review
from imgdiff_assets.recipe.chosen_recipe import chosen_recipe, load_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.contents import BrokenRelease
from imgdiff_assets.release.licensing import for_the_hub
from imgdiff_assets.release.making import make_release
from imgdiff_assets.release.pushing import PushError, plan_push, push
from imgdiff_assets.release.safety import look_at
from imgdiff_assets.round_trips.reviewable import reviewable
from tests.receiving_hub import ReceivingHub

# The library's own way of sending a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "me/differences"


@pytest.fixture
def released(judged_home: Home) -> Home:
    """With release 1, which tests leave as it is."""
    return judged_home


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ReceivingHub]:
    with ReceivingHub().serving() as serving:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", serving.address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield serving


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_arrives_is_the_release_and_another_push_sends_nothing(released: Home, hub: ReceivingHub) -> None:
    folder = released.releases / "1"
    planned = plan_push(folder, REPO)
    assert (planned.exists, set(planned.new), planned.gone) == (False, set(files_of(folder)), ())
    push(planned, private=True)
    assert hub.files(REPO) == files_of(folder)
    assert hub.private == {REPO}
    assert len(hub.datasets[REPO]) == 2, "one commit"
    assert plan_push(folder, REPO).changes_nothing


@pytest.mark.parametrize("refuse", [{"refuse_after": 1}, {"refuse_commits": True}])
def test_what_was_stopped_shows_nothing_and_goes_on(refuse: dict[str, Any], released: Home, hub: ReceivingHub) -> None:
    folder = released.releases / "1"
    for name, value in refuse.items():
        setattr(hub, name, value)
    with pytest.raises(PushError, match="nothing was published"):
        push(plan_push(folder, REPO))
    assert hub.files(REPO) == {}
    assert hub.received, "large files go before the commit"
    hub.refuse_after, hub.refuse_commits = None, False
    push(plan_push(folder, REPO))
    assert hub.files(REPO) == files_of(folder)
    assert len(hub.received) == len(set(hub.received)), "what had arrived was not sent again"


def test_files_of_an_earlier_release_go_by_the_same_commit(released: Home, hub: ReceivingHub) -> None:
    hub.datasets[REPO] = [{".gitattributes": b"x", "data/old.parquet": b"old", "README.md": b"# Old\n"}]
    planned = plan_push(released.releases / "1", REPO)
    assert planned.gone == ("data/old.parquet",)
    push(planned)
    assert set(hub.files(REPO)) == {".gitattributes", *files_of(released.releases / "1")}


def test_what_was_changed_there_is_put_right_and_a_wrong_name_told(released: Home, hub: ReceivingHub) -> None:
    planned = plan_push(released.releases / "1", REPO)
    push(planned)
    changed = hub.files(REPO)
    hub.datasets[REPO].append({**changed, "README.md": b"# Another's\n"})
    stale = plan_push(released.releases / "1", REPO)
    assert stale.new == ("README.md",)
    with pytest.raises(PushError, match="no/such/name"):
        plan_push(released.releases / "1", "no/such/name")


@pytest.mark.slow
def test_where_no_server_answers_it_is_told(
    released: Home, hub: ReceivingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushError, match="nothing was published"):
        plan_push(released.releases / "1", REPO)


def test_the_command_shows_asks_and_can_be_blocked(
    released_home: Home, hub: ReceivingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(released_home.root))

    def run(*words: str, answer: str = "", status: int = 0) -> str:
        asked = ["release", "--push", REPO, "--unsafe-words", "a red ball", "--recipe", "miniature", *words]
        result = CliRunner().invoke(main, asked, input=answer)
        assert result.exit_code == status, result.output
        return result.output

    told = run(answer="n\n", status=1)
    assert "a red ball: " in told
    assert "data/train" in told or "data/validation" in told
    assert "Nothing was published" in told
    assert "did not pass the safety filter" in run("--yes", "--max-unsafe", "-1", status=1)
    assert REPO not in hub.datasets
    assert "Published: " in run(answer="y\n")
    assert " already." in run("--yes")


def test_pictures_that_show_a_word_are_nearer_to_it(released: Home, miniature_recipe: Recipe) -> None:
    found = look_at(released.releases / "1", miniature_recipe, ["a red ball on the grass"], 2.0, 0.0)
    assert found.blocked == []
    assert found.pictures > 0
    _, _, highest = found.words["a red ball on the grass"]
    assert found.worst[0][2] == pytest.approx(highest)
    limit = (highest + found.worst[-1][2]) / 2
    assert (
        found.worst[0][0]
        in look_at(released.releases / "1", miniature_recipe, ["a red ball on the grass"], limit, 0.0).blocked
    )


def test_what_cannot_be_looked_at_is_not_passed_over(released_home: Home, miniature_recipe: Recipe) -> None:
    def look() -> None:
        look_at(released_home.releases / "1", miniature_recipe, ["a red ball"], None, 0.0)

    files = sorted((released_home.releases / "1" / "data").glob("*.parquet"))
    files[0].write_bytes(b"PAR1")
    with pytest.raises(BrokenRelease, match=f"{files[0].name} is damaged"):
        look()
    files[0].unlink()
    with pytest.raises(BrokenRelease, match="data is damaged"):
        look()


def test_a_release_that_lost_its_samples_is_named(released_home: Home, miniature_recipe: Recipe) -> None:
    (released_home.releases / "1" / "samples.parquet").unlink()
    with pytest.raises(BrokenRelease, match=r"samples\.parquet is missing"):
        make_release(released_home, miniature_recipe)


def test_licences_and_reviews_are_told_and_off_leaves_no_trace(
    released_home: Home, miniature_recipe: Recipe, judge_again: Callable[[Home], None]
) -> None:
    home = released_home
    before = make_release(home, miniature_recipe)
    first = json.loads((before.folder / "release.json").read_text(encoding="utf-8"))
    assert "licences" not in first
    assert not make_release(home, miniature_recipe).made
    licence_shards(home, shard_keys(home), "CC-BY-4.0")
    for sample in reviewable(Ledger(home.ledger)).values():
        add_review(home, Review(sample.sample_id, sample.shard, "Ann", "accept", queue=RANDOM, first=sample.first))
    judge_again(home)
    made = make_release(home, miniature_recipe)
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^- Captions, \d shards?: CC-BY-4.0$", card, re.MULTILINE)
    assert re.search(r"were found right by \d reviewers?: \d+\.\d%, and between", card)
    assert f"@misc{{image_differences_{made.version}," in card
    about = json.loads((made.folder / "croissant.json").read_text(encoding="utf-8"))
    assert about["license"] == ["Apache-2.0 (part of this project)", "CC-BY-4.0"]
    assert card.partition("\n---\n")[0].count("license: other\n") == 1, "there is more than one"
    assert f"release {made.version}" in about["citeAs"]


def test_one_licence_of_everything_is_named_as_the_hub_does() -> None:
    drew = {"pair_generator": {"model": "miniature:pair_generator"}}
    said = {"licences": [{"holds": "pairs", "licence": "CC-BY-4.0", "shards": ["shard-000000"]}], "models": {}}
    assert for_the_hub(said) == {"license": "cc-by-4.0"}
    for other in ({**said, "models": drew}, {"models": {}}, {"models": drew}):
        assert for_the_hub(other)["license"] == "other", other


def test_the_recipe_says_what_blocks_a_release_and_the_command_otherwise(
    released_home: Home, hub: ReceivingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(released_home.root))
    recipe = released_home.root.parent / "strict.yaml"
    shipped = chosen_recipe("miniature").text()
    recipe.write_text(f"{shipped}\nrelease: {{unsafe_words: [a red ball], max_unsafe: -1}}\n", encoding="utf-8")
    assert load_recipe(str(recipe)).hash == load_recipe("miniature").hash

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["release", "--recipe", str(recipe), *words])
        return result.exit_code, result.output

    for asked in (["--safety"], ["--push", REPO, "--yes"]):
        status, told = run(*asked)
        assert status == 1
        assert "a red ball: " in told
        assert "did not pass the safety filter" in told
    assert REPO not in hub.datasets
    status, told = run("--safety", "--max-unsafe", "1", "--unsafe-words", "a blue kite")
    assert status == 0
    assert "a blue kite: " in told
    assert REPO not in hub.datasets


def test_ingestion_keeps_the_licence_with_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGDIFF_HOME", str(tmp_path / "home"))
    (tmp_path / "captions.txt").write_text("a red ball on the grass\n", encoding="utf-8")

    def run(*words: str, status: int = 0) -> None:
        assert CliRunner().invoke(main, ["ingest", str(tmp_path / "captions.txt"), *words]).exit_code == status

    run("--licence", " ", status=2)
    run("--licence", "CC0", "--dry-run")
    run("--licence", " CC-BY-4.0  by Ann")
    said = LICENCES.read(Home(tmp_path / "home")).values
    assert [(each.shard, each.licence) for each in said] == [("shard-000000", "CC-BY-4.0 by Ann")]
