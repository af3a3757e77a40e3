"""The page behind a share link: harmless, and the same for every session."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from codewrap.server.guard import SECURITY_HEADERS
from tests.support.asgi import Reply
from tests.support.serve_auth import TOKEN, ServeAuth


def page(path: str, method: str = "GET") -> Reply:
    async def scenario(server: ServeAuth) -> Reply:
        return await server.stranger.request(method, path)

    return ServeAuth().run(scenario)


@pytest.mark.parametrize("path", ["/s/build-1", "/s/build-1/"])
def test_it_says_how_to_attach(path: str) -> None:
    reply = page(path)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = reply.body.decode()
    assert "codewrap attach -" in text
    assert "build-1" in text


@pytest.mark.parametrize("path", ["/s/build", "/s/UPPER"])
def test_it_runs_loads_and_sends_nothing(path: str) -> None:
    reply = page(path)
    text = reply.body.decode().lower()
    assert re.search(r"<script|<form|<a |<img|<link|<iframe|\bon\w+=|src=|href=|url\(|https?:", text) is None
    (style,) = re.findall(r"<style>(.*?)</style>", reply.body.decode())
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    for name in SECURITY_HEADERS.keys() - {"Content-Security-Policy"}:
        assert reply.headers[name.lower()] == SECURITY_HEADERS[name]
    assert TOKEN not in text


@pytest.mark.parametrize("name", ["UPPER", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a%22b", "private-x", "a" * 49, "%0d%0ax"])
def test_what_names_no_session_is_not_repeated(name: str) -> None:
    reply = page(f"/s/{name}")
    assert reply.status == 404
    assert reply.body == page("/s/UPPER").body


def test_it_tells_nobody_whether_there_is_such_a_session() -> None:
    async def scenario(server: ServeAuth) -> tuple[Reply, Reply]:
        await server.open_session("build")
        return await server.stranger.get("/s/build"), await server.stranger.get("/s/zebra")

    there, not_there = ServeAuth().run(scenario)
    assert (there.status, there.headers) == (not_there.status, not_there.headers)
    assert there.body.replace(b"build", b"NAME") == not_there.body.replace(b"zebra", b"NAME")


def test_it_only_answers_get() -> None:
    assert page("/s/build", "POST").status == 405
