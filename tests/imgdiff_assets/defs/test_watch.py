"""What goes wrong by night is told once, with what to do and without secrets; a spent budget asks for nothing."""

import datetime
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets.defs import watch
from imgdiff_assets.defs.automation import bring_up_to_date, most_shards, stale_shards
from imgdiff_assets.defs.placed_graph import PlacedGraph
from imgdiff_assets.defs.telling import NotTaken, tell
from imgdiff_assets.home import Home
from imgdiff_assets.ingest.shards import shard_keys
from imgdiff_assets.recipe.automation_settings import AutomationSettings, TellSettings
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from imgdiff_assets.recipe.overrides import override_recipe
from imgdiff_assets.recipe.recipe import Recipe
from imgdiff_assets.stages.graph import COMMON_NAMES as STAGE_NAMES

ENOUGH = SimpleNamespace(total=10**12, free=5 * 10**11)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def night(own_home: Home, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`night(*overrides)`: one look of the sensor; returns what a command was told by it."""
    mail = tmp_path / "mail"
    program = f"import sys; open({str(mail)!r}, 'a').write(sys.stdin.read() + '\\n')"
    command = f"automation.tell.command={json.dumps([sys.executable, '-c', program])}"
    key = dg.AssetCheckKey(dg.AssetKey("captions"), "kept_share")
    current: list[Recipe] = []
    monkeypatch.setattr(PlacedGraph, "recipe", lambda graph: current[-1])
    sensor = watch.watch(PlacedGraph(own_home), {"stale_shards": "0 3 * * *"}, [key])
    cursor: list[str | None] = [None]
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda path: ENOUGH)

    def look(*overrides: str) -> str:
        mail.unlink(missing_ok=True)
        current.append(load_recipe("miniature", [command, *overrides]))
        with dg.build_sensor_context(instance=instance, cursor=cursor[0]) as context:
            cursor[0] = sensor.evaluate_tick(context).cursor
        return mail.read_text(encoding="utf-8") if mail.exists() else ""

    return look


def test_a_run_and_a_check_that_failed_are_told_once(
    night: Any, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_API_KEY", "sk-very-secret")
    assert night() == ""

    @dg.asset(name="captions")
    def captions() -> None: ...

    @dg.asset_check(asset=captions, name="kept_share")
    def kept_share() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="keeps 1 % of its rows")

    @dg.asset(name="broken")
    def broken() -> None:
        raise dg.Failure("http://me:pass@gpu:8000 refused the key sk-very-secret")

    dg.materialize([captions, broken, kept_share], instance=instance, raise_on_error=False)
    said = night()
    assert "failed: broken: http://***@gpu:8000 refused the key ***" in said
    assert "`imgdiff run` goes on where it stopped." in said
    assert "The check kept_share of captions failed: keeps 1 % of its rows" in said
    assert night() == "", "it is told once"
    dg.materialize([captions, broken, kept_share], instance=instance, raise_on_error=False)
    again = night()
    assert "broken" in again, "another run"
    assert "kept_share" not in again, "it has been red all the time"


def test_a_disk_is_told_of_when_it_fills_and_again_when_it_does_again(
    night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free(count: float) -> None:
        monkeypatch.setattr(watch.shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, free=count))

    free(9e9)
    assert "has 9.0 GB free, less than 10 GB. Make room" in night()
    assert night("automation.tell.room_gb=10") == ""
    free(5e11)
    assert night() == ""
    free(9e9)
    assert "9.0 GB free" in night()
    ((_, text),) = watch._full_disk(Home(Path("/data/home")), [(0, 90e9), (3600 * 2, 60e9)], 10)
    assert text.startswith("The disk of home is full in about 4.0 hours if it goes on so.")
    assert list(watch._full_disk(Home(Path("/data/home")), [(0, 90e9), (3600 * 2, 89e9)], 10)) == []


def test_a_schedule_that_is_on_and_did_not_run_is_told(instance: dg.DagsterInstance) -> None:
    now = datetime.datetime(2026, 11, 28, 7, tzinfo=datetime.UTC)
    due = datetime.datetime(2026, 11, 28, 3, tzinfo=datetime.UTC).timestamp()
    state = SimpleNamespace(
        instigator_name="stale_shards",
        instigator_type=SimpleNamespace(value="SCHEDULE"),
        is_running=True,
        instigator_data=SimpleNamespace(start_timestamp=due - 1e6),
        instigator_origin_id="origin",
        selector_id="selector",
    )

    def missed(*ticks: Any) -> list[tuple[str, str]]:
        asked: Any = SimpleNamespace(all_instigator_state=lambda: [state], get_ticks=lambda *a, **b: list(ticks))
        return list(watch._missed_schedules(asked, {"stale_shards": "0 3 * * *"}, "UTC", now))

    ((_, text),) = missed(SimpleNamespace(timestamp=due - 86_400, is_failure=False))
    assert "The schedule stale_shards, due on Sat 28 Nov 03:00 UTC, has not run" in text
    assert missed(SimpleNamespace(timestamp=due, is_failure=False)) == []
    assert "could not run" in missed(SimpleNamespace(timestamp=due, is_failure=True))[0][1]
    state.is_running = False
    assert missed() == []


def test_a_web_address_gets_the_text_and_what_nobody_took_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204 if self.path == "/hook" else 403)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert tell(TellSettings(url=f"{url}/hook"), "a text") == []
        assert got == [{"text": "a text"}]
        monkeypatch.setenv("IMGDIFF_TELL_URL", f"{url}/secret-path")
        with pytest.raises(NotTaken, match=r"^The web address answered with status 403\.$"):
            tell(TellSettings(), "a text")
        refused = tell(TellSettings(command=[sys.executable, "-c", "input()"]), "a text")
        assert refused == ["The web address answered with status 403."]
        server.shutdown()


def test_a_spent_budget_asks_for_nothing_and_says_so(
    own_home: Home, drawn_recipe: Recipe, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fixed sum of hours was spent by the tables, which were written just now."""
    for history in own_home.ledger.rglob("history.jsonl"):
        lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            line["step_seconds"] = dict.fromkeys(line["step_seconds"], 360.0)
            line["finished_at"] = datetime.datetime.now(datetime.UTC).isoformat()
        history.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for hours, most in ((0.5, 0), (50, None), (None, None)):
        budget = [f"automation.budget.hours={hours}", "automation.budget.per=week"] if hours else []
        recipe = override_recipe(drawn_recipe, budget)
        monkeypatch.setattr(PlacedGraph, "recipe", lambda graph, recipe=recipe: recipe)
        found = most_shards(PlacedGraph(own_home), recipe, shard_keys(own_home))
        assert found == most if most is not None or hours is None else found is not None and found > 1
        if most == 0:
            with dg.build_schedule_context(instance=instance) as context:
                graph = PlacedGraph(own_home)
                job = bring_up_to_date(graph, STAGE_NAMES)
                tick = stale_shards(graph, job, AutomationSettings()).evaluate_tick(context)
            assert not tick.run_requests
            assert (tick.skip_message or "").startswith("The budget is spent: ")
            assert "begins anew on Mon" in (tick.skip_message or "")


def test_run_configuration_names_nobody_to_tell() -> None:
    """A command comes from the recipe on disk or the environment: who launches a run cannot give one."""
    from imgdiff_assets.defs.recipe_resource import recipe_resource

    assert "automation" not in type(recipe_resource(load_recipe("miniature"))).model_fields
