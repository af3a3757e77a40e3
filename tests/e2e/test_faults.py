"""What happens when something dies without a word: broker, uplink, host, viewer."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.protocol.geometry import Size
from codewrap.store.archive import Fate
from tests.support.node import Node
from tests.support.ptydriver import Terminal, eventually
from tests.support.served import Served
from tests.support.sessions import CODEWRAP, PROMPT, TOKEN, Relay, direct, soketi_settings, through
from tests.support.soketi import SoketiServer

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def own_soketi(node: Node) -> Iterator[SoketiServer]:
    """One that may be killed."""
    with SoketiServer(node) as server:
        yield server


@pytest.fixture
def mortal(own_soketi: SoketiServer, tmp_path: Path) -> Iterator[Relay]:
    """Over a Soketi that may be killed."""
    with direct(tmp_path, own_soketi) as relay:
        yield relay


def works(viewer: Terminal, host: Terminal, number: int) -> None:
    """What is typed arrives, and both screens are the same."""
    viewer.send(f"echo works-$(({number} + 0))\r")
    host.shows(f"\nworks-{number}\n", 60)
    viewer.shows(f"\nworks-{number}\n", 60)
    viewer.looks_like(host)


@pytest.mark.soketi
def test_a_broker_that_is_killed_and_started_again_costs_a_viewer_nothing(mortal: Relay, own_soketi: SoketiServer) -> None:
    host = mortal.shell()
    viewer = mortal.attached()
    works(viewer, host, 1)
    own_soketi.kill()
    host.send("echo while-away-$((1 + 1))\r")
    host.shows("\nwhile-away-2\n")
    viewer.shows(re.compile(r"\[codewrap\] \S+: .*link lost"))
    own_soketi.start()
    viewer.shows("\nwhile-away-2\n", 60)
    works(viewer, host, 2)
    assert "codewrap" not in viewer.text()
    viewer.send("exit 4\r")
    assert (host.status(), viewer.status()) == (4, 4)
    viewer.is_as_it_was()


@pytest.mark.soketi
def test_a_broker_that_stops_in_good_order_and_starts_again_costs_a_viewer_nothing(
    mortal: Relay, own_soketi: SoketiServer
) -> None:
    host = mortal.shell()
    viewer = mortal.attached()
    own_soketi.stop()
    host.send("echo while-away-$((1 + 1))\r")
    own_soketi.start()
    viewer.shows("\nwhile-away-2\n", 60)
    works(viewer, host, 2)


@pytest.mark.soketi
def test_the_state_of_the_link_is_shown_while_the_broker_is_away(mortal: Relay, own_soketi: SoketiServer) -> None:
    host = mortal.shell()
    viewer = mortal.attached(size=Size(24, 120))
    viewer.shows(PROMPT.strip())
    own_soketi.kill()
    viewer.shows(re.compile(rf"\[codewrap\] {mortal.name}: (unavailable|reconnecting in \d+ s|connecting), link lost \d+ s ago"))
    viewer.shows(re.compile(r"reconnecting in \d+ s"), 60)
    viewer.send("xyz")
    viewer.shows("3 typed bytes wait")
    viewer.shows("3 typed bytes dropped")
    viewer.send("\x1d")
    assert viewer.status() == 0
    viewer.is_as_it_was()
    host.send("echo goes-$((0 + 0))\r")
    host.shows("\ngoes-0\n")


@pytest.mark.soketi
def test_what_is_typed_while_the_broker_is_away_for_a_moment_arrives_once(mortal: Relay, own_soketi: SoketiServer) -> None:
    host = mortal.run("cat", options=["--quiet"])
    host.becomes_raw()
    viewer = mortal.attached()
    own_soketi.kill()
    viewer.send("typed meanwhile\r")
    own_soketi.start()
    host.shows("typed meanwhile\ntyped meanwhile", 60)
    viewer.send("\x04")
    assert (host.status(), viewer.status()) == (0, 0)
    assert host.text().count("typed meanwhile") == 2  # the echo and cat's


@pytest.mark.soketi
def test_a_piped_viewer_gets_every_byte_though_the_broker_is_killed_between(mortal: Relay, own_soketi: SoketiServer) -> None:
    host = mortal.run_piped("sh", "-c", "seq 1 1000; read line; seq 1001 3000; read line; seq 3001 4000", options=["--quiet"])
    viewer = mortal.attach_piped("--quiet", stdin=subprocess.DEVNULL)
    viewer.out.expect(b"\n1000\n")
    own_soketi.kill()
    host.send(b"\n")
    host.out.expect(b"\n3000\n")
    own_soketi.start()
    viewer.out.expect(b"\n3000\n", 60)
    host.send(b"\n")
    assert viewer.status() == 0
    assert viewer.out.everything() == b"".join(b"%d\n" % n for n in range(1, 4001))


@pytest.mark.soketi
def test_a_session_whose_broker_is_away_at_its_start_is_found_when_it_comes(mortal: Relay, own_soketi: SoketiServer) -> None:
    own_soketi.kill()
    host = mortal.shell()
    own_soketi.start()
    viewer = mortal.attach()
    viewer.shows(PROMPT.strip(), 60)
    works(viewer, host, 1)


@pytest.mark.parametrize("kind", ["gateway", "gateway-soketi"])
@pytest.mark.soketi
def test_a_gateway_that_is_killed_and_started_again_costs_a_viewer_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = {"AUTH_TOKEN": TOKEN}
    if kind == "gateway-soketi":
        settings |= soketi_settings(request.getfixturevalue("soketi"))
    with Served(tmp_path, settings=settings) as first, through(tmp_path, first, kind) as relay:
        host = relay.shell()
        viewer = relay.attached()
        works(viewer, host, 1)
        port = first.port
        first.process.kill()
        first.process.wait(10)
        host.send("echo while-away-$((1 + 1))\r")
        host.shows("\nwhile-away-2\n")
        with Served(tmp_path, "--port", str(port), settings=settings):
            viewer.shows("\nwhile-away-2\n", 60)
            works(viewer, host, 2)
            viewer.send("exit 4\r")
            assert (host.status(), viewer.status()) == (4, 4)


def test_an_uplink_that_is_killed_is_started_again_and_viewers_go_on(any_relay: Relay) -> None:
    host = any_relay.shell()
    viewer = any_relay.attached()
    works(viewer, host, 1)
    first = any_relay.host.uplink()
    first.kill()
    host.send("echo while-away-$((1 + 1))\r")
    viewer.shows("\nwhile-away-2\n", 60)
    works(viewer, host, 2)
    assert any_relay.host.uplink().pid != first.pid
    late = any_relay.attached()
    late.looks_like(host)
    viewer.send("exit 4\r")
    assert (host.status(), viewer.status(), late.status()) == (4, 4, 4)
    eventually(any_relay.host.is_over, "nothing but the log is left")
    [kept] = any_relay.host.kept()
    assert kept.state.status == 4
    written = (kept.directory / "output").read_bytes()
    assert len(written) == kept.state.output_bytes
    assert b"while-away-2" in written


def test_a_host_that_is_killed_ends_its_viewers_with_254_and_one_line(any_relay: Relay) -> None:
    host = any_relay.shell()
    viewer = any_relay.attached()
    viewer.shows(PROMPT.strip())
    piped = any_relay.attach_piped("--quiet", stdin=subprocess.DEVNULL)
    piped.out.expect(b"ready$")
    viewer.send("printf '\\033[?1049h\\033[?1003h\\033[?25l'\r")
    viewer.expect(b"\x1b[?1003h")
    host.kill()
    assert viewer.status(60) == 254
    assert piped.status(60) == 254
    viewer.expect(f"session {any_relay.name} is lost")
    viewer.is_as_it_was()
    assert not viewer.screen.modes.alternate
    assert viewer.screen.cursor.visible
    host.is_as_it_was()
    eventually(lambda: not any_relay.host.processes(), "nothing of the session runs")
    [kept] = any_relay.host.kept()
    assert kept.state.fate is Fate.LOST
    assert b"ready$" in (kept.directory / "output").read_bytes()


def test_the_terminal_of_a_host_that_is_killed_is_restored(hub: Relay) -> None:
    host = hub.run("sh", "-c", "printf '\\033[?1049h\\033[?1003h\\033[?2004h\\033[?25l'; echo begun; read x", options=["--quiet"])
    host.expect(b"begun")
    host.becomes_raw()
    host.kill()
    host.is_as_it_was()
    host.looks(lambda _: not host.screen.modes.alternate and host.screen.cursor.visible, "the main screen")
    host.expect(re.compile(rb"\x1b\[\?1003l.*\x1b\[\?2004l", re.DOTALL))


def test_the_terminal_of_a_viewer_that_is_killed_is_restored(relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached()
    viewer.send("printf '\\033[?1049h\\033[?1003h\\033[?2004h\\033[?25l'\r")
    viewer.expect(b"\x1b[?1003h")
    viewer.kill()
    viewer.is_as_it_was()
    viewer.looks(lambda _: not viewer.screen.modes.alternate and viewer.screen.cursor.visible, "the main screen")
    viewer.expect(re.compile(rb"\x1b\[\?1003l.*\x1b\[\?2004l", re.DOTALL))
    again = relay.attached()
    again.send("\rexit 0\r")
    assert host.status() == 0


def test_a_viewers_window_that_is_closed_ends_the_viewer_alone(relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached()
    viewer.hang_up()
    assert viewer.status() == 128 + signal.SIGHUP
    host.send("echo still-$((1 + 1))\r")
    host.shows("\nstill-2\n")


def test_viewers_are_told_when_the_hosts_disk_is_full_and_the_command_goes_on(relay: Relay) -> None:
    script = "echo begins; read a; yes | head -c 200000; echo; echo goes on; read b; exit 5"
    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", CODEWRAP, "run", "--quiet", "--name", relay.name, "--"]
    host = relay.host.terminal([*limited, "sh", "-c", script])
    host.shows("begins")
    viewer = relay.attached()
    host.send("\r")
    viewer.shows("what follows cannot be shown")
    host.shows("goes on")
    host.send("\r")
    assert host.status() == 5
    assert viewer.status() == 5
