"""Searching what real sessions wrote: while they run, when they are over, many at once, and with an index gone or broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codewrap.store.catalog import Catalog
from tests.support.ptydriver import eventually
from tests.support.sessions import BASH, Machine, session_name

pytestmark = pytest.mark.timeout(300)

AT_ONCE = 50


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path / "machine") as machine:
        yield machine


def ran(machine: Machine, name: str, script: str, *options: str) -> None:
    """A session from its beginning to its end; what was started for it is gone, too."""
    host = machine.run("--name", name, "--quiet", *options, "--", "sh", "-c", f"read line; {script}")
    machine.uplink()  # of a command that is over before it begins the next search reads the log
    host.send("\r")
    assert host.status() == 0
    over(machine)


def over(machine: Machine) -> None:
    eventually(machine.is_over, "everything of the session is over")


def found(machine: Machine, *words: str) -> dict[str, list[str]]:
    """Lines by session."""
    status, out, _ = machine.finished("search", "--json", "--lines", "0", *words)
    sessions: list[dict[str, Any]] = json.loads(out)
    assert status == (0 if sessions else 1)
    return {session["session"]: [line["line"] for line in session["lines"]] for session in sessions}


def known(machine: Machine) -> set[str]:
    """The epochs that the index has, as it is on the disk."""
    with Catalog(machine.root / "state" / "sessions").reading() as shelf:
        return set() if shelf is None else set(shelf.known())


def epochs(machine: Machine) -> set[str]:
    return {kept.epoch for kept in machine.kept()}


def test_what_a_session_showed_is_found_and_it_is_in_the_index_at_its_end(machine: Machine) -> None:
    name = session_name()
    ran(machine, name, r"printf '\033[31mconnection\033[0m refused\n 10%%\r100%%\n'; printf 'error\n' >&2")
    assert known(machine) == epochs(machine)
    index = machine.root / "state" / "search"
    assert stat.S_IMODE(index.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in index.iterdir()} == {0o600}
    assert found(machine, "connection refused") == {name: ["connection refused"]}
    assert found(machine, "-e", "^1.*%$") == {name: ["100%"]}
    assert found(machine, "-i", "ERROR") == {name: ["error"]}
    assert found(machine, "10% 100") == {}


def test_a_session_is_found_while_it_runs(machine: Machine) -> None:
    name = session_name()
    host = machine.run("--name", name, "--quiet", "--", *BASH)
    host.send("echo what-is-$((20+3))-seen\r")
    host.shows("what-is-23-seen")
    eventually(lambda: found(machine, "what-is-23") == {name: ["what-is-23-seen"]}, "it is found")
    assert known(machine) == set()
    host.send("exit\r")
    assert host.status() == 0
    over(machine)
    assert found(machine, "what-is-23") == {name: ["what-is-23-seen"]}


def test_on_a_terminal_the_match_stands_out_and_the_output_does_nothing(machine: Machine) -> None:
    name = session_name()
    ran(machine, name, r"printf '\033]0;pwned\007the \033[2Jneedle \033[31mhere\n'")
    terminal = machine.terminal(["codewrap", "search", "needle"])
    line = rb"\x1b\[2m%s \d\d:\d\d:\d\d \+\d+s: \x1b\[0m\x1b\[1;31mneedle\x1b\[0m here" % name.encode()
    terminal.expect(re.compile(line))
    assert terminal.status() == 0
    assert b"pwned" not in terminal.output.data
    assert b"\x1b[2J" not in terminal.output.data


def test_nothing_of_a_session_that_is_not_recorded_is_found_or_kept(machine: Machine) -> None:
    name, held = session_name(), session_name()
    ran(machine, name, "echo hush-hush", "--no-record")
    host = machine.run("--name", held, "--quiet", "--no-record", "--", *BASH)
    host.send("echo hush-$((1+1))\r")
    host.shows("hush-2")
    assert found(machine, "hush") == {}
    host.send("exit\r")
    assert host.status() == 0
    over(machine)
    assert found(machine, "hush") == {}
    for path in (machine.root / "state").rglob("*"):
        assert not path.is_file() or b"hush" not in path.read_bytes(), path


def test_a_host_that_was_killed_is_searched_as_far_as_it_got(machine: Machine) -> None:
    name = session_name()
    host = machine.run("--name", name, "--quiet", "--", *BASH)
    host.send("echo before-$((40+2))-the-end\r")
    host.shows("before-42-the-end")
    os.kill(machine.session(name)["pid"], signal.SIGKILL)
    host.status()
    eventually(lambda: not machine.processes(), "nobody is left")
    (session,) = json.loads(machine.finished("search", "--json", "before-42")[1])
    assert (session["session"], session["state"]) == (name, "lost")
    assert known(machine) == epochs(machine)


def test_fifty_sessions_that_end_together_are_all_in_the_index(machine: Machine) -> None:
    names = [session_name() for _ in range(AT_ONCE)]
    go = machine.home / "go"
    os.mkfifo(go)
    waiting = f"echo ready; read line < {go}; echo this was $CODEWRAP_SESSION"
    hosts = [machine.run_piped("--name", name, "--quiet", "--", "sh", "-c", waiting) for name in names]
    for host in hosts:
        host.out.expect(b"ready")
    eventually(lambda: len(machine.uplinks()) == AT_ONCE, "every session has its second process")
    go_fd = os.open(go, os.O_RDWR)
    os.write(go_fd, b"go\n" * AT_ONCE * 200)
    assert [host.status() for host in hosts] == [0] * AT_ONCE
    over(machine)
    os.close(go_fd)
    for host in hosts:
        assert b"locked" not in host.err.everything()
    assert [log for log in (machine.root / "state" / "sessions").glob("*/uplink.log") if log.stat().st_size] == []
    assert known(machine) == epochs(machine)
    assert len(epochs(machine)) == AT_ONCE
    assert found(machine, "this was", "--limit", "0") == {name: [f"this was {name}"] for name in names}


def test_an_index_that_is_gone_or_broken_costs_nothing(machine: Machine) -> None:
    first, second = session_name(), session_name()
    ran(machine, first, "echo the needle")
    both = {first: ["the needle"], second: ["the needle"]}
    index = machine.root / "state" / "search"
    (index / "index").write_bytes(os.urandom(30_000))
    ran(machine, second, "echo the needle")
    assert found(machine, "needle") == both
    assert known(machine) == epochs(machine)
    shutil.rmtree(index)
    assert found(machine, "needle") == both
    assert known(machine) == epochs(machine)
    os.truncate(index / "index", 5000)
    assert found(machine, "needle") == both
    shutil.rmtree(index)
    index.write_text("something else")
    third = session_name()
    ran(machine, third, "echo the needle")
    assert found(machine, "needle") == both | {third: ["the needle"]}
    assert index.read_text() == "something else"


def test_what_is_pruned_or_renamed_is_followed(machine: Machine) -> None:
    name, other = session_name(), session_name()
    ran(machine, name, "echo the needle")
    assert machine.finished("rename", name, other)[0] == 0
    assert found(machine, "needle") == {other: ["the needle"]}
    assert machine.finished("prune", "--all")[0] == 0
    assert (found(machine, "needle"), known(machine)) == ({}, set())


def test_what_is_kept_too_long_leaves_the_index_by_itself(machine: Machine) -> None:
    old, new = session_name(), session_name()
    ran(machine, old, "echo the needle")
    (kept,) = machine.kept()
    facts = json.loads((kept.directory / "session.json").read_text())
    facts["started_at"] -= 40 * 86_400
    facts["ended"]["at"] -= 40 * 86_400
    (kept.directory / "session.json").write_text(json.dumps(facts))
    (machine.root / "state" / "sessions" / ".cleaned").unlink()
    ran(machine, new, "echo the needle")
    assert known(machine) == epochs(machine)
    assert found(machine, "needle") == {new: ["the needle"]}
