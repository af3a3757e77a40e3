"""Sessions that only the server knows: asked for in one request each, and nothing without a server."""

from __future__ import annotations

import json

import pytest

from codewrap.cli import hosted
from codewrap.cli.environment import Environment
from codewrap.config import Gateway
from codewrap.errors import SessionNotFound
from codewrap.transport.gateway import Hosted
from tests.support.web import WebServer, answer

TOKEN = "a-token-that-is-long"
ONE = {"sessionId": "deploy", "owner": "bob", "openedAt": 5, "seenAt": 9}


def here(**values: str) -> Environment:
    return Environment({}, values)


def test_the_server_is_that_of_the_settings() -> None:
    assert hosted.gateway(here()) is None
    settings = here(CODEWRAP_URL="https://x.example/", CODEWRAP_TOKEN=TOKEN)
    assert hosted.gateway(settings) == Gateway("https://x.example", TOKEN)


def test_sessions_of_the_server_are_listed_all_or_by_name() -> None:
    with WebServer(lambda _: answer(json.dumps({"sessions": [ONE, ONE | {"sessionId": "other"}]}))) as server:
        gateway = Gateway(server.url, TOKEN)
        assert [session.name for session in hosted.of_server(gateway)] == ["deploy", "other"]
        (session,) = hosted.of_server(gateway, "deploy")
    assert session == Hosted("deploy", "bob", 5, 9)
    shown = hosted.public(session, gateway)
    assert shown == {
        "name": "deploy",
        "state": "running",
        "server": gateway.url,
        "owner": "bob",
        "opened_at": 5,
        "seen_at": 9,
    }


def test_a_signal_goes_by_the_server() -> None:
    with WebServer(lambda _: answer(status=202)) as server:
        hosted.kill(here(CODEWRAP_URL=server.url, CODEWRAP_TOKEN=TOKEN), "deploy", 9)
        (asked,) = server.asked
    assert (asked.method, asked.target, json.loads(asked.body)) == ("POST", "/api/sessions/deploy/kill", {"signal": 9})


def test_without_a_server_there_is_nobody_to_ask() -> None:
    with pytest.raises(SessionNotFound, match="CODEWRAP_URL is not set"):
        hosted.kill(here(), "deploy", 9)
