"""What is tried at the door of `imgdiff ui`, over Dagster's real application and an instance that could be changed."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from imgdiff_assets.browser.security import HEADERS, POLICY
from imgdiff_assets.browser.site import Site
from imgdiff_assets.defs.dagster_instance import dagster_instance
from imgdiff_assets.defs.door import LARGEST_QUERY, GraphWebserver, create_door, read_launchpad
from imgdiff_assets.home import Home
from imgdiff_assets.recipe.chosen_recipe import load_recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

ADDRESS = "http://localhost:3000"
TOKEN = "0123456789abcdef0123"
JSON = {"content-type": "application/json"}
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "opened", limit: 7) }'
ELSEWHERE = (
    "null",
    "http://attacker.example",
    "http://localhost:8000",
    "https://localhost:3000",
    "http://127.0.0.1:3000",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("door") / "home")


@pytest.fixture(scope="module")
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dagster_instance(home) as instance:
        yield instance


@pytest.fixture(scope="module")
def dagster(instance: dg.DagsterInstance) -> Iterator[ASGIApp]:
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        yield GraphWebserver(context).create_asgi_app()


@pytest.fixture(scope="module")
def site(home: Home) -> Site:
    return Site(home, load_recipe("miniature"), dagster_url="", root="/samples")


@pytest.fixture
def door(dagster: ASGIApp, site: Site, instance: dg.DagsterInstance) -> Iterator[TestClient]:
    """Through which nothing gets that changes the instance."""
    with TestClient(create_door(dagster, site), base_url=ADDRESS) as client:
        yield client
    assert instance.event_log_storage.get_concurrency_keys() == set()


def change(client: TestClient, headers: dict[str, str], **arguments: Any) -> int:
    return client.post("/graphql", headers={**JSON, **headers}, json={"query": CHANGE}, **arguments).status_code


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", ""])
@pytest.mark.parametrize("query", [CHANGE, f"query A {{ version }} {CHANGE.replace('mutation', 'mutation B')}"])
def test_a_mutation_by_get_changes_nothing(door: TestClient, query: str, accept: str) -> None:
    for method in ("GET", "HEAD"):
        answer = door.request(
            method, "/graphql", params={"query": query, "operationName": "B"}, headers={"accept": accept}
        )
        assert answer.status_code == 405 or "GraphiQL" in answer.text


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_a_page_of_another_origin_changes_nothing(door: TestClient, origin: str) -> None:
    assert change(door, {"origin": origin}) == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/graphql"):
        sent = door.post(
            "/graphql", params={"query": CHANGE}, headers={"origin": origin, "content-type": kind}, content=CHANGE
        )
        assert sent.status_code == 403
    for path in ("/report_asset_materialization/captions", "/report_asset_check/captions", "/samples/review"):
        assert door.post(path, headers={"origin": origin, **JSON}, json={}).status_code == 403
    assert door.options("/graphql", headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"]
)
def test_what_a_page_could_send_unasked_needs_an_origin(door: TestClient, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    assert door.post("/graphql", params={"query": CHANGE}, headers=headers).status_code == 403


@pytest.mark.parametrize("site_of_page", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/", "/graphql", "/server_info", "/samples/", "/samples/static/site.css"])
def test_another_site_may_lead_here_by_a_link_and_no_more(door: TestClient, site_of_page: str, path: str) -> None:
    headers = {"sec-fetch-site": site_of_page, "accept": "text/html"}
    for mode, dest in (("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "image")):
        answer = door.get(path, headers={**headers, "sec-fetch-mode": mode, "sec-fetch-dest": dest})
        assert answer.status_code == 403
    link = {**headers, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert door.get(path, headers=link).status_code == 200
    assert door.get(path, headers={**link, "origin": "http://attacker.example"}).status_code == 403
    assert change(door, link) == 403


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:3000", "localhost.attacker.example", "0.0.0.0", ""]
)
def test_another_name_is_not_answered(door: TestClient, host: str) -> None:
    for path in ("/", "/server_info", "/graphql", "/samples/", "/samples", "/_next/static/"):
        assert door.get(path, headers={"host": host}).status_code == 421
    assert change(door, {"host": host, "origin": f"http://{host}"}) == 421
    with pytest.raises(WebSocketDisconnect), door.websocket_connect("/graphql", headers={"host": host}):
        pass


@pytest.mark.parametrize("origin", [None, *ELSEWHERE])
def test_a_web_socket_is_for_pages_of_the_door(door: TestClient, origin: str | None) -> None:
    headers = {"host": "localhost:3000"}
    with pytest.raises(WebSocketDisconnect):
        door.websocket_connect(
            "/graphql", headers=headers | ({} if origin is None else {"origin": origin})
        ).__enter__()
    with door.websocket_connect("/graphql", ["graphql-ws"], headers={**headers, "origin": ADDRESS}) as own:
        own.send_json({"type": "connection_init"})
        assert own.receive_json() == {"type": "connection_ack"}


def test_a_large_query_is_refused(door: TestClient) -> None:
    content = b" " * (LARGEST_QUERY + 1)
    assert door.post("/graphql", headers={**JSON, "origin": ADDRESS}, content=content).status_code == 413


@pytest.fixture
def opened(instance: dg.DagsterInstance) -> Iterator[None]:
    """The mutation is executed by the test, and undone."""
    yield
    assert instance.event_log_storage.get_concurrency_keys() == {"opened"}
    instance.event_log_storage.delete_concurrency_limit("opened")


@pytest.mark.usefixtures("opened")
def test_without_the_door_a_get_for_any_name_changes_what_it_likes(instance: dg.DagsterInstance) -> None:
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        client = TestClient(create_app_from_workspace_process_context(context), base_url="http://attacker.example")
        assert client.get("/graphql", params={"query": CHANGE}).status_code == 200


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("headers", [{"origin": ADDRESS}, {}, {"content-type": "application/json; charset=utf-8"}])
def test_own_pages_and_programs_change_what_they_like(dagster: ASGIApp, site: Site, headers: dict[str, str]) -> None:
    assert change(TestClient(create_door(dagster, site), base_url=ADDRESS), headers) == 200


def test_all_that_is_answered_has_the_headers(door: TestClient) -> None:
    paths = ("/", "/runs", "/graphql", "/server_info", "/favicon.png", "/logs/a/b", "/samples/", "/samples/nonesuch")
    for path in (*paths, "/samples"):
        headers = door.get(path, headers={"accept": "text/html"}, follow_redirects=False).headers
        assert {name: headers.get(name) for name in HEADERS if name != POLICY} == {
            name: value for name, value in HEADERS.items() if name != POLICY
        }, path
        assert "frame-ancestors 'none'" in headers[POLICY], path
        # Nothing of another server, in none of the policies that hold together.
        assert ("default-src 'none'" if path.startswith("/samples") else "default-src 'self'") in headers[POLICY]
    assert "'nonce-" in door.get("/").headers[POLICY], "Dagster's own holds too"


def test_with_a_token_all_of_it_needs_the_token(dagster: ASGIApp, site: Site, instance: dg.DagsterInstance) -> None:
    with TestClient(create_door(dagster, site, TOKEN), base_url="http://gpu-box.example:3000") as client:
        own = {"origin": "http://gpu-box.example:3000"}
        for path in ("/", "/graphql", "/server_info", "/samples/", "/samples/static/site.css", "/?token=wrong"):
            assert client.get(path, headers={"accept": "text/html"}).status_code == 401
        assert change(client, own) == 401
        with pytest.raises(WebSocketDisconnect):
            client.websocket_connect("/graphql", headers={"host": "gpu-box.example:3000", **own}).__enter__()
        assert instance.event_log_storage.get_concurrency_keys() == set()
        let_in = client.get(f"/samples/gallery?stage=captions&token={TOKEN}", follow_redirects=False)
        assert let_in.headers["location"] == "/samples/gallery?stage=captions"
        for path in ("/", "/server_info", "/samples/"):
            assert client.get(path).status_code == 200
        cookie = {"host": "gpu-box.example:3000", "cookie": f"imgdiff_token={TOKEN}"}
        with client.websocket_connect("/graphql", ["graphql-ws"], headers={**cookie, **own}):
            pass
        with pytest.raises(WebSocketDisconnect):
            client.websocket_connect("/graphql", headers={**cookie, "origin": "http://attacker.example"}).__enter__()


ATTACK = """async ([door, change]) => {
  const address = `${door}/graphql?query=${encodeURIComponent(change)}`, query = JSON.stringify({query: change});
  const form = (method) => new Promise((done) => {
    const frame = document.body.appendChild(Object.assign(document.createElement("iframe"), {name: method}));
    const form = document.body.appendChild(Object.assign(document.createElement("form"), {
      method, target: method, action: address}));
    form.appendChild(Object.assign(document.createElement("input"), {name: "query", value: change}));
    form.submit();
    frame.onload = () => done("sent");
  });
  const part = (kind) => new Promise((done) => {
    const made = document.createElement(kind);
    Object.assign(made, {onload: () => done("loaded"), onerror: () => done("refused")});
    made.src = address;
    document.body.append(made);
  });
  const ways = {
    image: () => part("img"),
    script: () => part("script"),
    get: () => fetch(address, {mode: "no-cors", credentials: "include"}),
    plain: () => fetch(address, {method: "POST", mode: "no-cors", body: query}),
    beacon: () => navigator.sendBeacon(address, query),
    json: () => fetch(`${door}/graphql`, {method: "POST", body: query, headers: {"content-type": "application/json"}}),
    read: () => fetch(`${door}/samples/`).then((answer) => answer.text()),
    form: () => form("get"),
    post: () => form("post"),
    socket: () => new Promise((done) => {
      const socket = new WebSocket(`${door.replace("http", "ws")}/graphql`, "graphql-ws");
      Object.assign(socket, {onopen: () => done("opened"), onerror: () => done("refused")});
    }),
  };
  const came = {};
  for (const [name, way] of Object.entries(ways))
    came[name] = await Promise.race([
      Promise.resolve().then(way).then((answer) => answer.type || answer, () => "refused"),
      new Promise((done) => setTimeout(done, 2000, "no answer")),
    ]);
  return came;
}"""


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """A real server on 127.0.0.1; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_in_a_browser(
    dagster: ASGIApp, site: Site, instance: dg.DagsterInstance, page: "Page", name: str
) -> None:
    """The same site for a browser (another port), or another one; nothing it sends comes through the door."""
    limits = instance.event_log_storage
    with served(PlainTextResponse("a page")) as elsewhere:
        page.goto(f"http://{name}:{elsewhere}")
        with served(dagster) as port:
            page.evaluate(ATTACK, [f"http://127.0.0.1:{port}", CHANGE])
        assert limits.get_concurrency_keys() == {"opened"}, "what is tried is dangerous"
        limits.delete_concurrency_limit("opened")
        page.goto(f"http://{name}:{elsewhere}")
        with served(create_door(dagster, site)) as port:
            came = page.evaluate(ATTACK, [f"http://127.0.0.1:{port}", CHANGE])
            page.evaluate("there => { location = there }", f"http://127.0.0.1:{port}/graphql?query={quote(CHANGE)}")
            page.get_by_text("Welcome to GraphiQL").first.wait_for()
    assert limits.get_concurrency_keys() == set()
    assert {way for way, what in came.items() if what == "refused"} >= {"image", "script", "json", "read", "socket"}


def test_words_of_a_launchpad_are_no_booleans() -> None:
    said = (
        "resources: {recipe: {config: {prompt_pairs: {known_words: [on, off, yes, No, true]}}}, other: {dry: False}}"
    )
    values = read_launchpad(said)["resources"]
    assert values["recipe"]["config"]["prompt_pairs"]["known_words"] == ["on", "off", "yes", "No", True]
    assert values["other"]["dry"] is False
