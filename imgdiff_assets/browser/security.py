"""Who may ask: loopback names only, or a token; a POST only from the site itself; and nothing foreign in a page."""

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgdiff_assets.common.errors import ImgDiffError

COOKIE = "imgdiff_token"
SHORTEST_TOKEN = 16
LARGEST_BODY = 16_384
HEADERS = {
    # Images come from the site, or are inline in a report; scripts and styles are files of the package only.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
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
    """ASGI middleware around the whole site.

    Without a token only requests for a loopback name are answered: another name that leads here is some page's
    attempt to read this one (DNS rebinding). With a token every request needs it: once as `?token=`, then as a cookie.
    """

    def __init__(self, app: ASGIApp, token: str | None = None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope))
        await (self._app if refusal is None else refusal)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self._token is None:
            if not is_loopback(_name(host)):
                return PlainTextResponse("This site answers to localhost only.", 421)
        elif not self._knows_token(request.headers):
            return self._let_in(request)
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("origin") != f"{request.url.scheme}://{host}":
                return PlainTextResponse("A form is taken only from this site's own pages.", 403)
            if not request.headers.get("content-length", "").isdigit() or (
                int(request.headers["content-length"]) > LARGEST_BODY
            ):
                return PlainTextResponse("The form is too large.", 413)
        return None

    def _knows_token(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), str(self._token).encode())

    def _let_in(self, request: Request) -> Response:
        """The token in the address becomes a cookie, and leaves the address."""
        if request.method != "GET" or not self._is_token(request.query_params.get("token", "")):
            return PlainTextResponse("Open the address with the token that the server printed.", 401)
        rest = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "token"])
        # Never `//host`, which would lead elsewhere.
        path = "/" + request.url.path.lstrip("/")
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, str(self._token), httponly=True, samesite="lax", secure=secure)
        return response


def _name(host: str) -> str:
    """The host header without its port."""
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
