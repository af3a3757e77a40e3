"""Screens and typing over HTTP, of real sessions through a real `serve-auth`: what `screen` and `send` do, without codewrap."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.ptydriver import eventually
from tests.support.served import Served
from tests.support.sessions import Relay

DRAWN = r"printf '\033]2;a title\007\033[1;32mgreen\033[m plain\n'; read x"


class Programs:
    """Somebody with a token and an HTTP client."""

    def __init__(self, relay: Relay, request: pytest.FixtureRequest, user: str = "", role: str = "writer") -> None:
        self.served: Served = request.getfixturevalue(relay.kind.replace("-", "_"))
        self.name = relay.name
        self._path = f"/api/sessions/{relay.name}"
        self._headers = {}
        if user:
            token = json.loads(self.served.request("POST", "/api/tokens", {"user": user, "role": role})[2])["token"]
            self._headers = {"Authorization": f"Bearer {token}"}

    def reach_it(self) -> None:
        """Until its host has told the server of it."""
        eventually(lambda: self.served.request("GET", "/api/sessions")[2].find(f'"{self.name}"'.encode()) >= 0, "it is hosted")

    def screen(self, accept: str = "application/json", query: str = "") -> tuple[int, bytes]:
        status, _, body = self.served.request("GET", f"{self._path}/screen{query}", headers=self._headers | {"Accept": accept})
        return status, body

    def send(self, **what: Any) -> tuple[int, dict[str, Any]]:
        status, _, body = self.served.request("POST", f"{self._path}/send", what, self._headers)
        return status, json.loads(body)


@pytest.mark.parametrize("gateway_relay", ["gateway", "gateway-soketi"], indirect=True)
def test_the_screen_over_http_is_the_one_that_the_command_draws(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    host = gateway_relay.run("sh", "-c", DRAWN, options=("--quiet",))
    host.shows("green plain")
    vera = Programs(gateway_relay, request, "vera", "viewer")
    vera.reach_it()
    status, drawn, said = gateway_relay.viewer.finished("screen", gateway_relay.name, "--json")
    assert (status, said) == (0, b"")
    status, body = vera.screen()
    assert (status, json.loads(body)) == (200, json.loads(drawn))
    assert json.loads(body)["rows"][0]["text"] == "green plain"
    assert vera.screen("text/plain") == (200, b"green plain\n")
    status, picture = vera.screen("image/png")
    assert (status, picture[:6]) == (200, b"\x89PNG\r\n")
    assert vera.screen("image/gif")[0] == 406
    assert vera.send(text="x\n")[0] == 403
    host.send("\r")
    assert host.status() == 0


@pytest.mark.parametrize("gateway_relay", ["gateway", "gateway-soketi"], indirect=True)
def test_what_is_sent_is_typed_once_and_what_comes_of_it_is_the_answer(
    gateway_relay: Relay, request: pytest.FixtureRequest
) -> None:
    host = gateway_relay.shell(options=("--share", "write"))
    anna = Programs(gateway_relay, request, "anna")
    anna.reach_it()
    status, sent = anna.send(text="echo 4$((1+1))-$((2+1))\n", waitFor=r"^(4\d)-(3)$")
    assert (status, sent["result"], sent["typed"]) == (200, "matched", True)
    assert sent["match"] == {"text": "42-3", "groups": ["42", "3"]}
    assert host.text().count("echo 4") == 1
    status, sent = anna.send(text="sleep 1000\n", waitFor="never", timeoutS=0.5)
    assert (status, sent["result"], sent["match"]) == (200, "timedOut", None)
    status, sent = anna.send(keys=["C-c"], waitFor=r"ready\$ $")
    assert (status, sent["result"]) == (200, "matched")
    assert "42-3" in json.loads(anna.screen()[1])["rows"][1]["text"]
    status, sent = anna.send(text="exit 3", keys=["Enter"], waitFor="never")
    assert (status, sent["result"], sent["status"]) == (200, "ended", 3)
    assert host.status() == 3


@pytest.mark.parametrize("gateway_relay", ["gateway"], indirect=True)
def test_a_session_that_is_not_encrypted_is_seen_where_that_is_said(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    host = gateway_relay.run("sh", "-c", "echo in clear; read x", options=("--quiet", "--no-encrypt"))
    host.shows("in clear")
    programs = Programs(gateway_relay, request)
    programs.reach_it()
    assert programs.screen("text/plain", "?encrypted=false") == (200, b"in clear\n")
    host.send("\r")
    assert host.status() == 0


@pytest.mark.parametrize("gateway_relay", ["gateway"], indirect=True)
def test_what_nobody_answers_for_is_said_in_a_line(gateway_relay: Relay, request: pytest.FixtureRequest) -> None:
    programs = Programs(gateway_relay, request)
    status, body = programs.screen()
    assert (status, json.loads(body)["error"]["code"]) == (404, "no_such_session")
    assert programs.served.request("POST", "/api/sessions", {"sessionId": gateway_relay.name})[0] == 200
    status, body = programs.screen()
    assert (status, json.loads(body)["error"]["code"]) == (504, "no_answer")
    assert programs.send(text="x")[0] == 504
