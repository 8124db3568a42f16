"""Where the key is sent: to the servers that a user names, whatever the configuration of a run says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest

from imgdiff_assets.defs.role_resources import CaptionerResource, role_resources
from imgdiff_assets.recipe.chosen_recipe import load_recipe
from resources.backends.choice import identity_of
from resources.captioner import CaptionerSettings
from resources.chat_server import served_identity
from resources.loading import api_key
from resources.loading.failures import ModelUnavailable

KEY = "the key of another server"


class Listener:
    """A server that keeps the `Authorization` of each request, and leads on to `redirect` or has no model."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.redirect = ""
        self.base_url = ""


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            listener.heard.append(self.headers["Authorization"])
            self.send_response(302 if listener.redirect else 404)
            self.send_header("Location", listener.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        listener.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        yield listener
        server.shutdown()
        thread.join()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Nothing is named, and there is a key."""
    monkeypatch.setattr(api_key, "_named", set())
    monkeypatch.setenv("IMGDIFF_API_KEY", KEY)
    for name in ("IMGDIFF_API_KEY_URLS", "IMGDIFF_API_KEYS", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with listening() as listener:
        yield listener


def ask(base_url: str) -> str:
    """Ask what is served there; returns the error, for nothing is."""
    with pytest.raises(ModelUnavailable) as caught:
        served_identity(CaptionerSettings(model="m", base_url=base_url, max_retries=0))
    return str(caught.value)


def test_the_configuration_of_a_run_does_not_send_the_key_anywhere(listener: Listener) -> None:
    @dg.asset
    def asked(captioner: CaptionerResource) -> None:
        identity_of(captioner.settings)

    recipe = load_recipe("miniature", ["captioner.base_url=http://127.0.0.1:9/v1"])
    job = dg.Definitions([asked], resources=role_resources(recipe.models)).resolve_implicit_global_asset_job_def()
    config = {"resources": {"captioner": {"config": {"base_url": listener.base_url, "max_retries": 0}}}}
    with pytest.raises(ModelUnavailable, match="IMGDIFF_API_KEY is not sent to") as caught:
        job.execute_in_process(run_config=config)
    assert listener.heard == []
    for words in (listener.base_url, "the recipe", "`--set`", "IMGDIFF_API_KEY_URLS", "unset"):
        assert words in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_command_line_names_a_server(listener: Listener) -> None:
    load_recipe("miniature", [f"captioner.base_url={listener.base_url}"])
    assert "refuses to answer" in ask(listener.base_url)
    assert listener.heard == [f"Bearer {KEY}"]


@pytest.mark.parametrize("listed", ["{}", "{}/", "http://elsewhere/v1 {}", "http://elsewhere/v1,{}"])
def test_a_list_in_the_environment_names_servers(
    listener: Listener, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_API_KEY_URLS", listed.format(listener.base_url))
    ask(listener.base_url)
    assert listener.heard == [f"Bearer {KEY}"]


def test_a_name_is_a_whole_base_url(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    host = listener.base_url.removesuffix("/v1")
    monkeypatch.setenv("IMGDIFF_API_KEY_URLS", f"{host} {listener.base_url}/deeper {listener.base_url}.example")
    assert "is not sent to" in ask(listener.base_url)
    assert listener.heard == []


def test_a_server_that_leads_elsewhere_does_not_take_the_key_there(listener: Listener) -> None:
    api_key.name_server(listener.base_url)
    with listening() as other:
        listener.redirect = f"{other.base_url}/models"
        ask(listener.base_url)
    assert (listener.heard, other.heard) == ([f"Bearer {KEY}"], [None])


def test_each_server_gets_its_own_key(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as other:
        monkeypatch.setenv("IMGDIFF_API_KEYS", f"{listener.base_url}/=one= {other.base_url}=two")
        for server in (listener, other):
            ask(server.base_url)
        assert (listener.heard, other.heard) == (["Bearer one="], ["Bearer two"])
    with listening() as third:
        assert "IMGDIFF_API_KEY is not sent to" in ask(third.base_url)
        assert third.heard == []


@pytest.mark.parametrize("entry", ["secret", "=secret", "http://server/v1=", "http://server/v1"])
def test_an_entry_that_is_none_is_refused_without_what_it_holds(
    listener: Listener, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGDIFF_API_KEYS", f"http://elsewhere/v1=fine {entry}")
    told = ask(listener.base_url)
    assert told.startswith("IMGDIFF_API_KEYS: entry 2 is not of the form")
    assert "secret" not in told
    assert listener.heard == []


def test_openai_s_key_goes_to_its_server_alone(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGDIFF_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "openai's")
    api_key.name_server(listener.base_url)
    ask(listener.base_url)
    assert listener.heard == ["Bearer none"]
    assert api_key.key_for("https://api.openai.com/v1/") == "openai's"
    assert api_key.key_for("https://api.openai.com.example/v1") == "none"
    monkeypatch.setenv("OPENAI_BASE_URL", listener.base_url)
    assert api_key.key_for("https://api.openai.com/v1") == "none"
    assert api_key.key_for(listener.base_url) == "openai's"


def test_without_a_key_any_server_is_asked(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGDIFF_API_KEY")
    ask(listener.base_url)
    assert listener.heard == ["Bearer none"]
