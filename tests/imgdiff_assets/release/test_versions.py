"""Numbers of releases: none is given twice, whatever is deleted, killed, or made at the same time."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue

import pytest

from imgdiff_assets.export.folder import partial_of
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.release.making import Release, make_release
from imgdiff_assets.release.versions import ReleaseError, check_version, latest_release, releases


def number_of(made: Release) -> int:
    number: int = json.loads((made.folder / "release.json").read_text(encoding="utf-8"))["number"]
    return number


@pytest.mark.slow
def test_the_number_of_a_deleted_release_is_not_given_again(released_home: Home, miniature_recipe: Recipe) -> None:
    assert make_release(released_home, miniature_recipe).version == "1"
    shutil.rmtree(released_home.releases / "1")
    second = make_release(released_home, miniature_recipe)
    assert (second.version, number_of(second), second.previous) == ("2", 2, None)
    shutil.rmtree(second.folder)
    assert make_release(released_home, miniature_recipe).version == "3"


def test_releases_are_in_the_order_they_were_made_in(released_home: Home, miniature_recipe: Recipe) -> None:
    """By name or by number: both count up together."""
    b = make_release(released_home, miniature_recipe, "b")
    shutil.rmtree(released_home.releases / "1")
    a = make_release(released_home, miniature_recipe, "a")
    assert [number_of(b), number_of(a)] == [2, 3]
    assert [path.name for path in releases(released_home)] == ["b", "a"]
    with pytest.raises(ReleaseError, match=r"3 was the last"):
        make_release(released_home, miniature_recipe, "3")
    seventh = make_release(released_home, miniature_recipe, "7")
    assert (number_of(seventh), seventh.previous) == (7, "a")
    for folder in releases(released_home):
        shutil.rmtree(folder)
    assert make_release(released_home, miniature_recipe).version == "8"


def test_a_folder_of_another_is_left_alone(released_home: Home, miniature_recipe: Recipe) -> None:
    shutil.rmtree(released_home.releases / "1")
    other = released_home.releases / "4"
    other.mkdir()
    (other / "export.json").write_text(json.dumps({"made_by": "imgdiff export"}), encoding="utf-8")
    assert make_release(released_home, miniature_recipe).version == "5"
    assert [path.name for path in other.iterdir()] == ["export.json"]


def test_homes_in_which_numbers_were_given_twice_are_in_order(released_home: Home) -> None:
    """As 0.1.0 did after one was deleted: the later has the higher version."""
    for version in ("9", "10"):
        folder = shutil.copytree(released_home.releases / "1", released_home.releases / version)
        manifest = json.loads((folder / "release.json").read_text(encoding="utf-8"))
        (folder / "release.json").write_text(json.dumps({**manifest, "number": 2, "version": version}))
    assert [path.name for path in releases(released_home)] == ["1", "9", "10"]


def test_a_killed_release_is_gone_on_with_under_its_number(released_home: Home, miniature_recipe: Recipe) -> None:
    shutil.rmtree(released_home.releases / "1")
    program = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from imgdiff_assets.home import Home
        from imgdiff_assets.recipe.chosen_recipe import load_recipe
        from imgdiff_assets.release.making import make_release

        def die(what, done, total):
            if done == total:
                os.kill(os.getpid(), 9)

        make_release(Home(Path({str(released_home.root)!r})), load_recipe("miniature"), progress=die)
    """)
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert latest_release(released_home) is None
    left = partial_of(released_home.releases / "1")
    assert left.is_dir()
    done = {path.name: path.stat().st_mtime_ns for path in left.glob("data/*.parquet")}
    assert len(done) == 2, "all but the last shard"
    made = make_release(released_home, miniature_recipe)
    assert (made.version, made.made) == ("1", True)
    assert {name: (made.folder / "data" / name).stat().st_mtime_ns for name in done} == done
    assert not left.exists()


@pytest.mark.parametrize("versions", [(None, None), ("x", "y")])
def test_two_at_once_follow_each_other(
    released_home: Home, miniature_recipe: Recipe, versions: tuple[str | None, str | None]
) -> None:
    shutil.rmtree(released_home.releases / "1")
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda version: make_release(released_home, miniature_recipe, version), versions))
    if versions == (None, None):
        assert sorted(release.made for release in made) == [False, True], "the second finds nothing new"
    assert sorted(map(number_of, made)) == ([1, 1] if versions == (None, None) else [1, 2])


def test_whoever_waits_is_told_for_what(released_home: Home, miniature_recipe: Recipe) -> None:
    told: Queue[str] = Queue()
    waiting: list[Future[Release]] = []

    def during(what: str, done: int, total: int) -> None:
        if done == 1:
            waiting.append(pool.submit(make_release, released_home, miniature_recipe, log=told.put))
            assert f"/releases is held by process {os.getpid()} on" in told.get(timeout=60)

    shutil.rmtree(released_home.releases / "1")
    with ThreadPoolExecutor(1) as pool:
        make_release(released_home, miniature_recipe, progress=during)
    assert waiting[0].result().made is False


@pytest.mark.parametrize("version", ["²", "٣", "é", "", "-1", "..", "a/b", "a" * 65, "9" * 5_000, "9" * 16, "1\n"])
def test_what_cannot_be_a_version_is_refused(version: str) -> None:
    with pytest.raises(ReleaseError, match=r"letters|digits") as caught:
        check_version(version)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("version", ["1", "1.0.0", "2026-11-28", "a", "9" * 15])
def test_what_can_be_a_version(version: str) -> None:
    check_version(version)
