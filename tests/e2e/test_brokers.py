"""A server that is wrong, refuses, is away or never answers: the command does not notice, the person is told in a line."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.ptydriver import Piped, eventually
from tests.support.sessions import (
    PROMPT,
    TOKEN,
    Machine,
    Relay,
    SilentServer,
    closed_port,
    direct,
)
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.timeout(120)

# What a command may take from its start to its end under `run`, on a machine that is busy with other tests.
PROMPTLY_S = 10.0


def soketi_at(port: int) -> dict[str, str]:
    """Settings for a Soketi that may not be there."""
    return {
        "SOKETI_HOST": "127.0.0.1",
        "SOKETI_PORT": str(port),
        "SOKETI_SERVICE_USER": "1",
        "SOKETI_SERVICE_KEY": "a-key",
        "SOKETI_SERVICE_SECRET": "a-secret",
        "SOKET_ENCRYPTION_MASTER_KEY_BASE64": "A" * 43 + "=",
    }


def gateway_at(port: int) -> dict[str, str]:
    """Settings for a `serve-auth` that may not be there."""
    return {"CODEWRAP_URL": f"http://127.0.0.1:{port}", "CODEWRAP_TOKEN": TOKEN}


@pytest.fixture(params=["closed", "silent"])
def useless_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that refuses, and one that accepts and never answers."""
    if request.param == "closed":
        yield closed_port()
    else:
        with SilentServer() as server:
            yield server.port


def one_line(viewer: Piped) -> str:
    """The only line on its stderr besides what it says while it connects."""
    err = viewer.err.everything()
    assert b"Traceback" not in err
    lines = [line for line in err.decode().splitlines() if "connecting to" not in line and "; detach with" not in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("settings", [soketi_at, gateway_at], ids=["direct", "gateway"])
@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminal"])
def test_a_server_that_is_not_there_neither_delays_nor_ends_the_command(
    tmp_path: Path, useless_port: int, settings: object, on_terminal: bool
) -> None:
    assert callable(settings)
    with Machine(tmp_path / "machine", settings(useless_port)) as machine:
        begun = time.monotonic()
        if on_terminal:
            host = machine.run("sh", "-c", "echo at work; read line; exit 3")
            host.shows("at work", PROMPTLY_S)
            machine.uplink()
            host.send("\r")
            assert host.status(PROMPTLY_S) == 3
            host.is_as_it_was()
        else:
            piped = machine.run_piped("sh", "-c", "echo at work; read line; exit 3")
            piped.out.expect(b"at work\n", PROMPTLY_S)
            machine.uplink()
            piped.send(b"\n")
            assert piped.status(PROMPTLY_S) == 3
        assert time.monotonic() - begun < 2 * PROMPTLY_S
        eventually(machine.is_over, "nothing but the log is left")
        [kept] = machine.kept()
        assert kept.state.status == 3
        assert (kept.directory / "output").read_bytes().startswith(b"at work")


@pytest.mark.parametrize("settings", [gateway_at], ids=["gateway"])
def test_the_summary_says_that_the_server_could_not_be_reached(tmp_path: Path, settings: object) -> None:
    assert callable(settings)
    with Machine(tmp_path / "machine", settings(closed_port())) as machine:
        host = machine.run_piped("sh", "-c", "read line; exit 3")
        uplink = machine.uplink()
        # It sleeps between attempts when it has gone past its imports and been refused.
        eventually(lambda: uplink.cpu_times().user > 0.1 and uplink.status() == psutil.STATUS_SLEEPING, "it has tried")
        host.send(b"\n")
        assert host.status() == 3
        assert re.search(rb"\[codewrap\] .*127\.0\.0\.1:\d+.*refused", host.err.everything())


@pytest.mark.soketi
@pytest.mark.parametrize("wrong", ["SOKETI_SERVICE_KEY", "SOKETI_SERVICE_SECRET", "SOKETI_SERVICE_USER"])
def test_wrong_credentials_do_not_touch_the_command_and_are_told_at_its_end(
    tmp_path: Path, soketi: SoketiServer, wrong: str
) -> None:
    with direct(tmp_path, soketi) as relay:
        relay.host.settings[wrong] = "999999"
        host = relay.run_piped("sh", "-c", "echo at work; read line; exit 3")
        host.out.expect(b"at work\n")
        # By the time that a viewer gives up, the host has been refused.
        viewer = relay.attach_piped()
        assert viewer.status() == 255
        host.send(b"\n")
        assert host.status() == 3
        err = host.err.everything()
        assert b"Traceback" not in err
        assert b"[codewrap] the session cannot be watched: " in err
        assert soketi.secret.encode() not in err


@pytest.mark.soketi
@pytest.mark.parametrize("wrong", ["SOKETI_SERVICE_KEY", "SOKETI_SERVICE_SECRET"])
def test_attach_with_wrong_credentials_is_255_in_one_line(tmp_path: Path, soketi: SoketiServer, wrong: str) -> None:
    with direct(tmp_path, soketi) as relay:
        host = relay.shell()
        relay.viewer.settings[wrong] = "999999"
        viewer = relay.attach_piped()
        assert viewer.status() == 255
        assert viewer.out.everything() == b""
        assert "127.0.0.1" in one_line(viewer)
        on_terminal = relay.attach()
        assert on_terminal.status() == 255
        on_terminal.is_as_it_was()
        host.send("echo still-$((1 + 1))\r")
        host.shows("\nstill-2\n")


@pytest.mark.soketi
def test_attach_with_another_master_key_shows_nothing_and_is_255(tmp_path: Path, soketi: SoketiServer) -> None:
    with direct(tmp_path, soketi) as relay:
        relay.shell()
        relay.viewer.settings["SOKET_ENCRYPTION_MASTER_KEY_BASE64"] = "A" * 43 + "="
        viewer = relay.attach_piped()
        assert viewer.status(60) == 255
        assert viewer.out.everything() == b""
        one_line(viewer)


def test_attach_to_a_session_that_nobody_runs_is_255_in_one_line(relay: Relay) -> None:
    viewer = relay.viewer.attach_piped(relay.name)
    assert viewer.status() == 255
    assert relay.name in one_line(viewer)


@pytest.mark.soketi
def test_a_broker_without_client_events_is_typed_through_by_http(
    tmp_path: Path, soketi_without_client_events: SoketiServer
) -> None:
    with direct(tmp_path, soketi_without_client_events) as relay:
        host = relay.shell()
        viewer = relay.attached()
        viewer.shows(PROMPT.strip())
        viewer.send("echo typed-$((6 * 8))\r")
        host.shows("\ntyped-48\n")
        viewer.looks_like(host)
        viewer.send("exit 3\r")
        assert (host.status(), viewer.status()) == (3, 3)
