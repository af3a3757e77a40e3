"""Output at the other end: every byte where bytes are wanted, the right last screen where there is too much to look at."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.ptydriver import Terminal, eventually
from tests.support.sessions import Relay

pytestmark = pytest.mark.timeout(180)

EVERY_BYTE = bytes(range(256)) * 400
WRITER = """
    import sys
    print("go", flush=True)
    sys.stdin.readline()
    sys.stdout.buffer.write(bytes(range(256)) * 400)
"""
RAW_WRITER = """
    import sys, tty
    tty.setraw(0)
    print("go", end="", flush=True)
    sys.stdin.buffer.raw.read(1)
    sys.stdout.buffer.write(bytes(range(256)) * 400)
"""
# About 20 MiB of lines, none like another; the last screen is known.
BURST_LINES = 330_000
BURST = f"""
    import sys
    print("standing", flush=True)
    sys.stdin.readline()
    for start in range(0, {BURST_LINES}, 1000):
        sys.stdout.write("".join(
            f"line {{n:07d}} of a log that nobody can read as fast as it comes \\n" for n in range(start, start + 1000)
        ))
"""
LAST_LINE = f"line {BURST_LINES - 1:07d} of a log that nobody can read as fast as it comes"


def burst(newline: bytes) -> bytes:
    """All that BURST writes, as a terminal or a pipe gives it."""
    head = b"standing" + newline
    return head + b"".join(
        b"line %07d of a log that nobody can read as fast as it comes " % n + newline for n in range(BURST_LINES)
    )


def test_every_byte_arrives_at_a_piped_viewer_of_a_session_on_pipes(any_relay: Relay) -> None:
    host = any_relay.run_piped(*any_relay.host.script(WRITER))
    viewer = any_relay.attach_piped()
    viewer.out.expect(b"go\n")
    host.send(b"\n")
    assert viewer.status() == 0
    assert viewer.out.everything() == b"go\n" + EVERY_BYTE
    assert host.out.everything() == b"go\n" + EVERY_BYTE


def test_every_byte_of_a_raw_terminal_arrives_in_a_file(relay: Relay) -> None:
    host = relay.run_piped(*relay.host.script(RAW_WRITER), options=["--pty"])
    host.out.expect(b"go")
    kept = relay.viewer.home / "kept"
    with kept.open("wb") as file:
        viewer = relay.attach_piped(stdout=file)
        eventually(lambda: kept.read_bytes() == b"go", "it has begun")
        host.send(b"\n")
        assert viewer.status() == 0
    assert host.status() == 0
    assert kept.read_bytes() == b"go" + EVERY_BYTE
    assert host.out.everything() == b"go" + EVERY_BYTE


def test_a_piped_viewer_that_comes_late_gets_everything_from_the_beginning(relay: Relay) -> None:
    host = relay.run_piped("sh", "-c", "seq 1 2000; read line; echo end")
    host.out.expect(b"\n2000\n")
    viewer = relay.attach_piped()
    viewer.out.expect(b"\n2000\n")
    host.send(b"\n")
    assert viewer.status() == 0
    assert viewer.out.everything() == b"".join(b"%d\n" % n for n in range(1, 2001)) + b"end\n"


def test_stdout_and_stderr_stay_apart_at_the_other_end(any_relay: Relay) -> None:
    script = "read line; for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 4"
    host = any_relay.run_piped("sh", "-c", script, options=["--quiet"])
    viewer = any_relay.attach_piped("--quiet", stdin=subprocess.PIPE)
    viewer.send(b"go\n")
    assert (host.status(), viewer.status()) == (4, 4)
    expected = b"out 1\nout 2\nout 3\n", b"err 1\nerr 2\nerr 3\n"
    assert (host.out.everything(), host.err.everything()) == expected
    assert (viewer.out.everything(), viewer.err.everything()) == expected


def test_stderr_of_a_run_on_a_terminal_can_be_sent_to_a_file(relay: Relay) -> None:
    kept = relay.host.home / "errors"
    with kept.open("wb") as file:
        host = relay.run("sh", "-c", "echo to the terminal; echo to the file >&2", options=["--quiet"], stderr=file)
        assert host.status() == 0
    host.shows("to the terminal")
    assert kept.read_bytes() == b"to the file\n"
    assert "to the file" not in host.text()


def test_20_mib_arrive_whole_in_the_file_of_a_viewer(relay: Relay) -> None:
    host = relay.run_piped(*relay.host.script(BURST), stdout=subprocess.DEVNULL, options=["--quiet"])
    kept = relay.viewer.home / "kept"
    with kept.open("wb") as file:
        viewer = relay.attach_piped("--quiet", stdin=subprocess.DEVNULL, stdout=file)
        eventually(lambda: kept.read_bytes() == b"standing\n", "it has begun")
        host.send(b"\n")
        assert host.status(90) == 0
        assert viewer.status(90) == 0
    assert viewer.err.everything() == b""
    data = kept.read_bytes()
    assert len(data) == len(burst(b"\n"))
    assert data == burst(b"\n")


def test_a_burst_of_20_mib_ends_on_the_right_screen_everywhere(any_relay: Relay) -> None:
    host = any_relay.run(*any_relay.host.script(BURST + '    input("done")\n'), options=["--quiet"])
    host.shows("standing")
    viewer = any_relay.attached()
    viewer.shows("standing")
    viewer.send("\r")

    def at_the_end(terminal: Terminal) -> None:
        terminal.looks(lambda rows: rows[22:] == [LAST_LINE, "done"], "the last screen", 90)

    at_the_end(host)
    at_the_end(viewer)
    viewer.looks_like(host)
    late = any_relay.attached()
    late.looks_like(host)
    viewer.send("\r")
    assert (host.status(), viewer.status(), late.status()) == (0, 0, 0)


def test_a_burst_that_ends_the_session_ends_a_viewer_on_the_right_screen(relay: Relay) -> None:
    host = relay.run(*relay.host.script(BURST), options=["--quiet"])
    host.shows("standing")
    viewer = relay.attached()
    viewer.send("\r")
    assert host.status(90) == 0
    assert viewer.status() == 0
    viewer.shows(LAST_LINE)
    viewer.expect(b"ended: exit 0")


def test_a_viewer_that_does_not_read_holds_nobody_up(relay: Relay) -> None:
    host = relay.run(*relay.host.script(BURST), options=["--quiet"])
    host.shows("standing")
    stuck = relay.attached()
    stuck.output.close()  # from here on its window takes nothing
    viewer = relay.attached()
    viewer.send("\r")
    assert host.status(90) == 0
    assert viewer.status() == 0
    viewer.shows(LAST_LINE)
