"""Who may ask: loopback names only, or a token; no page of another site; and nothing foreign in a page."""

import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgdiff_assets.common.errors import ImgDiffError

COOKIE = "imgdiff_token"
SHORTEST_TOKEN = 16
LARGEST_BODY = 65_536
"""Three texts of 2,000 letters, each of three bytes that a form writes as nine signs."""

READING = ("GET", "HEAD")
SOCKET = "web socket"
"""In the place of a method."""

ELSEWHERE = ("cross-site", "same-site")
"""What a browser says of a page of another origin: another port of this machine is the same site, but not this one."""

POLICY = "content-security-policy"
HEADERS = {
    # Images come from the site, or are inline in a report; scripts and styles are files of the package only.
    POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class NotSafe(ImgDiffError, ValueError):
    """A way of serving that would open the ledger to others; the message says how it may be done."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_host(host: str, allow_remote: bool, token: str | None) -> None:
    """Raises NotSafe for a host that others reach, unless that is wished and there is a token."""
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise NotSafe(f"The token has {len(token)} characters; give at least {SHORTEST_TOKEN}.")
    if is_loopback(host):
        return
    if not allow_remote:
        raise NotSafe(
            f"--host {host}: others could reach it, and read everything. If that is wished, add --allow-remote and "
            "put a token into IMGDIFF_BROWSE_TOKEN; else leave --host out, and forward a port (ssh -L)."
        )
    if token is None:
        raise NotSafe(
            f"--host {host} --allow-remote needs a token, without which nobody is let in: "
            "export IMGDIFF_BROWSE_TOKEN=$(openssl rand -hex 16)"
        )


class Guard:
    """ASGI middleware around all that a server answers, web sockets too.

    Without a token only requests for a loopback name are answered: another name that leads here is some page's
    attempt to read this one (DNS rebinding). With a token every request needs it: once as `?token=`, then as a cookie.
    A page of another site may lead here by a link, and may do nothing else. `headers` are added to each answer; a
    content policy of the application's own holds beside theirs. No body is larger than `largest_body` bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None = None,
        headers: Mapping[str, str] = HEADERS,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        self._app, self._token, self._headers, self._largest_body = app, token, headers, largest_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({name: value for name, value in self._headers.items() if name != POLICY})
                headers.append(POLICY, self._headers[POLICY])
            await send(message)

        refusal = self._refusal(HTTPConnection(scope), scope.get("method", SOCKET))
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        elif scope["type"] == "http":
            await refusal(scope, receive, send_guarded)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})

    def _refusal(self, asked: HTTPConnection, method: str) -> Response | None:
        if self._token is None:
            if not is_loopback(_name(asked.headers.get("host", ""))):
                return PlainTextResponse("This site answers to localhost only.", 421)
        elif not self._knows_token(asked.headers):
            return self._let_in(asked, method)
        if not _is_of_the_site(asked, method):
            return PlainTextResponse("This is taken only from this site's own pages.", 403)
        if method not in (*READING, SOCKET):
            length = asked.headers.get("content-length", "")
            if not length.isdigit() or int(length) > self._largest_body:
                return PlainTextResponse(f"The form is larger than {self._largest_body} bytes, or of no length.", 413)
        return None

    def _knows_token(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), str(self._token).encode())

    def _let_in(self, request: HTTPConnection, method: str) -> Response:
        """The token in the address becomes a cookie, and leaves the address."""
        if method != "GET" or not self._is_token(request.query_params.get("token", "")):
            return PlainTextResponse("Open the address with the token that the server printed.", 401)
        rest = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "token"])
        # Never `//host`, which would lead elsewhere.
        path = "/" + request.url.path.lstrip("/")
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, str(self._token), httponly=True, samesite="lax", secure=secure)
        return response


def _is_of_the_site(asked: HTTPConnection, method: str) -> bool:
    """Whether a page of the site asks, or none at all: a person who follows a link, or a program.

    Browsers say where a page that asks is from: whatever it sends, in `Origin`. A program that does not may send JSON,
    which no page could without asking the server before.
    """
    secure = "s" if asked.url.scheme in ("https", "wss") else ""
    own = f"http{secure}://{asked.headers.get('host', '')}"
    origin = asked.headers.get("origin")
    fetched = [asked.headers.get(f"sec-fetch-{name}") for name in ("site", "mode", "dest")]
    if method in READING:
        return origin in (None, own) and (fetched[0] not in ELSEWHERE or fetched[1:] == ["navigate", "document"])
    if origin is None and method != SOCKET:
        is_json = asked.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        return is_json and fetched[0] not in ELSEWHERE
    return origin == own


def _name(host: str) -> str:
    """The host header without its port."""
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
