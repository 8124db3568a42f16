"""Who is let in, and what a page may do."""

import pytest
from starlette.testclient import TestClient

from imgdiff_assets.browser.app import create_app
from imgdiff_assets.browser.security import HEADERS, NotSafe, check_host, is_loopback
from imgdiff_assets.browser.site import Site
from imgdiff_assets.common.hashing import ID_LENGTH

TOKEN = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
    ]
    + [
        (host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", "", "127.1")
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("host", "allow_remote", "token", "words"),
    [
        ("0.0.0.0", False, None, "--allow-remote"),
        ("0.0.0.0", False, TOKEN, "--allow-remote"),
        ("192.168.1.2", True, None, "needs a token"),
        ("gpu-box.example", True, None, "needs a token"),
        ("127.0.0.1", False, "short", "at least 16"),
    ],
)
def test_what_others_could_reach_is_refused(host: str, allow_remote: bool, token: str | None, words: str) -> None:
    with pytest.raises(NotSafe, match=words):
        check_host(host, allow_remote, token)


def test_loopback_needs_nothing_and_a_token_lets_others_in() -> None:
    check_host("127.0.0.1", False, None)
    check_host("0.0.0.0", True, TOKEN)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8080", 200),
        ("[::1]", 200),
        ("attacker.example", 421),
        ("attacker.example:8080", 421),
        ("127.0.0.1.attacker.example", 421),
        ("localhost@attacker.example", 421),
        ("", 421),
    ],
)
def test_a_name_that_was_bound_to_this_machine_is_not_answered(client: TestClient, host: str, status: int) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == status
    if status != 200:
        assert "caption" not in answer.text


def test_nothing_foreign_may_run_and_nobody_may_frame(client: TestClient) -> None:
    for path in ("/", "/gallery", "/review", "/nonesuch", "/static/site.css"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


def test_a_page_about_a_failure_is_as_safe_as_any(own_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(own_site.pictures, "thumbnail", fail)
    with TestClient(create_app(own_site), base_url="http://localhost", raise_server_exceptions=False) as client:
        failed, fine = client.get(f"/thumbnail/{'0' * ID_LENGTH}"), client.get("/nonesuch")
    assert failed.status_code == 500
    assert "no such luck" not in failed.text
    assert {name: failed.headers.get(name) for name in HEADERS} == {name: fine.headers[name] for name in HEADERS}


@pytest.mark.parametrize(
    "origin", [None, "null", "http://attacker.example", "http://localhost:8081", "https://localhost:8080"]
)
def test_a_form_of_another_site_is_refused(own_client: TestClient, own_site: Site, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert own_client.post("/review", content=b"reviewer=Ann", headers=headers).status_code == 403
    assert not own_site.home.reviews.exists()


def test_a_large_body_is_refused(own_client: TestClient) -> None:
    headers = {"origin": "http://localhost:8080"}
    assert own_client.post("/review", content=b"x" * 70_000, headers=headers).status_code == 413
    assert own_client.post("/review", content=iter([b"x" * 70_000]), headers=headers).status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_nothing_but_a_review_can_be_written(client: TestClient, method: str) -> None:
    for path in ("/", "/gallery", "/certificate", "/static/site.css"):
        assert client.request(method, path, headers={"origin": "http://localhost:8080"}).status_code in (405, 413)


def test_a_token_is_asked_once_then_kept_as_a_cookie(site: Site) -> None:
    with TestClient(create_app(site, TOKEN), base_url="http://gpu-box.example:8080") as client:
        for address in ("/", "/gallery", "/static/site.css", "/?token=wrong", "/?token="):
            assert client.get(address).status_code == 401
        assert client.get("/", headers={"cookie": "imgdiff_token=wrong"}).status_code == 401
        let_in = client.get(f"/gallery?stage=captions&token={TOKEN}", follow_redirects=False)
        assert let_in.status_code == 303
        assert let_in.headers["location"] == "/gallery?stage=captions"
        assert {"HttpOnly", "SameSite=lax"} <= set(let_in.headers["set-cookie"].split("; "))
        assert client.get("/gallery").status_code == 200


def test_the_token_leads_to_this_site_only(site: Site) -> None:
    with TestClient(create_app(site, TOKEN), base_url="http://gpu-box.example:8080") as client:
        answer = client.get(f"http://gpu-box.example:8080//attacker.example?token={TOKEN}", follow_redirects=False)
        assert answer.headers["location"] == "/attacker.example"
