"""`codewrap screen` of real sessions: text, cells, a picture, and where there is none."""

from __future__ import annotations

import json
import stat

import pytest

from tests.support.sessions import Machine, Relay

DRAWN = r"printf '\033]2;a title\007\033[1;32mgreen\033[m plain\n'; read x"


@pytest.mark.parametrize("any_relay", ["hub", "gateway"], indirect=True)
def test_text_and_cells_are_those_of_the_host_s_terminal(any_relay: Relay) -> None:
    host = any_relay.run("sh", "-c", DRAWN, options=("--quiet",))
    host.shows("green plain")
    status, out, err = any_relay.viewer.finished("screen", any_relay.name)
    assert (status, out, err) == (0, b"green plain\n", b"")
    status, out, err = any_relay.viewer.finished("screen", any_relay.name, "--json")
    assert (status, err) == (0, b"")
    shown = json.loads(out)
    assert (shown["session"], shown["size"], shown["title"]) == (any_relay.name, {"rows": 24, "cols": 80}, "a title")
    assert shown["cursor"] == {"row": 1, "col": 0, "visible": True}
    assert shown["rows"][0]["runs"] == [
        {"col": 0, "width": 1, "text": "green", "bold": True, "fg": 2},
        {"col": 5, "width": 1, "text": " plain"},
    ]
    host.send("\r")
    assert host.status() == 0


def test_a_picture_is_written_to_a_private_file(hub: Relay) -> None:
    host = hub.run("sh", "-c", DRAWN, options=("--quiet",))
    host.shows("green plain")
    assert hub.viewer.finished("screen", hub.name, "--png", "-o", "shown.png") == (0, b"", b"")
    file = hub.viewer.home / "shown.png"
    assert file.read_bytes().startswith(b"\x89PNG\r\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    status, _, err = hub.viewer.finished("screen", hub.name, "-o", "nowhere/at/all")
    assert (status, err) == (125, b"codewrap: nowhere/at/all: cannot be written: No such file or directory\n")
    terminal = hub.viewer.terminal(["codewrap", "screen", hub.name, "--png"])
    assert terminal.status() == 2


def test_a_session_on_pipes_shows_its_last_lines(machine: Machine) -> None:
    host = machine.run_piped("--name", "piped", "--", "sh", "-c", "echo one; echo two; read x")
    host.out.expect(b"two")
    assert machine.finished("screen", "piped") == (0, b"one\ntwo\n", b"")
    host.end_input()
    assert host.status() == 1


def test_a_session_that_is_not_there_is_status_255(machine: Machine) -> None:
    status, out, err = machine.finished("screen", "nobody")
    assert (status, out) == (255, b"")
    assert err.startswith(b"codewrap: no session 'nobody' can be found")
