"""Slow and silent links: what is shown of typing before its echo, what never is, and what is said meanwhile."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ptydriver import Terminal
from tests.support.served import Served
from tests.support.sessions import PROMPT, Machine, Relay
from tests.support.slowlink import SlowLink

DELAY_S = 0.3
FELT_S = 0.06
# So long what is trusted takes at most to be shown on this machine, and so often the trust may be lost.
TRUSTED_S = 3.0
ATTEMPTS = 5


@contextlib.contextmanager
def linked(root: Path, served: Served, link: SlowLink) -> Iterator[Relay]:
    """Host and viewer over one `serve-auth`, which the viewer reaches over ``link``."""
    settings = {"CODEWRAP_URL": served.url, "CODEWRAP_TOKEN": served.token}
    with (
        Machine(root / "host", settings) as host,
        Machine(root / "viewer", {**settings, "CODEWRAP_URL": f"http://127.0.0.1:{link.port}"}) as viewer,
    ):
        yield Relay("gateway", host, viewer)


@pytest.fixture
def link(gateway: Served) -> Iterator[SlowLink]:
    """A link of no delay of its own, that can be held."""
    with SlowLink(gateway.port) as link:
        yield link


@pytest.fixture
def relay(tmp_path: Path, gateway: Served, link: SlowLink) -> Iterator[Relay]:
    with linked(tmp_path, gateway, link) as relay:
        yield relay


def underlined(viewer: Terminal) -> str:
    """All that is underlined on the screen. To be called under the lock of what is read."""
    screen = viewer.screen
    cells = [cell for row in range(screen.size.rows) for cell in screen.cells(row)]
    return "".join(cell.char for cell in cells if ";4" in cell.style)


def foresees(viewer: Terminal, text: str) -> None:
    """Wait until exactly ``text`` is underlined."""
    viewer.looks(lambda _: underlined(viewer) == text, f"{text!r} underlined")


def proves(viewer: Terminal, host: Terminal, text: str) -> None:
    """Type something whose echo comes: the predictions after it are trusted."""
    viewer.send(text)
    host.shows(text)
    viewer.shows(text)


def foreseen_while_held(viewer: Terminal, link: SlowLink, text: str) -> None:
    """Hold the link, type ``text`` and see it underlined. The link is still held then.

    An echo that came before its acknowledgement ends the trust, as it may be of what somebody else typed: it is won anew then.
    """
    for _ in range(ATTEMPTS):
        before = viewer.text()
        link.hold()
        viewer.send(text)
        if viewer.output.wait_for(lambda: underlined(viewer) == text, TRUSTED_S):
            return
        link.release()
        viewer.looks(lambda rows: any(row.endswith(text) for row in rows), "the echo")
        viewer.send("\x7f" * len(text))
        viewer.looks(lambda _, before=before: viewer.text() == before, "what was there before")
    raise AssertionError(f"never underlined: {text!r}; {viewer.shown()}")


def test_what_is_typed_is_shown_before_its_echo_could_have_come_and_confirmed_by_it(relay: Relay, link: SlowLink) -> None:
    host = relay.shell()
    viewer = relay.attached("--predict", "always")
    proves(viewer, host, "ec")
    foreseen_while_held(viewer, link, "ho fores")
    viewer.send("X\x7f")
    viewer.looks(lambda rows: any(row.endswith("echo fores") for row in rows), "the letter taken back")
    assert "echo" not in host.text()
    link.release()
    foresees(viewer, "")
    viewer.looks_like(host)
    viewer.send("een\r")
    viewer.shows("\nforeseen\n")
    viewer.looks_like(host)


def test_a_password_is_never_shown(relay: Relay, link: SlowLink) -> None:
    host = relay.shell()
    viewer = relay.attached("--predict", "always")
    proves(viewer, host, "read -sp 'Password: ' word; echo \"[${#word}]\"")
    viewer.send("\r")
    viewer.shows("\nPassword:")
    begun = len(viewer.output.data)
    for held in (True, False):
        if held:
            link.hold()
        for char in "zqxj":
            viewer.send(char)
        if held:
            link.release()
    viewer.send("\r")
    viewer.shows("[8]")
    assert not any(char in viewer.output.data[begun:] for char in b"zqxj")
    viewer.looks_like(host)


def test_in_a_full_screen_program_keys_that_are_commands_are_not_shown(relay: Relay, link: SlowLink) -> None:
    lines = "".join(f"line {number}\n" for number in range(200))
    (relay.host.home / "text").write_text(lines)
    host = relay.shell()
    viewer = relay.attached("--predict", "always")
    proves(viewer, host, "less text")
    viewer.send("\r")
    viewer.shows("line 10")
    viewer.looks_like(host)
    for key, wanted in (("j", "line 23"), ("j", "line 24"), ("G", "line 199")):
        begun = len(viewer.output.data)
        viewer.send(key)
        viewer.shows(wanted)
        assert b";4m" not in viewer.output.data[begun:]
    viewer.send("q")
    viewer.shows(PROMPT.strip())
    viewer.looks_like(host)


def test_by_itself_it_begins_on_a_slow_link(tmp_path: Path, gateway: Served) -> None:
    with SlowLink(gateway.port, DELAY_S) as slow, linked(tmp_path, gateway, slow) as relay:
        host = relay.shell()
        viewer = relay.attached()
        proves(viewer, host, "ec")
        # What is typed while the screen is on its way with which predictions begin is not foreseen; sooner or later it is.
        for char in "abcdefghijklmnopqrstuvwxyz" * 2:
            viewer.send(char)
            if viewer.output.wait_for(lambda: underlined(viewer), DELAY_S):
                break
        assert viewer.output.wait_for(lambda: underlined(viewer), DELAY_S)
        foresees(viewer, "")
        viewer.looks_like(host)


def test_a_link_that_is_fast_is_left_alone(tmp_path: Path, gateway: Served) -> None:
    """The measure is taken on the way: where this machine is too busy for a fast link, predictions are right to begin."""
    with SlowLink(gateway.port) as fast, linked(tmp_path, gateway, fast) as relay:
        host = relay.shell()
        viewer = relay.attached()
        quick = True
        for char in "abcdefghij":
            begun = time.monotonic()
            proves(viewer, host, char)
            quick = quick and time.monotonic() - begun < FELT_S
        assert not quick or b";4m" not in viewer.output.data


def test_a_session_that_falls_silent_is_said_to_be_until_it_is_heard_again(relay: Relay, link: SlowLink) -> None:
    host = relay.shell()
    viewer = relay.attached()
    proves(viewer, host, "echo")
    link.hold()
    viewer.send(" back")
    viewer.shows(re.compile(r"last heard \d s ago; 5 typed bytes wait"))
    link.release()
    viewer.shows("echo back")
    viewer.looks(lambda rows: not any("last heard" in row for row in rows), "the line gone")
    viewer.looks_like(host)


def test_predictions_stay_while_nothing_is_heard(relay: Relay, link: SlowLink) -> None:
    host = relay.shell()
    viewer = relay.attached("--predict", "always")
    viewer.send("\r")
    viewer.shows(re.compile(r"ready\$\s+ready\$"))
    proves(viewer, host, "echo")
    foreseen_while_held(viewer, link, " back")
    viewer.shows("last heard")
    foresees(viewer, " back")
    link.release()
    viewer.looks(lambda rows: not any("last heard" in row for row in rows), "the line gone")
    foresees(viewer, "")
    viewer.looks_like(host)
