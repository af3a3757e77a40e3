"""Hosts, origins, CORS and headers, against an application that answers everything with 200."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from codewrap.server.guard import SECURITY_HEADERS, Guard, Reach, normal_origin
from tests.support.asgi import AsgiClient

REACH = Reach(frozenset({"codewrap.example.com"}), frozenset({"https://pages.example.org", "http://localhost:3000"}))


async def _answer(request: Request) -> Response:
    return PlainTextResponse("yes", headers={"Referrer-Policy": "same-origin"} if request.url.path == "/own" else None)


async def _accept(socket: WebSocket) -> None:
    await socket.accept()


def client(reach: Reach = REACH) -> AsgiClient:
    routes = [
        Route("/{rest:path}", _answer, methods=["GET", "POST", "OPTIONS"]),
        WebSocketRoute("/app/{key}", _accept),
    ]
    return AsgiClient(Guard(Starlette(routes=routes), reach))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("codewrap.example.com", 200),
        ("Codewrap.Example.com.:443", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil-codewrap.example.com", 403),
        ("", 403),
        ("[evil", 403),
    ],
)
def test_names_bound_anew_to_our_address_are_refused(host: str, status: int) -> None:
    reply = asyncio.run(client().get("/", {"host": host}))
    assert reply.status == status
    if status == 403:
        assert reply.error_code == "host_not_allowed"
    accepted = asyncio.run(client().upgrade("/app/key", {"host": host}))
    assert accepted["type"] == ("websocket.accept" if status == 200 else "websocket.close")


ORIGINS = [
    (None, True),
    ("https://pages.example.org", True),
    ("https://pages.example.org:443", True),
    ("http://localhost:3000", True),
    ("http://127.0.0.1:8080", True),  # our own page: scheme and Host are the same
    ("http://codewrap.example.com", True),
    ("https://127.0.0.1:8080", False),
    ("http://127.0.0.1:8081", False),
    ("http://127.0.0.1", False),
    ("http://pages.example.org", False),
    ("https://pages.example.org.evil.example", False),
    ("https://evil.example", False),
    ("null", False),
    ("", False),
    ("https://pages.example.org/", False),
    ("https://user@pages.example.org", False),
    ("file://", False),
    ("http://127.0.0.1:99999", False),
]


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
def test_pages_of_other_sites_can_neither_post_nor_open_sockets(origin: str | None, allowed: bool) -> None:
    headers = {} if origin is None else {"origin": origin}
    reply = asyncio.run(client().request("POST", "/", b"", headers))
    assert reply.status == (200 if allowed else 403)
    if not allowed:
        assert reply.error_code == "origin_not_allowed"
        assert "access-control-allow-origin" not in reply.headers
    upgraded = asyncio.run(client().upgrade("/app/key", headers))
    assert upgraded["type"] == ("websocket.accept" if allowed else "websocket.close")


@pytest.mark.parametrize(("origin", "allowed"), [pair for pair in ORIGINS if pair[0]])
def test_only_listed_origins_may_read_answers(origin: str, allowed: bool) -> None:
    reply = asyncio.run(client().get("/", {"origin": origin}))
    assert reply.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert reply.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in reply.headers


def test_a_preflight_is_answered_for_listed_origins_only() -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    reply = asyncio.run(client().request("OPTIONS", "/pusher/auth", b"", {"origin": "https://pages.example.org"} | asks))
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == "https://pages.example.org"
    assert "Authorization" in reply.headers["access-control-allow-headers"]
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert asyncio.run(client().request("OPTIONS", "/", b"", {"origin": "https://evil.example"} | asks)).status == 403


def test_behind_a_proxy_that_speaks_tls_our_own_pages_are_https() -> None:
    outside = {"host": "codewrap.example.com", "origin": "https://codewrap.example.com"}
    behind = Reach(REACH.hosts, https_outside=True)
    assert asyncio.run(client(behind).request("POST", "/", b"", outside)).status == 200
    assert asyncio.run(client(Reach(REACH.hosts)).request("POST", "/", b"", outside)).status == 403
    assert asyncio.run(client(Reach(REACH.hosts)).request("POST", "/", b"", outside, scheme="https")).status == 200


def test_every_answer_carries_the_security_headers_and_keeps_its_own() -> None:
    expected = {name.lower(): value for name, value in SECURITY_HEADERS.items()}
    for reply in (
        asyncio.run(client().get("/")),
        asyncio.run(client().get("/", {"host": "evil.example"})),
        asyncio.run(client().request("POST", "/", b"", {"origin": "null"})),
    ):
        assert expected.items() <= reply.headers.items()
    assert asyncio.run(client().get("/own")).headers["referrer-policy"] == "same-origin"


def test_requests_with_two_hosts_or_origins_are_refused() -> None:
    guard = Guard(Starlette(routes=[Route("/", _answer)]), REACH)
    statuses = []

    async def ask(headers: list[tuple[bytes, bytes]]) -> None:
        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "headers": headers}
        await guard(scope, receive, send)  # type: ignore[arg-type]

    host = (b"host", b"localhost")
    for headers in ([], [host, host], [host, (b"origin", b"http://localhost"), (b"origin", b"http://localhost")], [host]):
        asyncio.run(ask(headers))
    assert statuses == [400, 400, 400, 200]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://Example.com", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://example.com.", "http://example.com"),
        ("*", None),
        ("null", None),
        ("example.com", None),
        ("https://", None),
        ("https://a/b", None),
        ("https://a:b", None),
        ("ftp://a", None),
        (" https://a", None),
    ],
)
def test_origins_have_one_spelling(text: str, normal: str | None) -> None:
    assert normal_origin(text) == normal
