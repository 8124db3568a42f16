"""What installed packages offer is used like ours: filter, stage, task and wordings of `docs/extend.md`, all the way.

Each test looks at what one process did with them: see `tests/installed_parts_driver.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imgdiff_assets.home import Home
from imgdiff_assets.ledger.ledger import Ledger
from imgdiff_assets.recipe.recipe import Recipe
from tests.installed_packages import MISTAKES, install_documented

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
SHARD = "shard-000000"
PARTS = ("too_dark", "brightness", "palettes", "recoloured", "colour_shift", "count_words", "formal")


@pytest.fixture(scope="module")
def facts(miniature_home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("installed")
    install_documented(folder / "packages")
    shutil.copytree(miniature_home.root, folder / "home")
    kept = {name: value for name, value in os.environ.items() if name not in ("IMGDIFF_RECIPE", "DAGSTER_HOME")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.installed_parts_driver"],
        env={**kept, "IMGDIFF_HOME": str(folder / "home"), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'packages'}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def of_stage(listed: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in listed if entry["stage"] == name)


def nodes(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of a lineage, by table; of several the last."""
    found = {tree["table"]: tree}
    for child in tree["children"]:
        found |= nodes(child)
    return found


def test_installing_makes_nothing_stale_and_changes_no_hash(
    facts: dict[str, Any], miniature_home: Home, miniature_recipe: Recipe
) -> None:
    off = facts["off"]
    assert (off["run"]["told"]["fresh"], off["run"]["told"]["run_ids"]) == ([SHARD], [])
    assert off["recipe_hash"] == miniature_recipe.hash
    assert off["columns"] == Ledger(miniature_home.ledger).column_names("filtered_pairs", SHARD)


def test_what_is_not_named_is_not_shown(facts: dict[str, Any]) -> None:
    off = facts["off"]
    for place in ("run", "stats", "what_if", "lineage", "rebuilt"):
        assert off[place]["status"] == 0
    shown = {name: json.dumps(value) for name, value in off.items() if name not in ("doctor", "page_of_the_stage")}
    assert [(name, part) for name, text in shown.items() for part in PARTS if part in text] == []
    assert all(page["status"] == 200 for page in off["pages"].values())
    (page,) = off["page_of_the_stage"].values()
    assert page["status"] == 400
    assert "the recipe does not name palettes" in page["text"]


def test_doctor_tells_what_is_installed_and_whether_the_recipe_names_it(facts: dict[str, Any]) -> None:
    for doctor, named in ((facts["off"]["doctor"], False), (facts["on"]["shown"]["doctor"], True)):
        assert doctor["told"]["installed"] == [
            {"kind": kind, "name": name, "package": package, "version": "1.0", "named": named}
            for kind, name, package in (
                ("filters", "too_dark", "imgdiff-too-dark"),
                ("stages", "palettes", "imgdiff-palettes"),
                ("tasks", "count_words", "imgdiff-count-words"),
                ("questions", "formal", "imgdiff-formal"),
            )
        ]


def test_before_they_are_measured_it_is_foretold_what_would_be(facts: dict[str, Any]) -> None:
    foretold, planned = facts["on"]["foretold"]["told"], facts["on"]["planned"]["told"]
    assert foretold["to_measure"] == [{"stage": "filtered_pairs", "measurement": "brightness", "roles": [], "rows": 3}]
    key = "filtered_pairs.filters.too_dark.min_brightness"
    assert foretold["changes"] == [{"key": key, "present": [None], "other": 0.0}]
    assert of_stage(planned, "filtered_pairs")["reasons"] == {f"{key}: null → 0.0": 1}
    assert of_stage(planned, "palettes")["reasons"] == {"not made yet": 1}
    assert of_stage(planned, "image_pairs")["stale"] == 0
    assert not any(stage["again"] for stage in planned)


def test_what_they_need_is_measured_once_and_nothing_else_is(facts: dict[str, Any]) -> None:
    on = facts["on"]
    runs = [on["run"], on["lighter"]["run"], facts["off_again"]["run"]]
    made = [{record["asset"]: record for record in run["told"]["materializations"]} for run in runs]
    calls = [
        {(name, step): count for name, record in run.items() for step, count in record["calls"].items() if count}
        for run in made
    ]
    assert calls == [{("filtered_pairs", "brightness"): 3, ("palettes", "colours"): 3}, {}, {}]
    assert on["records"]["filtered_pairs"]["code_version"] == "2+brightness=1"
    assert on["records"]["filtered_pairs"]["settings"]["filters"] == {"too_dark": {"min_brightness": 0.0}}
    assert on["records"]["palettes"]["settings"] == {"max_shift": 1.0}


def test_their_settings_are_in_the_launchpad_with_the_recipe_s_values(facts: dict[str, Any]) -> None:
    shown = facts["on"]["launchpad"]
    assert shown["filtered_pairs"]["filters"] == {"too_dark": {"min_brightness": "0.0."}}
    assert shown["palettes"] == {"max_shift": "1.0."}


