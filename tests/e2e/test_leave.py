"""Watching is the default, typing is granted: real hosts and viewers of different users."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest

from tests.support.ptydriver import Terminal, eventually
from tests.support.sessions import BASH, CODEWRAP, Relay, program

ASKS = re.compile(r"asks to type \((\d\d \d\d \d\d)\)")
SAYS = re.compile(r"say this code: (\d\d \d\d \d\d)")


def as_bob(relay: Relay) -> None:
    """The viewer is somebody else than who runs the session."""
    relay.viewer.settings["CODEWRAP_USER"] = "bob"


def code_on(terminal: Terminal, pattern: re.Pattern[str]) -> str:
    found: list[str] = []

    def look() -> bool:
        found[:] = pattern.findall(terminal.text())
        return bool(found)

    eventually(look, f"{pattern.pattern} on the screen")
    return found[0]


def ask(relay: Relay, viewer: Terminal) -> None:
    viewer.send("echo wrong\r")
    assert code_on(viewer, SAYS)


def requests(relay: Relay) -> list[dict[str, object]]:
    status, out, err = relay.host.finished("ls", "--json")
    assert status == 0, err
    (session,) = json.loads(out)
    found: list[dict[str, object]] = session["requests"]
    return found


@pytest.mark.parametrize("relay", ["soketi", "cloud"], indirect=True)
def test_nothing_is_typed_before_leave_is_given(relay: Relay) -> None:
    as_bob(relay)
    host = relay.shell()
    viewer = relay.attached()
    viewer.shows("ready$")
    viewer.send("echo wrong\r")
    code = code_on(viewer, SAYS)
    assert code_on(host, ASKS) == code
    assert [(request["user"], request["code"]) for request in requests(relay)] == [("bob", code)]
    status, out, _ = relay.host.finished("approve", relay.name)
    assert (status, out.split()[:5]) == (0, [b"bob", b"code", *code.encode().split()])
    status, _, err = relay.host.finished("approve", relay.name, "bob")
    assert (status, b"bob may type" in err) == (0, True)
    viewer.shows("you may type now")
    viewer.send("echo right; exit 3\r")
    assert viewer.status() == 3
    assert host.status() == 3
    assert "wrong" not in host.text()
    assert "right" in host.text()


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
@pytest.mark.parametrize(("key", "then"), [("y", "you may type now"), ("n", "it was denied")])
def test_the_keys_at_the_host_decide_over_a_full_screen_program_and_leave_it_as_it_was(relay: Relay, key: str, then: str) -> None:
    as_bob(relay)
    text = relay.host.home / "text"
    text.write_text("".join(f"line {number} of the text\n" for number in range(1, 200)))
    host = relay.run(program("less"), str(text), options=("--quiet",))
    host.shows("line 20 of the text")
    before = host.screen.snapshot()
    viewer = relay.attached()
    viewer.shows("line 20 of the text")
    viewer.send("q")
    code = code_on(viewer, SAYS)
    assert code_on(host, ASKS) == code
    assert host.text().splitlines()[1] == "line 2 of the text"
    host.send("\x1d" + key)
    viewer.shows(then)
    eventually(lambda: host.screen.snapshot() == before, "the screen as it was")
    host.send("q")
    assert host.status() == 0
    assert viewer.status() == 0


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_a_request_comes_and_goes_while_an_editor_is_used(relay: Relay) -> None:
    as_bob(relay)
    host = relay.run(program("vim"), "-u", "NONE", "-i", "NONE", options=("--quiet",))
    host.shows("~")
    viewer = relay.attached()
    viewer.send("x")
    code_on(host, ASKS)
    host.send("ione two three\r four")
    host.shows("four")
    code_on(host, ASKS)
    host.send("\x1d")
    host.send("n")
    viewer.shows("it was denied")
    host.send("\x1b:w written\r")
    host.shows("written")
    eventually(lambda: host.text().splitlines()[:2] == ["one two three", " four"], "what was typed, with no line over it")
    other = relay.attached("--read-only")
    other.shows("one two three")
    eventually(lambda: other.text() == host.text(), "what a viewer sees")
    host.send(":q\r")
    assert host.status() == 0
    assert (relay.host.home / "written").read_text() == "one two three\n four\n"


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_without_a_terminal_a_line_says_who_asks(relay: Relay) -> None:
    as_bob(relay)
    host = relay.host.terminal(
        [CODEWRAP, "run", "--name", relay.name, "--quiet", "--pty", "--", *BASH],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    viewer = relay.attached()
    viewer.shows("ready$")
    ask(relay, viewer)
    host.shows(f"codewrap approve {relay.name} bob")
    assert relay.host.finished("approve", relay.name, "bob", "--deny")[0] == 0
    viewer.shows("it was denied")
    assert relay.host.finished("approve", relay.name, "bob")[0] == 0
    viewer.shows("you may type now")
    viewer.send("exit 4\r")
    assert viewer.status() == 4


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_view_refuses_all_and_says_so(relay: Relay) -> None:
    as_bob(relay)
    host = relay.shell(options=("--share", "view"))
    viewer = relay.attached()
    viewer.shows("ready$")
    viewer.send("echo wrong\r")
    viewer.shows("nobody may type")
    status, _, err = relay.host.finished("approve", relay.name, "bob")
    assert (status, b"--share view" in err) == (2, True)
    host.send("exit\r")
    assert host.status() == 0
    assert "wrong" not in host.text()


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_write_lets_everybody_type(relay: Relay) -> None:
    as_bob(relay)
    host = relay.shell(options=("--share", "write"))
    viewer = relay.attached()
    viewer.shows("ready$")
    viewer.send("exit 5\r")
    assert viewer.status() == 5
    assert host.status() == 5


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_leave_outlives_the_uplink(relay: Relay) -> None:
    as_bob(relay)
    host = relay.shell()
    viewer = relay.attached()
    viewer.shows("ready$")
    ask(relay, viewer)
    assert relay.host.finished("approve", relay.name, "bob")[0] == 0
    viewer.shows("you may type now")
    relay.host.uplink().send_signal(signal.SIGKILL)
    viewer.send("echo again; exit 6\r")
    assert viewer.status() == 6
    assert host.status() == 6


def test_in_embedded_mode_and_for_who_runs_it_nobody_is_asked(any_relay: Relay) -> None:
    host = any_relay.shell()
    viewer = any_relay.attached()
    viewer.shows("ready$")
    viewer.send("exit 7\r")
    assert viewer.status() == 7
    assert host.status() == 7


@pytest.mark.parametrize("gateway_relay", ["gateway", "gateway-soketi"], indirect=True)
def test_through_a_server_the_users_are_those_of_its_tokens_and_it_passes_on_who_is_approved(gateway_relay: Relay) -> None:
    relay = gateway_relay
    status, out, err = relay.host.finished("token", "create", "--user", "bob", "--role", "writer", "--json")
    assert status == 0, err
    elsewhere = dict(relay.viewer.settings)
    relay.viewer.settings["CODEWRAP_TOKEN"] = json.loads(out)["token"]
    host = relay.shell()
    viewer = relay.attached()
    viewer.shows("ready$")
    viewer.send("echo wrong\r")
    assert code_on(viewer, SAYS) == code_on(host, ASKS)
    relay.viewer.settings.update(elsewhere)
    status, _, err = relay.viewer.finished("approve", relay.name, "bob")
    assert status == 0, err
    viewer.shows("you may type now")
    viewer.send("echo right; exit 3\r")
    assert viewer.status() == 3
    assert host.status() == 3
    assert "wrong" not in host.text()
