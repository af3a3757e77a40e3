"""Two copies of `serve-auth` over one store and one Soketi: what one is told, both hold. Limits: `test_limits.py`."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.frames import ANY_EPOCH, Input
from codewrap.transport.base import Event
from codewrap.transport.publish import PusherPublisher
from tests.support.node import Node
from tests.support.ptydriver import Terminal, eventually
from tests.support.served import Served
from tests.support.sessions import BASH, JOINED, MASTER_KEY, PROMPT, TOKEN, Machine, session_name, soketi_settings
from tests.support.slowlink import SlowLink
from tests.support.soketi import SoketiServer
from tests.support.stores import Place
from tests.support.web import WebServer, answer

pytestmark = [pytest.mark.timeout(120), pytest.mark.soketi]


@dataclass
class Copies:
    """Copies ``one`` and ``other``; a machine behind each."""

    one: Served
    other: Served
    broker: SoketiServer
    host: Machine
    viewer: Machine
    name: str

    def token(self, served: Served, user: str, role: str) -> tuple[str, str]:
        """A new token and its id."""
        body = {"user": user, "role": role, "sessions": ["e2e-*"], "lifetimeS": 3600}
        issued = asked(served, "POST", "/api/tokens", body)
        return issued["token"], issued["tokenId"]

    def shell(self, url: str) -> Terminal:
        """Hannah's session of bash, by the server at ``url``."""
        settings = {"CODEWRAP_URL": url, "CODEWRAP_TOKEN": self.token(self.one, "hannah", "host")[0]}
        host = self.host.run("--name", self.name, "--quiet", "--share", "write", "--", *BASH, environ=settings)
        host.shows(PROMPT.strip())
        eventually(self.is_known, "the other copy knows the session")
        return host

    def is_known(self) -> bool:
        """The other copy knows of the session, and whose it is."""
        listed = asked(self.other, "GET", "/api/sessions")["sessions"]
        return (self.name, "hannah") in [(session["sessionId"], session["owner"]) for session in listed]

    def audited(self, served: Served) -> bytes:
        """The audit log of one copy."""
        return b"".join(path.read_bytes() for path in (served.directory / "state").rglob("*.jsonl"))

    def attached(self, url: str, token: str) -> Terminal:
        """Somebody at the session, by the server at ``url``."""
        viewer = self.viewer.attach(self.name, environ={"CODEWRAP_URL": url, "CODEWRAP_TOKEN": token})
        viewer.expect(JOINED)
        viewer.shows(PROMPT.strip())
        return viewer

    def type_behind_the_servers(self, user: str, text: str, number: int) -> None:
        """What somebody can who has kept a grant from before, and has the broker's help."""
        key = sealing.shared_secret(channels.sealed_input_channel(self.name), base64.b64decode(MASTER_KEY))
        grant = grants.make_grant(key, f"{user}.0123456789ab", int(time.time()) + grants.LIFE_S)
        frame = frames.encode(Input(ANY_EPOCH, f"http-{int(time.time() * 1000)}-{number:032x}", 0, text.encode()))
        sealed = grants.seal(frame, grant, os.urandom(sealing.NONCE_BYTES))
        publisher = PusherPublisher(self.broker.credentials, self.broker.endpoint)
        publisher.publish([Event(channels.input_channel(self.name), channels.EVENT_INPUT, sealed)])
        publisher.close()


def asked(served: Served, method: str, path: str, value: object = None) -> dict[str, Any]:
    """What an admin is answered."""
    status, _, body = served.request(method, path, value)
    assert status in (200, 201), body
    found: dict[str, Any] = json.loads(body)
    return found


def status_of(served: Served, token: str) -> int:
    """Of a question that every good token may ask."""
    return served.request("GET", "/api/whoami", headers={"Authorization": f"Bearer {token}"})[0]


@pytest.fixture(scope="module")
def broker(node: Node) -> Iterator[SoketiServer]:
    """A Soketi where users sign in: it can close their connections."""
    with SoketiServer(node, settings={"SOKETI_DEFAULT_APP_USER_AUTHENTICATION": "1"}) as server:
        yield server


@pytest.fixture
def copies(place: Place, broker: SoketiServer, tmp_path: Path) -> Iterator[Copies]:
    settings = {
        **soketi_settings(broker),
        "AUTH_TOKEN": TOKEN,
        "CODEWRAP_STATE": place.url,
        "CODEWRAP_SIGNING_KEY": base64.b64encode(bytes(range(32))).decode(),
    }
    directories = [tmp_path / "one", tmp_path / "other"]
    for directory in directories:
        directory.mkdir()
    with (
        Served(directories[0], settings=settings) as one,
        Served(directories[1], settings=settings) as other,
        Machine(tmp_path / "host") as host,
        Machine(tmp_path / "viewer") as viewer,
    ):
        yield Copies(one, other, broker, host, viewer, session_name())