@pytest.mark.parametrize(("before", "after"), [("measured", "darker"), ("darker", "lighter")])
def test_what_if_foretells_what_a_run_does(facts: dict[str, Any], before: str, after: str) -> None:
    """First the launchpad moves the filter's threshold up, then a command moves it down, and the stage's too."""
    states = {"measured": facts["on"], **facts["on"]}
    foretold, was, is_now = states[after]["foretold"]["told"], states[before], states[after]
    assert foretold["to_measure"] == []
    assert [stage["then"] for stage in foretold["stages"]] == is_now["funnel"] != was["funnel"]
    for stage in foretold["stages"]:
        name = stage["then"]["stage"]
        moved = (set(was["kept"][name]) - set(stage["leaving"])) | set(stage["entering"])
        assert moved == set(is_now["kept"][name])


def test_a_threshold_of_the_launchpad_is_the_run_s(facts: dict[str, Any]) -> None:
    darker = facts["on"]["darker"]
    record = darker["records"]["filtered_pairs"]
    (statistic,) = [statistic for statistic in record["filters"] if statistic["filter"] == "too_dark"]
    assert statistic["threshold"] == pytest.approx(darker["threshold"])
    assert (statistic["seen"], statistic["rejected"]) == (3, 2)
    assert of_stage(darker["funnel"], "filtered_pairs")["rejected"]["too_dark"] == 2
    assert of_stage(darker["funnel"], "palettes")["upstream"] == 2
    reason = f"filtered_pairs.filters.too_dark.min_brightness: 0.0 → {darker['threshold']}"
    assert of_stage(darker["planned"]["told"], "filtered_pairs")["reasons"] == {reason: 1}
    assert [point["kept"] for point in darker["swept"]["told"]["points"]] == [3, 0]


def test_their_filters_and_scores_are_checked(facts: dict[str, Any]) -> None:
    checks = {(asset, name): passed for asset, name, passed in facts["on"]["darker"]["checks"]}
    for asset in ("filtered_pairs", "palettes"):
        assert checks[asset, "canaries"]
        assert checks[asset, "scores_in_range"]
        assert (asset, "kept_share") in checks
    assert checks["palettes", "no_orphans"]


