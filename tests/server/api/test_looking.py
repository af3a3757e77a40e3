"""Screens and typing that is waited for: by whom, in which form, how often, and what the log says of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codewrap.server.api.looking import wanted
from codewrap.server.refusals import Refusal
from tests.support.asgi import Reply
from tests.support.looking import FakeLooks
from tests.support.serve_auth import ServeAuth

SCREEN, SEND = "/api/sessions/build/screen", "/api/sessions/build/send"


def asked(looks: FakeLooks, value: Any = None, *, role: str = "writer", headers: dict[str, str] | None = None) -> Reply:
    """A screen, or with ``value`` what is sent, of a session that is hosted."""

    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session()
        given = await server.token_of("anna", role) | (headers or {})
        if value is None:
            return await server.stranger.get(SCREEN, given)
        return await server.stranger.post_json(SEND, value, given)

    return ServeAuth(looks=looks).run(scenario)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/plain"),
        ("image/png, */*;q=0.1", "image/png"),
        ("text/plain;q=0.5, application/json;q=0.4", "text/plain"),
        ("application/json;q=0, */*", "text/plain"),
        ("TEXT/PLAIN; charset=utf-8", "text/plain"),
        ("text/plain;q=many, image/*", "image/png"),
    ],
)
def test_the_form_is_the_one_that_is_wanted_most(accept: str | None, kind: str) -> None:
    assert wanted(accept) == kind


@pytest.mark.parametrize("accept", ["image/gif", "text/html;q=1", "*/*;q=0", ";;,"])
def test_what_is_not_offered_is_406(accept: str) -> None:
    with pytest.raises(Refusal, match="application/json, text/plain, image/png") as caught:
        wanted(accept)
    assert (caught.value.status, caught.value.code) == (406, "not_acceptable")


def test_the_forms_are_of_one_screen() -> None:
    as_json = asked(FakeLooks(), headers={"accept": "application/json"})
    assert (as_json.status, as_json.headers["content-type"], as_json.headers["vary"]) == (200, "application/json", "Accept")
    assert as_json.json()["rows"][0]["runs"][0] == {"col": 0, "width": 1, "text": "hello", "bold": True}
    text = asked(FakeLooks(), headers={"accept": "text/plain"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.body == "hello \ufffdthere\n".encode()
    assert asked(FakeLooks(), headers={"accept": "image/png"}).body.startswith(b"\x89PNG\r\n")


def test_who_looks_is_the_asker() -> None:
    looks = FakeLooks()
    assert asked(looks, role="viewer").status == 200
    [place] = looks.places
    assert (place.session, place.user, place.name, place.encrypted, place.may_type) == ("build", "anna", "anna", True, False)
    assert place.expires_at is not None


@pytest.mark.parametrize(("query", "seen"), [("encrypted=true", [True]), ("encrypted=false", [False]), ("encrypted=no", [])])
def test_a_session_without_encryption_is_asked_for_by_that(query: str, seen: list[bool]) -> None:
    looks = FakeLooks()

    async def scenario(server: ServeAuth) -> int:
        await server.open_session()
        return (await server.client.get(f"{SCREEN}?{query}")).status

    assert ServeAuth(looks=looks).run(scenario) == (200 if seen else 400)
    assert [place.encrypted for place in looks.places] == seen


def test_nobody_looks_at_what_nobody_hosts() -> None:
    looks = FakeLooks()

    async def scenario(server: ServeAuth) -> list[Reply]:
        return [
            await server.client.get(SCREEN),
            await server.client.post_json(SEND, {"text": "x"}),
            await server.client.get("/api/sessions/No%20Name/screen"),
        ]

    assert [(reply.status, reply.error_code) for reply in ServeAuth(looks=looks).run(scenario)] == [(404, "no_such_session")] * 3
    assert looks.places == []


def test_what_is_sent_is_what_is_typed() -> None:
    looks = FakeLooks()
    reply = asked(looks, {"text": "make\n", "keys": ["C-c", "é"], "paste": True, "waitFor": "^(m)a", "timeoutS": 2})
    assert reply.status == 200
    assert reply.json() == {
        "result": "matched",
        "typed": True,
        "epoch": "run",
        "offset": 7,
        "match": {"text": "ma", "groups": ["m"]},
        "status": None,
        "reason": None,
    }
    [typing] = looks.typings
    assert (typing.text, typing.keys, typing.paste, typing.timeout_s) == ("make\n", ("C-c", "é"), True, 2.0)
    assert looks.places[0].may_type


def test_what_is_not_waited_for_is_typed_and_what_does_not_come_is_said() -> None:
    assert asked(FakeLooks(), {"keys": ["Enter"]}).json()["result"] == "typed"
    late = asked(FakeLooks(), {"text": "x", "waitFor": "y"}).json()
    assert (late["result"], late["reason"]) == ("timedOut", "waiting for a match")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"waitFor": "x"},
        {"text": ""},
        {"text": 7},
        {"text": "\ud800"},
        {"text": "x" * 4097},
        {"keys": []},
        {"keys": "Enter"},
        {"keys": [""]},
        {"keys": ["x" * 33]},
        {"keys": ["\ud800"]},
        {"keys": ["Foo"]},
        {"keys": ["x"] * 101},
        {"text": "x", "waitFor": "("},
        {"text": "x", "waitFor": ""},
        {"text": "x", "waitFor": "(?=x)"},
        {"text": "x", "timeoutS": 0},
        {"text": "x", "timeoutS": 61},
        {"text": "x", "timeoutS": True},
        {"text": "x", "timeoutS": "1"},
        {"text": "x", "paste": 1},
        {"text": "x", "encrypted": "no"},
        {"text": "x", "enter": True},
    ],
)
def test_what_has_the_wrong_form_is_400_and_nothing_is_typed(wrong: dict[str, Any]) -> None:
    looks = FakeLooks()
    assert asked(looks, wrong).status == 400
    assert looks.places == []


def test_a_token_that_is_revoked_meanwhile_is_shown_nothing() -> None:
    looks = FakeLooks(holds=True)

    async def scenario(server: ServeAuth) -> tuple[Reply, Reply]:
        await server.open_session()
        headers = await server.token_of("anna", "writer")
        looking = asyncio.create_task(server.stranger.get(SCREEN, headers))
        typing = asyncio.create_task(server.stranger.post_json(SEND, {"text": "x"}, headers))
        for _ in range(2):
            await asyncio.to_thread(looks.wait_entered)
        await server.client.post_json("/api/revocations", {"user": "anna"})
        looks._free.set()
        return await looking, await typing

    for reply in ServeAuth(looks=looks).run(scenario):
        assert (reply.status, reply.json()["error"]["message"]) == (401, "this token was revoked")


def test_looks_are_limited_by_token() -> None:
    async def scenario(server: ServeAuth) -> Reply:
        await server.open_session()
        headers = await server.token_of("anna", "viewer")
        replies = [await server.stranger.get(SCREEN, headers) for _ in range(100)]
        return next(reply for reply in replies if reply.status != 200)

    refused = ServeAuth(looks=FakeLooks()).run(scenario)
    assert (refused.status, refused.error_code) == (429, "too_many")
    assert int(refused.headers["retry-after"]) >= 1


def test_the_log_says_who_looked_and_how_much_was_typed_and_never_what() -> None:
    async def scenario(server: ServeAuth) -> list[dict[str, Any]]:
        await server.open_session()
        headers = await server.token_of("anna", "writer")
        await server.stranger.get(SCREEN, headers)
        await server.stranger.post_json(SEND, {"text": "hush-hush", "keys": ["C-c"]}, headers)
        await server.stranger.post_json(SEND, {"text": "hush-hush", "waitFor": "("}, headers)
        return await server.audited()

    lines = ServeAuth(looks=FakeLooks()).run(scenario)
    acts = [line for line in lines if line["event"] == "act" and line.get("user") == "anna"]
    assert [(line["act"], line["session"], line["accepted"]) for line in acts] == [("sync", "build", True)]
    typed = [line for line in lines if line["event"] == "http_input"]
    assert [(line["user"], line["session"], line["size"], line["accepted"]) for line in typed] == [
        ("anna", "build", 10, True),
        ("anna", "build", 9, False),
    ]
    assert "hush" not in str(lines)


def test_a_server_without_a_viewer_says_so() -> None:
    async def scenario(server: ServeAuth) -> list[int]:
        await server.open_session()
        return [(await server.client.get(SCREEN)).status, (await server.client.post_json(SEND, {"text": "x"})).status]

    assert ServeAuth(can_look=False).run(scenario) == [503, 503]
