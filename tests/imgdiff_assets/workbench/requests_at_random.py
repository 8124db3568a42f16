"""Requests as nobody means them: the site's own addresses and forms, with other values in them.

What can be asked is not listed here: the routes are the application's, and what goes with each is what its pages say,
in links, in forms and in what their scripts read.
"""

import html
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

from starlette.applications import Starlette
from starlette.routing import Route

HOSTILE: tuple[str, ...] = (
    *("", " ", "0", "-1", "00", "1e308", "-1e309", "nan", "inf", "NaN", "²", "１", "9" * 400, "1_0", "0x10", "1,2,3"),
    *(
        "\0",
        "\x1b[31m",
        "\u202e",
        "\ufeff",
        "\U0001f600",
        "ß" * 61,
        "a" * 5000,
        "\r\nset-cookie: a=b",
        "%",
        "%00",
        "+",
    ),
    *("../../etc/passwd", "..\\..", "/etc/passwd", "//attacker.example", "javascript:alert(1)", "file:///etc/passwd"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "{% raw %}", "${7*7}"),
    *("'; DROP TABLE fine_tune_set; --", "' OR 1=1 --", '"', "\\", "(SELECT 1)", "t.kept", "~", "~~", "1~-1", "nan~x"),
    *("0.9~8", "shard-000000~1", "shard-000000~99999999999999999999", "0,0,1000,0,1000,1000", "0,0,1", "-0,0,0,0,0,0"),
    *("0123456789abcdef", "0123456789abcde", "0123456789ABCDEF", "true", "null", "[]", "{}", "1", "0.5"),
)
RAW = ("%ED%A0%80", "%FF", "%", "%G1", "%00", "%C0%AE")
"""As they stand in an address: what is no text."""

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
ORIGIN = "http://localhost"


@dataclass(slots=True)
class Known:
    """What pages said can be asked: values by name of each path, for GET and for POST, and values of any kind."""

    asked: dict[tuple[str, str], dict[str, set[str]]] = field(default_factory=lambda: {("GET", "/"): {}})
    values: set[str] = field(default_factory=set)

    def hear(self, page: str) -> None:
        """Take in what a page leads to and what its forms have."""
        for link in re.findall(r'(?:href|src|data-then|data-points|data-ahead|data-gallery)="(/[^"]*)"', page):
            split = urlsplit(html.unescape(link))
            self._add("GET", split.path, parse_qsl(split.query, keep_blank_values=True))
        for head, body in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, re.DOTALL):
            if address := re.search(r'action="([^"?]*)', head):
                method = "POST" if 'method="post"' in head else "GET"
                fields = re.findall(
                    r'<(?:input|button|textarea)[^>]*\bname="([^"]+)"(?:[^>]*\bvalue="([^"]*)")?', body
                )
                for name, options in re.findall(r'<select name="([^"]+)"[^>]*>(.*?)</select>', body, re.DOTALL):
                    fields += [(name, option) for option in re.findall(r'<option(?: value="([^"]*)")?', options)]
                    fields += [(name, option) for option in re.findall(r">([^<]+)</option>", options)]
                self._add(method, html.unescape(address[1]), [(name, html.unescape(value)) for name, value in fields])

    def _add(self, method: str, path: str, fields: Sequence[tuple[str, str]]) -> None:
        known = self.asked.setdefault((method, path), {})
        for name, value in fields:
            values = known.setdefault(name, set())
            if len(values) < 40:
                values.add(value)
            if len(self.values) < 4000 and value:
                self.values.add(value)
        if len(self.asked) > 600:
            del self.asked[next(iter(self.asked))]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `address` is percent-encoded."""

    method: str
    address: str
    headers: Mapping[str, str]
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.address[:300]} {dict(self.headers)} {(self.body or b'')[:300]!r}"


def at_random(app: Starlette, known: Known, number: int, tokens: Sequence[str]) -> Asked:
    """Request `number`: the same for the same knowledge."""
    chance = random.Random(f"request {number}")
    routes = [route for route in app.routes if isinstance(route, Route)]
    route = routes[number % len(routes)] if chance.random() < 0.7 else None
    method, path, fields = _place(chance, known, route)
    chosen: list[tuple[str, str]] = []
    names = sorted(fields)
    for name in names if chance.random() < 0.5 else chance.sample(names, chance.randint(0, len(names))):
        chosen.append((name, _value(chance, fields[name], known)))
    if chance.random() < 0.1:
        chosen.append((_value(chance, names, known), _value(chance, (), known)))
    if chosen and chance.random() < 0.1:
        chosen *= chance.choice((2, 2, 700))
    encoded = "&".join(f"{quote_plus(name)}={_encoded(chance, value)}" for name, value in chosen)
    headers = dict(_headers(chance, method, tokens))
    if chance.random() < 0.03:
        method = chance.choice(METHODS)
    if method != "POST":
        return Asked(method, f"{path}?{encoded}"[:16_000], headers)
    if chance.random() < 0.05:
        encoded = chance.choice(("{}", "[1]", "a", "&&&=&", "x" * 70_000, "\0"))
    return Asked(method, path, headers, encoded.encode())


def _place(chance: random.Random, known: Known, route: Route | None) -> tuple[str, str, Mapping[str, Any]]:
    """Where to: a route with what is known to go with it, or anything that a page named."""
    if route is None:
        method, path = chance.choice(sorted(known.asked))
        return method, path, known.asked[method, path]
    methods = route.methods or {"GET"}
    method = "POST" if "POST" in methods else "GET"
    shape = re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path))
    like = sorted(place for place in known.asked if place[0] == method and shape.fullmatch(place[1]))
    fields: dict[str, set[str]] = {}
    for place in like[:20]:
        for name, values in known.asked[place].items():
            fields.setdefault(name, set()).update(values)
    if like and chance.random() < 0.7:
        return method, chance.choice(like)[1], fields
    path = re.sub(r"\{\w+\}", lambda _: quote_plus(_value(chance, (), known)) or "x", route.path)
    return method, path, fields


def _value(chance: random.Random, usual: Any, known: Known) -> str:
    draw = chance.random()
    if usual and draw < 0.55:
        return str(chance.choice(sorted(usual)))
    if known.values and draw < 0.7:
        return str(chance.choice(sorted(known.values)))
    value = chance.choice(HOSTILE)
    return value if draw < 0.97 else value * chance.randint(2, 50)


def _encoded(chance: random.Random, value: str) -> str:
    return chance.choice(RAW) if chance.random() < 0.03 else quote_plus(value[:20_000])


def _headers(chance: random.Random, method: str, tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    if method == "POST":
        yield (
            "content-type",
            chance.choice(["application/x-www-form-urlencoded"] * 5 + ["application/json", "a/b", ""]),
        )
    if (method == "POST" and chance.random() < 0.9) or chance.random() < 0.05:
        yield "origin", ORIGIN if chance.random() < 0.95 else "http://attacker.example"
    if tokens and chance.random() < 0.9:
        yield "cookie", chance.choice(tokens) if chance.random() < 0.9 else "imgdiff_reviewer=\x7f; imgdiff_token="
    if chance.random() < 0.05:
        yield "if-none-match", chance.choice(('"x"', "*", "W/", "\x7f"))
    if chance.random() < 0.02:
        yield "host", chance.choice(("attacker.example", "", "[::1", "localhost:99999"))