def test_the_funnel_counts_what_they_reject(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    for stages in (shown["stats"]["told"]["stages"], shown["run"]["told"]["funnel"]["stages"]):
        assert of_stage(stages, "filtered_pairs")["rejected"]["too_dark"] == 1
        palettes = of_stage(stages, "palettes")
        assert 0 < palettes["rejected"]["recoloured"] < palettes["rows_in"] == 2
    assert shown["views"] == [3, 3], "of the catalog"


def test_the_browser_shows_them(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    pages = {address: page["text"] for address, page in shown["pages"].items()}
    assert {page["status"] for page in shown["pages"].values()} == {200}
    assert "too_dark <b>1</b>" in pages["/"]
    assert "one of the two images is too dark to see anything in" in pages["/"]
    for chart in ("<b>brightness</b>", "<b>colour_shift</b>"):
        assert chart in pages["/"], "a histogram"
    assert ">palettes</th>" in pages["/shards"]
    palettes = pages["/gallery?stage=palettes&verdict=all&sort=palettes.colour_shift"]
    assert "3 rows" in palettes
    assert "recoloured</span>" in palettes
    assert palettes.count("/thumbnail/") == 3
    assert "1 row " in pages["/gallery?stage=filtered_pairs&reason=too_dark"]
    assert f"{len(shown['kept']['fine_tune_set'])} rows" in pages["/gallery?score=filtered_pairs.brightness&low=0.1"]
    assert "filters.too_dark.min_brightness" in pages["/certificate?score=filtered_pairs.brightness"]
    pair, sample = pages[f"/row/{shown['pair']}"], pages[f"/row/{shown['sample']}"]
    assert "filters.too_dark.min_brightness" in pair
    assert "filters.too_dark.min_brightness" in sample
    assert "palettes <code>" in pair
    assert "colour_shift" in pair
    assert "fine_tune_set <code>" in sample, "the chain goes on past a stage that leads to no sample"
    assert shown["report"]["status"] == 0


def test_lineage_has_their_scores_thresholds_and_reasons(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    rows = nodes(shown["lineage"]["told"])
    scores = {score["name"]: score for score in rows["filtered_pairs"]["scores"]}
    (limit,) = scores["brightness"]["limits"]
    assert (limit["setting"], limit["filter"]) == ("filters.too_dark.min_brightness", "too_dark")
    assert limit["now"] == limit["judged_by"] < scores["brightness"]["value"]
    assert rows["palettes"]["scores"][0]["name"] == "colour_shift"
    assert rows["palettes"] in rows["filtered_pairs"]["children"]
    told = shown["lineage_of_a_dark_pair"]["told"]
    assert "rejected by too_dark: one of the two images is too dark to see anything in" in told
    assert re.search(r"brightness 0\.\d+ \(filters\.too_dark\.min_brightness 0\.\d+\)", told)


def test_replay_measures_them_again(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    steps = {
        name: [(step["stage"], step["measurement"]) for step in answer["told"]["steps"]]
        for name, answer in shown["replays"].items()
    }
    for name, answer in shown["replays"].items():
        assert (answer["status"], answer["told"]["origins"]) == (0, [])
        assert ("filtered_pairs", "brightness") in steps[name]
    assert ("palettes", "colours") in steps[shown["pair"]]
    assert ("palettes", "colours") not in steps[shown["sample"]], "no sample is made of it"


def test_a_release_tells_of_them(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    assert shown["release"]["told"]["samples"] == {"train": len(shown["kept"]["fine_tune_set"])}
    settings = shown["manifest"]["settings"]
    threshold = settings["filtered_pairs"]["filters"]["too_dark"]["min_brightness"]
    assert threshold == facts["on"]["lighter"]["threshold"]
    card = shown["card"]
    assert "too_dark\xa01" in card
    assert f"| filtered_pairs | filters.too_dark.min_brightness | {threshold} |" in card
    assert f"| palettes | max_shift | {settings['palettes']['max_shift']} |" in card
    for table, score in (("filtered_pairs", "brightness"), ("palettes", "colour_shift")):
        assert f"| {table} | {score} | 3 |" in card.replace(" 2 |", " 3 |")


def test_samples_of_an_installed_task_answer_as_it_says(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    captions = {row["pair_id"]: row for row in shown["captions"]}
    samples = [row for row in shown["samples"] if row["task"] == "count_words" and row["kept"]]
    assert samples
    for row in samples:
        words = len(captions[row["pair_id"]][f"{row['first']}_caption"].split())
        assert row["answer"] == f"{words} words."
        assert row["conversations"][0]["value"].endswith("How many words describe the first image?")
        assert row["conversations"][1]["value"] == row["answer"]


def test_installed_wordings_ask_and_are_recorded_as_texts(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    wordings = shown["records"]["fine_tune_set"]["settings"]["questions"]
    assert wordings["difference"] == [
        "Kindly state the difference {region}.",
        "Please describe what differs {region}.",
    ]
    assert wordings["count_words"] == ["How many words describe the first image?"]
    samples = [row for row in shown["samples"] if row["task"] == "difference"]
    asked = {row["conversations"][0]["value"].rpartition("\n")[2] for row in samples}
    assert set() < asked <= {text.format(region="inside the red box") for text in wordings["difference"]}


def test_a_command_may_switch_them_off_and_on(facts: dict[str, Any]) -> None:
    shown = facts["on"]["shown"]
    off = shown["switched_off"]["told"]
    assert "palettes" not in {stage["stage"] for stage in off}
    (reason,) = of_stage(off, "filtered_pairs")["reasons"]
    assert reason == f"filtered_pairs.filters.too_dark.min_brightness: {facts['on']['lighter']['threshold']} → null"
    assert shown["switched_on"]["palettes"] == {"max_shift": 0.1}, "its default"
    assert shown["switched_on"]["filtered_pairs"]["filters"] == {"too_dark": {"min_brightness": 0.1}}


def test_a_recipe_that_names_them_no_more_is_as_before(facts: dict[str, Any], miniature_home: Home) -> None:
    after, darkest = facts["off_again"], facts["on"]["shown"]
    threshold = facts["on"]["lighter"]["threshold"]
    reason = f"filtered_pairs.filters.too_dark.min_brightness: {threshold} → null"
    assert of_stage(after["planned"]["told"], "filtered_pairs")["reasons"] == {reason: 1}
    stages = after["foretold"]["told"]["stages"]
    (change,) = [stage for stage in stages if stage["then"]["stage"] == "filtered_pairs"]
    assert "palettes" not in {stage["then"]["stage"] for stage in stages}
    assert set(darkest["kept"]["filtered_pairs"]) | set(change["entering"]) == set(after["kept"]["filtered_pairs"])
    assert len(change["entering"]) == 1
    before = Ledger(miniature_home.ledger).record("filtered_pairs", SHARD)
    now = after["records"]["filtered_pairs"]
    assert before is not None
    for name in ("settings", "settings_hash", "code_version", "output_hash", "models", "recipe_hash"):
        assert now[name] == before[name]


@pytest.mark.parametrize(("override", "sentence"), MISTAKES.items())
def test_a_mistake_is_one_sentence(facts: dict[str, Any], override: str, sentence: str) -> None:
    answer = facts["mistaken"][override]
    assert answer["status"] == 1
    assert sentence in answer["error"]
    assert answer["error"].count("\n") == 1
