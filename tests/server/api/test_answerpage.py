"""The page behind a link to answer a prompt: the same for every session, and fit for nothing else."""

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


def test_it_names_the_session_and_has_one_field() -> None:
    reply = page("/a/build-1")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = reply.body.decode()
    assert '<code id="session">build-1</code>' in text
    assert text.count('type="text"') == 1
    assert "NAME" not in text


def test_only_its_own_script_runs_and_it_asks_nobody_but_this_server() -> None:
    reply = page("/a/build")
    text = reply.body.decode()
    assert re.findall(r"<script.*?</script>", text) == ['<script src="answer.js"></script>']
    assert re.search(r"<a |<img|<link|<iframe|\bon\w+=|href=|url\(|https?:", text) is None
    (style,) = re.findall(r"<style>(.*?)</style>", text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    for name in SECURITY_HEADERS.keys() - {"Content-Security-Policy"}:
        assert reply.headers[name.lower()] == SECURITY_HEADERS[name]
    assert "set-cookie" not in reply.headers
    assert TOKEN not in text


def test_script_is_one_and_keeps_nothing() -> None:
    reply = page("/a/answer.js")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert re.search(r"innerHTML|eval|cookie|Storage|https?:|document\.write", reply.body.decode()) is None


@pytest.mark.parametrize("name", ["UPPER", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a%22b", "private-x", "a" * 49, "%0d%0ax"])
def test_what_names_no_session_is_not_repeated(name: str) -> None:
    reply = page(f"/a/{name}")
    assert reply.status == 404
    assert reply.body == page("/a/UPPER").body


def test_it_tells_nobody_whether_there_is_such_a_session() -> None:
    async def scenario(server: ServeAuth) -> tuple[Reply, Reply]:
        await server.open_session("build")
        return await server.stranger.get("/a/build"), await server.stranger.get("/a/zebra")

    there, not_there = ServeAuth().run(scenario)
    assert (there.status, there.headers) == (not_there.status, not_there.headers)
    assert there.body.replace(b"build", b"NAME") == not_there.body.replace(b"zebra", b"NAME")


def test_it_only_answers_get() -> None:
    assert page("/a/build", "POST").status == 405
