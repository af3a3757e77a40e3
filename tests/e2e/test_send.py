"""`codewrap send` into real programs: what is typed reaches them once, and what is waited for is what comes of it."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from tests.support.ptydriver import eventually
from tests.support.sessions import BASH, CODEWRAP, Machine, Relay, program, session_name

HUB_AND_GATEWAY = pytest.mark.parametrize("any_relay", ["hub", "gateway"], indirect=True)


def send(relay: Relay, *arguments: str) -> tuple[int, str]:
    """Status and stderr; nothing is ever said on stdout."""
    status, out, err = relay.viewer.finished("send", relay.name, *arguments)
    assert out == b""
    return status, err.decode()


@HUB_AND_GATEWAY
def test_a_shell_is_typed_into_and_its_next_prompt_waited_for(any_relay: Relay) -> None:
    host = any_relay.shell()
    assert send(any_relay, "echo one-$((1+1))", "--enter", "--wait-for", r"^ready\$ $") == (0, "")
    assert host.text().splitlines()[:3] == ["ready$ echo one-$((1+1))", "one-2", "ready$"]
    # The prompt and what it printed stand there already: only what comes now counts, and not the echo.
    assert send(any_relay, "sleep 0.3; echo one-$((1+1))", "-e", "--wait-for", r"one-\d|one-\$") == (0, "")
    host.shows("one-2\nready$ sleep 0.3; echo one-$((1+1))\none-2")
    status, said = send(any_relay, "exit 3", "--enter", "--wait-for", "never")
    assert (status, said) == (1, f"codewrap: session '{any_relay.name}' has ended with status 3\n")
    assert host.status() == 3


@pytest.mark.parametrize("hub", ["hub"], indirect=True)
def test_python_answers_and_is_interrupted(hub: Relay) -> None:
    host = hub.run("python3", "-i", "-q", options=("--quiet",), environ={"PYTHON_BASIC_REPL": "1"})
    host.shows(">>>")
    assert send(hub, "print(6 * 7)", "--enter", "--wait-for", r"^42$") == (0, "")
    assert send(hub, "while True: pass", "--keys", "Enter,Enter") == (0, "")
    assert send(hub, "--keys", "C-c", "--wait-for", r"KeyboardInterrupt(.|\s)*^>>> $") == (0, "")
    assert send(hub, "exit(5)\n") == (0, "")
    assert host.status() == 5


@pytest.mark.debian
def test_vim_is_driven_by_keys_and_its_screen_waited_for(hub: Relay) -> None:
    host = hub.run(program("vim"), "-u", "NONE", "-i", "NONE", "-N", "note", options=("--quiet",))
    host.shows('"note"')
    assert send(hub, "--keys", "i", "--wait-for", "-- INSERT --") == (0, "")
    assert send(hub, "one\ntwo", "--keys", "Up,Home,Escape,d,d") == (0, "")
    assert send(hub, ":put =6*7", "--enter", "--wait-for", "^42$") == (0, "")
    assert send(hub, ":wq", "--enter") == (0, "")
    assert host.status() == 0
    assert (hub.host.home / "note").read_text() == "two\n42\n"


def test_a_password_prompt_is_answered_without_an_echo(hub: Relay) -> None:
    host = hub.shell()
    asks = "read -rsp 'Password: ' secret; echo; echo \"it has ${#secret} letters\""
    assert send(hub, asks, "--enter", "--wait-for", "^Password: $") == (0, "")
    assert send(hub, "letters", "--enter", "--wait-for", r"it has \d letters") == (0, "")
    host.shows("it has 7 letters")
    assert host.text().count("letters") == 2  # in the command and in its answer


def test_text_comes_from_stdin_and_a_paste_in_brackets(hub: Relay) -> None:
    host = hub.shell()
    piped = hub.viewer.piped([CODEWRAP, "send", hub.name, "-", "--wait-for", "^b-2$"])
    piped.send(b"echo a-$((0+1))\necho b-$((1+1))\n")
    piped.end_input()
    assert piped.status() == 0
    host.shows("a-1")
    # bash holds a paste back until Enter is pressed.
    assert send(hub, "echo c-$((1+2))\necho d-$((2+2))", "--paste") == (0, "")
    assert "c-3" not in host.text()
    assert send(hub, "--enter", "--wait-for", "^d-4$") == (0, "")


def test_the_arrows_are_what_the_program_asked_for(hub: Relay) -> None:
    host = hub.run("sh", "-c", r"stty raw -echo; printf '\033[?1hready'; head -c 3 | od -An -c; stty sane", options=("--quiet",))
    host.shows("ready")
    assert send(hub, "--keys", "Up") == (0, "")
    host.shows("033   O   A")


def test_what_does_not_come_in_time_is_status_124(hub: Relay) -> None:
    host = hub.shell()
    status, said = send(hub, "true", "--enter", "--wait-for", "what never comes", "--timeout", "3s")
    # What it was waiting for by then depends on how busy the machine is.
    assert (status, said.startswith(f"codewrap: session '{hub.name}': after 3 s still waiting for ")) == (124, True)
    assert send(hub, "exit", "--enter", "--quiet", "--wait-for", "never") == (1, "")
    assert host.status() == 0


@pytest.mark.soketi
@pytest.mark.parametrize("relay", ["soketi"], indirect=True)
def test_somebody_else_asks_for_leave_by_a_code_and_what_they_send_is_typed_once_they_may(relay: Relay) -> None:
    relay.viewer.settings["CODEWRAP_USER"] = "bob"
    host = relay.shell()
    asking = relay.viewer.piped([CODEWRAP, "send", relay.name, "echo wrong", "--enter"], stdin=subprocess.DEVNULL)
    code = asking.err.expect(re.compile(rb"say this code: (\d\d \d\d \d\d)"))[1].decode()
    host.shows(f"({code})")
    asking.signal(signal.SIGINT)
    assert asking.status() == 130
    sending = relay.viewer.piped(
        [CODEWRAP, "send", relay.name, "echo right-$((1+1))", "-e", "--wait-for", "right-2"],
        stdin=subprocess.DEVNULL,
    )
    sending.err.expect(b"say this code")
    assert relay.host.finished("approve", relay.name, "bob")[0] == 0
    assert sending.status() == 0
    assert "wrong" not in host.text()
    assert host.text().count("echo right") == 1


def test_a_session_that_may_only_be_watched_says_so(machine: Machine) -> None:
    name = session_name()
    host = machine.run("--name", name, "--read-only", "--quiet", *BASH)
    host.shows("ready$")
    status, _, err = machine.finished("send", name, "x")
    assert (status, err.decode()) == (255, f"codewrap: nothing may be typed into '{name}': it may only be watched\n")


def test_a_session_that_is_not_there_is_status_255(machine: Machine) -> None:
    status, out, err = machine.finished("send", "nobody", "x")
    assert (status, out) == (255, b"")
    assert err.startswith(b"codewrap: no session 'nobody' can be found")
    eventually(machine.is_empty, "nothing is left")
