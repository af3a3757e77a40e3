"""Real programs on real terminals, driven from the other end, stopped and taken up again."""

from __future__ import annotations

import re
import signal

import psutil
import pytest

from codewrap.protocol.geometry import Size
from tests.support.ptydriver import Terminal, eventually
from tests.support.sessions import PROMPT, Machine, Relay, program

pytestmark = pytest.mark.timeout(120)


def host_process(relay: Relay, name: str) -> psutil.Process:
    """A process of the session by its name."""
    [found] = [process for process in relay.host.processes() if process.name() == name]
    return found


def shell_with(machine: Machine) -> Terminal:
    """The person's own interactive shell, not yet wrapped."""
    shell = machine.terminal(["bash", "--norc", "--noprofile", "-i"])
    shell.shows(PROMPT.strip())
    return shell


@pytest.mark.debian
def test_vim_is_driven_from_the_other_end(any_relay: Relay) -> None:
    vim = program("vim")
    file = any_relay.host.home / "notes"
    file.write_text("".join(f"line {number}\n" for number in range(200)))
    host = any_relay.run(vim, "-u", "NONE", "-N", str(file), options=["--quiet"])
    host.shows("line 10")
    viewer = any_relay.attached()
    viewer.shows("line 10")
    viewer.looks_like(host)
    viewer.send("100Gzto")
    viewer.send("typed far away é\x1b")
    host.shows("typed far away é")
    viewer.looks_like(host)
    viewer.send(":wq\r")
    assert (viewer.status(), host.status()) == (0, 0)
    assert "line 99\ntyped far away é\nline 100\n" in file.read_text()
    host.is_as_it_was()
    viewer.is_as_it_was()
    assert not host.screen.modes.alternate
    assert not viewer.screen.modes.alternate


@pytest.mark.debian
def test_less_is_driven_from_the_other_end(relay: Relay) -> None:
    less = program("less")
    file = relay.host.home / "numbers"
    file.write_text("".join(f"number {number}\n" for number in range(1000)))
    host = relay.run(less, str(file), options=["--quiet"])
    host.shows("number 5")
    viewer = relay.attached()
    viewer.shows("number 5")
    viewer.send("/number 777\r")
    viewer.looks(lambda rows: rows[0] == "number 777", "the place that was looked for")
    viewer.looks_like(host)
    viewer.send("G")
    viewer.looks(lambda rows: "number 999" in rows[-2], "the end")
    viewer.looks_like(host)
    drawn_bytes = len(host.output.data)
    host.resize(Size(24, 60))
    # less drops what is typed while it takes up a new size, also without codewrap.
    eventually(lambda: len(host.output.data) > drawn_bytes + 200, "less draws itself anew")
    viewer.send("q")
    assert (viewer.status(), host.status()) == (0, 0)


@pytest.mark.debian
def test_htop_is_shown_and_left_from_the_other_end(relay: Relay) -> None:
    host = relay.run(program("htop"), options=["--quiet"])
    host.shows("F10")
    viewer = relay.attached()
    viewer.shows("F10")
    viewer.send("\x1bOP")  # F1
    viewer.shows(re.compile("F1|htop \\d"))
    viewer.send("q")
    viewer.shows("F10")
    viewer.send("q")
    assert (viewer.status(), host.status()) == (0, 0)
    viewer.is_as_it_was()


