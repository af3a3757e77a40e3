"""Keys that are changed while a session runs: its host and its viewers take the new ones up and go on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.children import free_port
from tests.support.ptydriver import Terminal
from tests.support.served import Served
from tests.support.sessions import TOKEN, Machine, Relay, soketi_settings, through
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.timeout(120)


def key_of(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


@contextmanager
def served_at(directory: Path, port: int, settings: dict[str, str]) -> Iterator[Served]:
    with Served(directory, "--port", str(port), settings={"AUTH_TOKEN": TOKEN, **settings}) as served:
        yield served


def all_go_on(relay: Relay, host: Terminal, early: Terminal) -> None:
    """Who was there before and who comes now type, and everybody sees it, once."""
    early.send("echo early-$((6 * 7))\r")
    host.shows("early-42\n")
    late = relay.attached()
    late.send("echo late-$((6 * 7))\r")
    early.send("echo again-$((6 * 7))\r")
    for terminal in (host, early, late):
        for word in ("early-42", "late-42", "again-42"):
            terminal.shows(word)
    assert [host.text().count(word) for word in ("early-42", "late-42", "again-42")] == [1, 1, 1]
    late.send("exit 3\r")
    assert [terminal.status() for terminal in (host, early, late)] == [3, 3, 3]


def test_a_session_goes_on_when_the_own_hub_has_a_new_master_key(machine: Machine, tmp_path: Path) -> None:
    port = free_port()
    keys = tmp_path / "state/codewrap/serve-auth/keys.json"
    with served_at(tmp_path, port, {}) as served, through(tmp_path, served, "gateway") as relay:
        host = relay.shell()
        early = relay.attached()
        early.send("echo before-$((6 * 7))\r")
        early.shows("before-42\n")
        old = json.loads(keys.read_text())
        assert served.stop()[0] == 0
        done = machine.finished("serve-auth", "--rotate-key", environ={"CODEWRAP_STATE_DIR": str(keys.parents[1])})
        assert done[0] == 0, done
        new = json.loads(keys.read_text())
        assert {name for name in new if new[name] != old[name]} == {"master_key"}
        served.start()
        all_go_on(relay, host, early)


@pytest.mark.soketi
def test_a_session_goes_on_when_serve_auth_has_a_new_master_key_and_its_broker_knows_nothing_of_it(
    soketi: SoketiServer, tmp_path: Path
) -> None:
    port = free_port()
    settings = soketi_settings(soketi)
    with served_at(tmp_path, port, settings) as served, through(tmp_path, served, "gateway") as relay:
        host = relay.shell()
        early = relay.attached()
        early.send("echo before-$((6 * 7))\r")
        early.shows("before-42\n")
        assert served.stop()[0] == 0
        with served_at(tmp_path, port, settings | {"SOKET_ENCRYPTION_MASTER_KEY_BASE64": key_of(7)}):
            all_go_on(relay, host, early)


def status_of(served: Served, token: str) -> int:
    return served.request("GET", "/api/whoami", headers={"Authorization": f"Bearer {token}"})[0]


def token_of(served: Served) -> str:
    status, _, body = served.request("POST", "/api/tokens", {"user": "bob", "role": "viewer"})
    assert status == 201
    return str(json.loads(body)["token"])


def test_tokens_outlive_the_key_that_signed_them_as_long_as_it_is_named(tmp_path: Path) -> None:
    port, old, new = free_port(), key_of(1), key_of(2)
    with served_at(tmp_path, port, {"CODEWRAP_SIGNING_KEY": old}) as served:
        before = token_of(served)
    with served_at(tmp_path, port, {"CODEWRAP_SIGNING_KEY": f"{new},{old}"}) as served:
        after = token_of(served)
        assert [status_of(served, token) for token in (before, after)] == [200, 200]
    with served_at(tmp_path, port, {"CODEWRAP_SIGNING_KEY": new}) as served:
        assert [status_of(served, token) for token in (before, after)] == [401, 200]
