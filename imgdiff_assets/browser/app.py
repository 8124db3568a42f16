"""The site as an ASGI application: an address to a page, read-only but for reviews."""

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imgdiff_assets.browser.bulk import take_bulk
from imgdiff_assets.browser.certificate_page import certificate_page
from imgdiff_assets.browser.correcting import NotKept, take_correction
from imgdiff_assets.browser.forms import Form
from imgdiff_assets.browser.funnel_page import funnel_page, shards_page
from imgdiff_assets.browser.gallery_page import gallery_page
from imgdiff_assets.browser.images import PLACES, VERSION_LENGTH, NoImage, NoLongerKept, Picture
from imgdiff_assets.browser.map_page import map_page, map_points
from imgdiff_assets.browser.people import COOKIE, NotYou, Visitor, visitor
from imgdiff_assets.browser.question import BadQuestion
from imgdiff_assets.browser.review_page import review_page, take_review
from imgdiff_assets.browser.row_page import find_page, row_page
from imgdiff_assets.browser.saved_views import take_view
from imgdiff_assets.browser.security import HEADERS, Guard
from imgdiff_assets.browser.site import Site
from imgdiff_assets.browser.story import NoRow
from imgdiff_assets.common.hashing import ID_LENGTH

STATIC = Path(__file__).parent / "static"
ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
FOREVER = "private, max-age=31536000, immutable"

Page = Callable[[Site, Mapping[str, str]], str]
PageFor = Callable[[Site, Mapping[str, str], Visitor], str]
Take = Callable[[Site, Visitor, Form], str]

GONE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><text x="100" y="55" text-anchor="middle" '
    'font-family="sans-serif" font-size="12" fill="#777">not kept any more</text></svg>'
)
"""Shown in place of images that retention dropped; a row's page says how they are made again."""


def create_app(site: Site, token: str | None = None) -> Starlette:
    """The whole site over one home. With a token, only those who have it are let in."""
    app = Starlette(
        routes=[
            Route("/", _page(funnel_page)),
            Route("/shards", _page(shards_page)),
            Route("/map", _page(map_page)),
            Route("/map/points", _points),
            Route("/gallery", _page_for(gallery_page)),
            Route("/find", _find),
            Route("/row/{identity}", _row),
            Route("/review", _page_for(review_page)),
            Route("/review", _take(take_review), methods=["POST"]),
            Route("/rows", _take(take_bulk), methods=["POST"]),
            Route("/correct", _take(take_correction), methods=["POST"]),
            Route("/views", _take(take_view), methods=["POST"]),
            Route("/reviewer", _take_token, methods=["POST"]),
            Route("/certificate", _page(certificate_page)),
            Route("/thumbnail/{identity}", _thumbnail),
            Route("/image/{identity}/{side}", _image),
            *(Route(each.address, _page(each.page)) for each in site.more),
            *(Route(each.address, _take(each.take), methods=["POST"]) for each in site.more if each.take),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={
            HTTPException: lambda request, error: _sorry(request, error.status_code, error.detail),  # type: ignore[attr-defined]
            BadQuestion: lambda request, error: _sorry(request, 400, str(error)),
            NotKept: lambda request, error: _sorry(request, 409, str(error)),
            NotYou: lambda request, error: _sorry(request, 403, str(error)),
            NoRow: lambda request, error: _sorry(request, 404, str(error)),
            NoLongerKept: lambda request, error: Response(
                GONE, 410, {"cache-control": "no-store"}, media_type="image/svg+xml"
            ),
            NoImage: lambda request, error: _sorry(request, 404, str(error)),
            Exception: _failed,
        },
    )
    app.state.site = site
    return app


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def _page(page: Page) -> Callable[[Request], Response]:
    """An endpoint; Starlette runs it in a thread of its pool."""

    def endpoint(request: Request) -> Response:
        return HTMLResponse(page(_site(request), dict(request.query_params)), headers={"cache-control": "no-store"})

    return endpoint


def _page_for(page: PageFor) -> Callable[[Request], Response]:
    """The same for a page that knows who looks at it."""

    def endpoint(request: Request) -> Response:
        text = page(_site(request), dict(request.query_params), _who(request))
        return HTMLResponse(text, headers={"cache-control": "no-store"})

    return endpoint


def _identity(request: Request) -> str:
    identity: str = request.path_params["identity"]
    if not ID.fullmatch(identity):
        raise HTTPException(404, f"An id has {ID_LENGTH} hexadecimal digits.")
    return identity


def _row(request: Request) -> Response:
    page = row_page(_site(request), _identity(request), dict(request.query_params), _who(request))
    return HTMLResponse(page, headers={"cache-control": "no-store"})


def _find(request: Request) -> Response:
    """An id, or how it begins, leads to its row; several are listed."""
    found = find_page(_site(request), request.query_params.get("id", ""))
    return _see_other(request, found) if found.startswith("/row/") else HTMLResponse(found)


def _points(request: Request) -> Response:
    data = map_points(_site(request), dict(request.query_params))
    return Response(data, media_type="application/octet-stream", headers={"cache-control": "no-store"})


def _thumbnail(request: Request) -> Response:
    erased = request.query_params.get("erased")
    if erased is not None and not ID.fullmatch(erased):
        raise HTTPException(404, "No such region.")
    first = request.query_params.get("first")
    return _picture(request, _site(request).pictures.thumbnail(_identity(request), erased, first))


def _image(request: Request) -> Response:
    side: str = request.path_params["side"]
    if side not in PLACES:
        raise HTTPException(404, "An image is source, target or erased.")
    return _picture(request, _site(request).pictures.image(_identity(request), side))


def _picture(request: Request, picture: Picture) -> Response:
    """Kept by the browser for good when its address names the content, else asked for again by its name."""
    etag = f'"{picture.etag}"'
    version = request.query_params.get("v")
    named = version is not None and len(version) >= VERSION_LENGTH and picture.etag.startswith(version)
    headers = {"etag": etag, "cache-control": FOREVER if named else "private, no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def _who(request: Request) -> Visitor:
    return visitor(_site(request).home, request.cookies.get(COOKIE))


def _take(take: Take) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a form: what it says is written down, and a page follows."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(
            lambda: _see_other(request, _said(take, _site(request), _who(request), Form(body)))
        )

    return endpoint


def _said(take: Take, site: Site, who: Visitor, form: Form) -> str:
    address = take(site, who, form)
    site.index.hear()
    return address


async def _take_token(request: Request) -> Response:
    """A reviewer's token becomes a cookie; an empty one takes it away."""
    form = Form(await request.body())
    token, site = form.one("token"), _site(request)
    known = await run_in_threadpool(visitor, site.home, token)
    if token and not known.name:
        raise NotYou("No reviewer has this token.")
    response = _see_other(request, form.back("/review"))
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path=f"{site.root}/")
    return response


def _see_other(request: Request, address: str) -> Response:
    return RedirectResponse(_site(request).root + address, 303)


def _sorry(request: Request, status: int, text: str) -> Response:
    page = _site(request).render("sorry.html", status=status, text=text)
    return HTMLResponse(page, status, headers={"cache-control": "no-store"})


def _failed(request: Request, error: Exception) -> Response:
    """Starlette answers for what nobody expected outside of the middleware, so the guard's headers are not on it."""
    response = _sorry(request, 500, "The server has printed what went wrong.")
    response.headers.update(HEADERS)
    return response