def test_job_control_works_inside_the_session(relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached()
    # What is typed before the job is in the foreground is the shell's.
    viewer.send("sh -c 'echo as''leep; exec sleep 100'\r")
    viewer.expect("asleep")
    viewer.send("\x1a")
    viewer.shows(re.compile(r"\[1\]\+\s+Stopped"))
    viewer.send("fg\r")
    viewer.expect(re.compile(rb"fg\r\n.*sleep 100'\r\n", re.DOTALL))
    # The job's name is written before it goes on.
    sleeping = host_process(relay, "sleep")
    eventually(lambda: sleeping.status() == psutil.STATUS_SLEEPING, "it goes on")
    viewer.send("\x03")
    viewer.shows("^C\n" + PROMPT.strip())
    viewer.send("echo status-$?\r")
    viewer.shows("\nstatus-130\n")
    viewer.looks_like(host)


def test_ctrl_z_suspends_the_whole_session_to_the_shell_and_fg_takes_it_up(relay: Relay) -> None:
    echo = relay.host.script("""
        import sys
        print("on stage", flush=True)
        for line in sys.stdin:
            print("heard", line.upper(), end="", flush=True)
    """)
    shell = shell_with(relay.host)
    shell.send(f"codewrap run --quiet --name {relay.name} {' '.join(echo)}\r")
    shell.expect("on stage\r\n")
    shell.becomes_raw()
    viewer = relay.attached()
    shell.send("one\r")
    shell.expect("heard ONE")
    shell.send("\x1a")
    shell.shows("Stopped")
    shell.send("echo outside-$((1 + 2))\r")
    shell.shows("\noutside-3\n")
    shell.send("fg\r")
    shell.becomes_raw()
    shell.send("two\r")
    shell.expect("heard TWO")
    viewer.expect("heard TWO")
    viewer.send("three\r")
    shell.expect("heard THREE")
    shell.send("\x04")
    shell.expect(PROMPT)
    assert viewer.status() == 0
    shell.send("echo status-$?\r")
    shell.shows("\nstatus-0\n")
    shell.send("exit\r")
    assert shell.status() == 0
    shell.is_as_it_was()


@pytest.mark.debian
def test_vim_under_run_is_suspended_and_resumed_by_the_hosts_own_shell(relay: Relay) -> None:
    vim = program("vim")
    file = relay.host.home / "notes"
    file.write_text("standing here\n")
    shell = shell_with(relay.host)
    shell.send(f"codewrap run --quiet --name {relay.name} {vim} -u NONE -N notes\r")
    shell.looks(lambda rows: rows[0] == "standing here", "vim")
    viewer = relay.attached()
    viewer.looks(lambda rows: rows[0] == "standing here", "vim")
    shell.send("\x1a")
    shell.shows("Stopped")
    assert not shell.screen.modes.alternate
    shell.send("fg\r")
    shell.looks(lambda rows: rows[0] == "standing here", "vim again")
    shell.becomes_raw()
    shell.send("Anow\x1b")
    viewer.looks(lambda rows: rows[0] == "standing herenow", "what was typed after")
    viewer.looks_like(shell)
    shell.send(":wq\r")
    shell.shows(PROMPT.strip())
    assert viewer.status() == 0
    assert file.read_text() == "standing herenow\n"


def test_the_command_is_stopped_and_the_shell_can_send_the_session_to_the_background(hub: Relay) -> None:
    shell = shell_with(hub.host)
    gate = hub.host.home / "gate"
    shell.send(f"mkfifo gate; codewrap run --quiet --name {hub.name} sh -c 'echo begun; read x < gate; exit 5'\r")
    shell.expect("begun\r\n")
    shell.becomes_raw()
    shell.send("\x1a")
    shell.shows("Stopped")
    shell.send("bg\r")
    shell.expect(PROMPT)
    hub.host.session(hub.name)
    gate.write_text("go\n")
    shell.send("wait %1; echo status-$?\r")
    shell.shows("\nstatus-5\n")


def test_ctrl_c_on_the_hosts_terminal_interrupts_the_command_alone(relay: Relay) -> None:
    host = relay.run("sh", "-c", "trap 'echo caught; exit 4' INT; echo armed; while :; do read x; done", options=["--quiet"])
    host.shows("armed")
    viewer = relay.attached()
    host.send("\x03")
    viewer.shows("caught")
    assert (host.status(), viewer.status()) == (4, 4)


def test_a_command_that_ignores_hangup_survives_its_window_and_can_be_attached_to(relay: Relay) -> None:
    script = "trap '' HUP; echo begun; while read line; do echo heard $line; done; exit 6"
    host = relay.run("sh", "-c", script, options=["--quiet"])
    host.shows("begun")
    host.becomes_raw()
    host.hang_up()
    viewer = relay.attached()
    viewer.shows("begun")
    viewer.send("me\r")
    viewer.shows("heard me")
    viewer.send("\x04")
    assert viewer.status() == 6
    assert host.status() == 6
    eventually(relay.host.is_over, "nothing but the log is left")


def test_a_command_that_minds_hangup_ends_with_its_window(relay: Relay) -> None:
    host = relay.run("sleep", "1000", options=["--quiet"])
    host.becomes_raw()
    viewer = relay.attached()
    host.hang_up()
    assert host.status() == 128 + signal.SIGHUP
    assert viewer.status() == 128 + signal.SIGHUP
    eventually(relay.host.is_over, "nothing but the log is left")
