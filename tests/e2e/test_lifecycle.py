"""Sessions as things that last: they run, have ended or were lost, and are looked after with `ls`, `show`, `wait`, `kill`,
`rename` and `prune`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from codewrap.store.sessionfile import HEARTBEAT
from tests.support import kept
from tests.support.ptydriver import eventually
from tests.support.sessions import CODEWRAP, Machine, Relay, program, session_name

pytestmark = pytest.mark.timeout(180)

MINDFUL = "trap 'echo interrupted; exit 5' INT; echo begun; while :; do sleep 0.1; done"


def said(machine: Machine, *arguments: str, **how: Any) -> Any:
    """The JSON of a command that succeeds."""
    status, out, err = machine.finished(*arguments, "--json", **how)
    assert (status, err) == (0, b""), err
    return json.loads(out)


def state_of(machine: Machine, name: str) -> str:
    return str(said(machine, "show", name)["state"])


def test_an_ended_session_is_listed_shown_and_waited_for_with_how_it_ended(machine: Machine) -> None:
    name = session_name()
    host = machine.run_piped("--name", name, "--quiet", "--", "sh", "-c", "echo out; exit 3")
    assert host.status() == 3
    assert said(machine, "ls") == []
    [listed] = said(machine, "ls", "--all")
    assert (listed["name"], listed["state"], listed["status"], listed["output_bytes"]) == (name, "ended", 3, 4)
    assert (listed["command"], listed["directory"]) == (["sh", "-c", "echo out; exit 3"], str(machine.home))
    assert (Path(listed["log_directory"]) / "output").read_bytes() == b"out\n"
    shown = said(machine, "show", name)
    assert {each: shown[each] for each in listed} == listed
    assert machine.finished("wait", name)[0] == 3
    assert name.encode() in machine.finished("ls", "--all")[1]


def test_a_session_that_is_killed_by_name_ends_and_so_does_whoever_waits(relay: Relay) -> None:
    host = relay.run("sh", "-c", MINDFUL, options=["--quiet"])
    host.shows("begun")
    waiting = relay.host.piped([CODEWRAP, "wait", relay.name], stdin=subprocess.DEVNULL)
    assert state_of(relay.host, relay.name) == "running"
    assert relay.host.finished("kill", relay.name, "--signal", "INT")[0] == 0
    host.shows("interrupted")
    assert (host.status(), waiting.status()) == (5, 5)
    assert state_of(relay.host, relay.name) == "ended"
    status, _, err = relay.host.finished("kill", relay.name)
    assert (status, b"does not run any more (exit 5)" in err) == (255, True)


def test_a_session_elsewhere_is_listed_shown_and_killed_through_the_server(gateway_relay: Relay) -> None:
    host = gateway_relay.run("sh", "-c", MINDFUL, options=["--quiet"])
    host.shows("begun")
    viewer, name = gateway_relay.viewer, gateway_relay.name

    def there() -> list[dict[str, Any]]:
        return [session for session in said(viewer, "ls") if session["name"] == name]

    eventually(there, "the server knows of it")
    assert there()[0]["server"] == viewer.settings["CODEWRAP_URL"]
    assert said(viewer, "show", name)["server"] == viewer.settings["CODEWRAP_URL"]
    [here] = [session for session in said(gateway_relay.host, "ls") if session["name"] == name]
    assert (here["server"], here["pid"]) == (None, host.pid)
    gateway_relay.attached()  # what a server says is heard by who is connected
    assert viewer.finished("kill", name, "--signal", "INT")[0] == 0
    assert host.status() == 5
    eventually(lambda: not there(), "the server knows that it is over")


def test_a_host_that_vanishes_is_lost_and_was_seen_last_when_it_still_lived(relay: Relay) -> None:
    host = relay.shell()
    uplink = relay.host.uplink()
    waiting = relay.host.piped([CODEWRAP, "wait", relay.name], stdin=subprocess.DEVNULL)
    [session] = relay.host.kept()
    heartbeat = session.directory / HEARTBEAT
    eventually(heartbeat.exists, "a sign of life")
    os.utime(heartbeat, (1000, 1000))
    eventually(lambda: heartbeat.stat().st_mtime > 1000, "another, though nothing happens and nobody watches")
    before = time.time()
    host.kill()
    assert waiting.status() == 254
    eventually(lambda: not uplink.is_running(), "the uplink has left")
    [listed] = said(relay.host, "ls", "--all")
    assert (listed["state"], listed["status"]) == ("lost", None)
    assert before - 30 < listed["last_seen"] < before + 30
    again = relay.run_piped("echo", "again", options=["--quiet"])
    assert (again.status(), again.out.everything()) == (0, b"again\n")
    assert [each["state"] for each in said(relay.host, "ls", "--all")] == ["ended", "lost"]
    assert state_of(relay.host, f"{relay.name}@{session.epoch[:6]}") == "lost"


def test_what_a_power_loss_tears_costs_nothing_else(machine: Machine) -> None:
    for name in ("whole", "torn"):
        assert machine.finished("run", "--quiet", "--name", name, "--", "echo", name)[0] == 0
    [torn] = [session for session in machine.kept() if session.name == "torn"]
    eventually(machine.is_over, "both are over")
    for path in torn.directory.iterdir():
        path.write_bytes(b"\0" * path.stat().st_size)
        os.utime(path, (kept.BEGAN_AT, kept.BEGAN_AT))
    os.utime(torn.directory, (kept.BEGAN_AT, kept.BEGAN_AT))
    listed = {each["name"]: each["state"] for each in said(machine, "ls", "--all")}
    assert listed == {"whole": "ended", "torn": "lost"}
    assert machine.finished("wait", "torn")[0] == 254
    assert machine.finished("rename", "torn", "repaired")[0] == 0
    assert said(machine, "show", "repaired")["command"] == []
    assert machine.finished("prune", "--older-than", "1d")[0] == 0
    assert [session.name for session in machine.kept()] == ["whole"]


@pytest.mark.parametrize("command", [["true"], ["sh", "-c", "read line"]], ids=["short", "long"])
def test_what_is_kept_too_long_goes_by_itself_at_the_end_of_a_session(machine: Machine, command: list[str]) -> None:
    place = machine.root / "state" / "sessions"
    place.mkdir(mode=0o700)
    kept.ended(place, "old", at=time.time() - 31 * 86_400)
    kept.ended(place, "new", at=time.time() - 29 * 86_400)
    host = machine.run_piped("--quiet", "--name", "now", "--", *command)
    if command != ["true"]:
        machine.uplink()
    host.end_input()
    host.status()
    eventually(lambda: {session.name for session in machine.kept()} == {"new", "now"}, "the old one is gone")
    status, out, _ = machine.finished("prune", "--all", "--dry-run")
    assert (status, len(out.splitlines())) == (0, 2)
    assert machine.finished("prune", "--all")[0] == 0
    assert machine.kept() == []


@pytest.mark.parametrize("settings", [{"CODEWRAP_NO_RECORD": "1"}, {"CODEWRAP_RETENTION": "0"}], ids=str)
def test_a_session_that_is_not_to_be_kept_leaves_nothing_and_takes_nothing_with_it(
    machine: Machine, settings: dict[str, str]
) -> None:
    assert machine.finished("run", "--quiet", "--name", "before", "--", "true")[0] == 0
    host = machine.run_piped("--quiet", "--name", "secret", "--", "cat", environ=settings)
    machine.uplink()
    host.send(b"hush\n")
    host.out.expect(b"hush\n")
    host.end_input()
    assert host.status() == 0
    eventually(lambda: [session.name for session in machine.kept()] == ["before"], "nothing of it is left")


def test_a_session_whose_host_is_killed_does_not_stay_where_it_was_not_to_be_kept(machine: Machine) -> None:
    host = machine.run_piped("--quiet", "--no-record", "--", "cat")
    machine.uplink()
    host.send(b"hush\n")
    host.out.expect(b"hush\n")
    host.signal(signal.SIGKILL)
    eventually(lambda: machine.logs() == [], "its log is gone")


# -- names, completed by shells ---------------------------------------------------------------------------------------


@pytest.mark.debian
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_names_of_sessions_that_run_and_of_those_that_are_over(machine: Machine, shell: str) -> None:
    path = program(shell)
    installing = machine.piped([path, "-c", "codewrap --install-completion; true"], stdin=subprocess.DEVNULL)
    assert installing.status() == 0, installing.err.everything()
    assert machine.finished("run", "--quiet", "--name", "finished-build", "--", "true")[0] == 0
    machine.run_piped("--quiet", "--name", "running-build", "--", "cat")
    machine.session("running-build")
    person = machine.terminal([path, "-i"])
    person.send("echo ready-$((1 + 1))\r" if shell != "fish" else "echo ready-(math 1 + 1)\r")
    person.shows("ready-2")
    if shell == "zsh":  # its first Tab behind a command loads what completes it, and no more
        person.send("codewrap \t")
        person.expect(b"\x07")
        person.send("\x15")
    person.send("codewrap show fini\t")
    person.shows("codewrap show finished-build")
    person.send("\x15codewrap wait runn\t")
    person.shows("codewrap wait running-build")
