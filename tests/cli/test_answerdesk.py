"""The uplink's client for answer links, against a server that writes down what it is asked."""

from __future__ import annotations

import json

import pytest

from codewrap.cli.answerdesk import AnswerDesk
from codewrap.config import Gateway
from codewrap.errors import CodewrapError
from codewrap.uplink.occurrence import SECRET, Place
from tests.support.web import Asked, WebServer, answer

TOKEN = "a-token-that-is-long-enough"
MADE = {"token": "eyJ.of.the-link-that-is-long", "tokenId": "c" * 32, "sessionId": "build", "expiresAt": 1}


@pytest.mark.parametrize("path", ["", "/", "/codewrap"])
def test_link_leads_to_the_servers_page_and_holds_the_token_behind_the_hash(path: str) -> None:
    with WebServer(lambda _: answer(json.dumps(MADE).encode(), status=201)) as server:
        desk = AnswerDesk(Gateway(server.url + path, TOKEN), "build", "0123456789abcdef")
        url = desk.link("Name:", Place(120, 7, SECRET))
        [asked] = server.asked
    assert url == f"{server.url}{path.rstrip('/')}/a/build#{MADE['token']}"
    assert json.loads(asked.body) == {
        "epoch": "0123456789abcdef",
        "prompt": "Name:",
        "offset": 120,
        "typed": 7,
        "reads": "secret",
    }
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


def test_outcome_is_told_to_the_server() -> None:
    with WebServer(lambda _: answer(b'{"status":"noted"}')) as server:
        AnswerDesk(Gateway(server.url, TOKEN), "build", "0123456789abcdef").report("c" * 32, "gone")
        [asked] = server.asked
    assert (asked.target, json.loads(asked.body)) == (f"/api/sessions/build/answers/{'c' * 32}", {"outcome": "gone"})


def test_server_that_refuses_is_an_error() -> None:
    def refuse(_: Asked) -> bytes:
        return answer(b'{"error":{"code":"no_such_session","message":"nobody hosts it"}}', status=404)

    with WebServer(refuse) as server, pytest.raises(CodewrapError):
        AnswerDesk(Gateway(server.url, TOKEN), "build", "0123456789abcdef").link("Name:", Place(0, 0, SECRET))