def test_prompt_of_a_session_at_one_copy_is_answered_at_the_other_once(copies: Copies) -> None:
    with WebServer(lambda _: answer(status=204)) as receiver:
        settings = {"CODEWRAP_URL": copies.one.url, "CODEWRAP_TOKEN": copies.token(copies.one, "hannah", "host")[0]}
        options = ("--pty", "--notify", receiver.url, "--", "bash", "-c", "read -p 'Deploy? ' a; echo heard $a.; read b")
        host = copies.host.run_piped("--name", copies.name, *options, environ=settings)
        eventually(lambda: receiver.asked, "the prompt is told")
        path, _, token = json.loads(receiver.asked[0].body)["answer_url"].removeprefix(copies.one.url).partition("#")
        assert path == f"/a/{copies.name}"
        headers = {"Authorization": f"Bearer {token}"}
        answers = f"/api/sessions/{copies.name}/answer"
        assert copies.other.request("POST", answers, {"text": "yes"}, headers)[0] == 200
        host.out.expect(b"heard yes.")
        for served in (copies.one, copies.other):
            assert served.request("POST", answers, {"text": "evil"}, headers)[0] == 409


def test_who_is_revoked_at_one_copy_is_shown_out_by_the_other_and_types_no_more(copies: Copies) -> None:
    host = copies.shell(copies.one.url)
    token, token_id = copies.token(copies.one, "bob", "writer")
    viewer = copies.attached(copies.other.url, token)
    viewer.send("echo by-bob-$((1 + 1))\r")
    host.shows("\nby-bob-2\n")
    copies.type_behind_the_servers("bob", "echo kept-$((1 + 2))\r", 1)
    host.shows("\nkept-3\n")
    asked(copies.one, "DELETE", f"/api/tokens/{token_id}")
    eventually(lambda: status_of(copies.other, token) == 401, "refused at the other copy")
    assert viewer.status() == 255
    viewer.shows("you may not watch")
    copies.type_behind_the_servers("bob", "echo kept-$((2 + 2))\r", 2)
    # A word of somebody else's that goes the same way comes behind it.
    copies.type_behind_the_servers("hannah", "echo mine-$((2 + 3))\r", 3)
    host.shows("\nmine-5\n")
    assert "2 + 2" not in host.text()


def test_names_and_links_that_are_taken_at_one_copy_are_taken_at_the_other(copies: Copies) -> None:
    host = copies.shell(copies.one.url)
    link = asked(copies.other, "POST", "/api/shares", {"sessionId": copies.name, "once": True})["token"]
    redeemed = asked(copies.one, "POST", "/api/shares/redeem", {"token": link})["token"]
    assert status_of(copies.other, redeemed) == 200
    assert copies.other.request("POST", "/api/shares/redeem", {"token": link})[0] == 401
    settings = {"CODEWRAP_URL": copies.other.url, "CODEWRAP_TOKEN": copies.token(copies.other, "otto", "host")[0]}
    second = copies.viewer.run_piped("--name", copies.name, "--", "sh", "-c", "read line; sleep 2; echo $line", environ=settings)
    eventually(lambda: b"somebody else hosts" in copies.audited(copies.other), "it was refused")
    second.send(b"unharmed\n")
    assert (second.status(), second.out.everything()) == (0, b"unharmed\n")
    told = [line for line in second.err.everything().splitlines() if b"choose another --name" in line]
    assert len(told) == 1
    host.send("exit\r")
    assert host.status() == 0
    eventually(lambda: not copies.is_known(), "the other copy knows that it is over")
    eventually(lambda: not copies.host.processes(), "the uplink has left")


def test_when_one_copy_is_killed_everything_goes_on_at_the_other(copies: Copies) -> None:
    token, _ = copies.token(copies.other, "bob", "writer")
    with SlowLink(copies.one.port) as front:
        url = f"http://127.0.0.1:{front.port}"
        host = copies.shell(url)
        viewer = copies.attached(url, token)
        viewer.send("echo before-$((1 + 1))\r")
        viewer.shows("\nbefore-2\n")
        front.lead_to(copies.other.port)
        copies.one.process.send_signal(signal.SIGKILL)
        copies.one.process.wait(30)
        viewer.send("echo after-$((1 + 2))\r")
        viewer.shows("\nafter-3\n")
        host.shows("\nafter-3\n")
        assert host.text().count("after-3") == 1
        another = copies.attached(url, token)
        another.shows("\nafter-3\n")
        host.send("exit 4\r")
        assert (host.status(), viewer.status(), another.status()) == (4, 4, 4)
