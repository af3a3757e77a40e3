"""What a person at the other end has: the session's screen, the keyboard, a way out, the session's exit status."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess

import pytest

from codewrap.protocol.geometry import Size
from tests.support.ptydriver import eventually
from tests.support.sessions import PROMPT, Relay

pytestmark = pytest.mark.timeout(120)

PYTHON = ("python3", "-q", "-I")


def test_attach_shows_what_stands_on_the_hosts_screen_and_types_into_it(any_relay: Relay) -> None:
    host = any_relay.shell()
    host.send("echo before-$((6 * 7))\r")
    host.shows("\nbefore-42\n")
    viewer = any_relay.attach()
    viewer.shows("\nbefore-42\n")
    viewer.send("echo typed-$((6 * 8))\r")
    viewer.shows("\ntyped-48\n")
    host.shows("\ntyped-48\n")
    viewer.looks_like(host)
    viewer.send("exit 3\r")
    assert host.status() == 3
    assert viewer.status() == 3
    viewer.is_as_it_was()
    host.is_as_it_was()


def test_a_python_prompt_is_driven_from_the_other_end(relay: Relay) -> None:
    host = relay.run(*PYTHON, options=["--quiet"])
    host.shows(">>>")
    viewer = relay.attached()
    viewer.send("for i in range(3): print(i * 'ab')\r\r")
    viewer.shows("\nabab\n")
    viewer.send("input('name? ')\r")
    viewer.shows("name? ")
    viewer.send("Ada\x7fa\r")
    host.shows("'Ada'")
    viewer.looks_like(host)
    viewer.send("\x04")
    assert (host.status(), viewer.status()) == (0, 0)


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [("read line", 0, b"exit 0"), ("read line; exit 3", 3, b"exit 3"), ("read line; kill -TERM $$", 143, b"signal 15")],
    ids=["zero", "three", "signal"],
)
def test_both_ends_leave_with_the_commands_status(relay: Relay, script: str, status: int, words: bytes) -> None:
    host = relay.run("sh", "-c", f"echo standing; {script}")
    host.shows("standing")
    viewer = relay.attached()
    viewer.send("\r")
    assert viewer.status() == status
    assert host.status() == status
    viewer.expect(words)
    host.expect(words)
    viewer.is_as_it_was()


@pytest.mark.parametrize(
    ("options", "keys"),
    [((), "\r~."), ((), "\x1d"), (("--detach-keys", "ctrl-p,ctrl-q"), "\x10\x11"), (("--detach-keys", "none"), "\r~.")],
    ids=["tilde-dot", "ctrl-bracket", "detach-keys", "none-but-tilde"],
)
def test_detaching_leaves_the_session_running_and_the_terminal_as_it_was(
    relay: Relay, options: tuple[str, ...], keys: str
) -> None:
    host = relay.shell()
    viewer = relay.attached(*options)
    viewer.shows(PROMPT.strip())
    viewer.send(keys)
    assert viewer.status() == 0
    viewer.expect(b"it goes on")
    viewer.is_as_it_was()
    host.send("echo still-$((1 + 1))\r")
    host.shows("\nstill-2\n")


def test_two_tildes_type_one(hub: Relay) -> None:
    host = hub.run("cat", options=["--quiet"])
    host.becomes_raw()
    viewer = hub.attached()
    viewer.send("~~home\r")
    viewer.shows("~home\n~home")


def test_a_key_that_was_replaced_is_typed(hub: Relay) -> None:
    host = hub.run("cat", "-v", options=["--quiet"])
    host.becomes_raw()
    viewer = hub.attached("--detach-keys", "ctrl-p")
    viewer.send("\x1d\r")
    host.shows("\n^]")
    viewer.send("\x10")
    assert viewer.status() == 0


def test_a_reading_viewer_types_nothing(relay: Relay) -> None:
    host = relay.shell()
    reader = relay.attached("--read-only")
    reader.shows(PROMPT.strip())
    reader.send("echo from-the-reader\r")
    writer = relay.attached()
    writer.send("echo from-the-writer\r")
    reader.shows("\nfrom-the-writer\n")
    host.send("echo last-$((2 * 4))\r")
    reader.shows("\nlast-8\n")
    assert "from-the-reader" not in host.text()
    reader.send("q")
    assert reader.status() == 0


def test_a_read_only_session_takes_keys_from_its_own_terminal_only(relay: Relay) -> None:
    host = relay.shell(["--read-only"])
    viewer = relay.attached()
    viewer.send("echo from-the-viewer\r")
    host.send("echo from-the-host\r")
    viewer.shows("\nfrom-the-host\n")
    host.send("echo last-$((2 * 4))\r")
    viewer.shows("\nlast-8\n")
    assert "from-the-viewer" not in host.text()


def test_two_writers_type_into_one_session_and_both_are_counted(relay: Relay) -> None:
    host = relay.shell()
    first, second = relay.attached(), relay.attached()
    first.send("echo one-$((0 + 1))\r")
    second.shows("\none-1\n")
    second.send("echo two-$((1 + 1))\r")
    first.shows("\ntwo-2\n")
    first.looks_like(host)
    second.looks_like(host)
    first.send("\x1d")
    assert first.status() == 0
    second.send("exit\r")
    assert second.status() == 0
    assert host.status() == 0


def test_the_summary_says_how_many_watched_at_most(relay: Relay) -> None:
    host = relay.run("sh", "-c", "echo standing; read line")
    host.shows("standing")
    first, second = relay.attached(), relay.attached()
    first.send("\r")
    assert (first.status(), second.status(), host.status()) == (0, 0, 0)
    host.expect(b"2 watching at most")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_attach_and_restores_its_terminal(hub: Relay, number: signal.Signals) -> None:
    host = hub.shell()
    viewer = hub.attached()
    host.send("printf '\\033[?1049h\\033[?1000h\\033[?2004h'\r")
    viewer.expect(b"\x1b[?1000h")
    viewer.signal(number)
    assert viewer.status() == 128 + number
    viewer.is_as_it_was()
    viewer.expect(re.compile(rb"\x1b\[\?[0-9;]*1000[0-9;]*l"))
    assert not viewer.screen.modes.alternate
    host.send("\rexit 0\r")
    assert host.status() == 0


def test_a_paste_of_100_kilobytes_arrives_whole(any_relay: Relay) -> None:
    pasted = "".join(f"line {number} ~. \x1d of the paste é\r" for number in range(5000)).encode()[:102_388]
    whole = b"\x1b[200~" + pasted + b"\x1b[201~"
    reader = any_relay.host.script("""
        import hashlib, sys, tty
        tty.setraw(0)
        print("go", end="", flush=True)
        data = b""
        while len(data) < 102400:
            data += sys.stdin.buffer.raw.read(65536)
        print("\\r\\nsum", hashlib.sha256(data).hexdigest()[:16], len(data))
    """)
    host = any_relay.run(*reader, options=["--quiet"])
    host.shows("go")
    viewer = any_relay.attached()
    viewer.send(whole)
    viewer.shows(f"sum {hashlib.sha256(whole).hexdigest()[:16]} {len(whole)}")
    assert viewer.status() == 0


def test_a_late_viewer_sees_the_alternate_screen_and_the_main_one_behind_it(any_relay: Relay) -> None:
    host = any_relay.shell()
    host.send("clear; echo behind\r")
    host.looks(lambda rows: rows[:2] == ["behind", PROMPT.strip()], "the main screen")
    host.send("printf '\\033[?1049h\\033[2J\\033[5;10H\\033[1;31mfront\\033[m\\033[7;1H'; read x; printf '\\033[?1049l'\r")
    host.looks(lambda rows: rows[4].endswith("front"), "the alternate screen")
    viewer = any_relay.attached()
    viewer.looks(lambda rows: rows[4] == " " * 9 + "front", "the alternate screen")
    viewer.looks_like(host)
    assert viewer.screen.modes.alternate
    viewer.send("\r")
    viewer.looks(lambda rows: rows[0] == "behind", "the main screen")
    viewer.looks_like(host)


def test_a_late_viewer_gets_lines_above_the_screen(relay: Relay) -> None:
    host = relay.shell()
    host.send("seq 1 100\r")
    host.shows("\n100\n")
    viewer = relay.attached()
    viewer.shows("\n100\n")
    assert re.search(rb"\b42\b", viewer.output.data)


def test_the_hosts_window_is_resized_and_the_command_and_viewers_follow(relay: Relay) -> None:
    host = relay.shell()
    viewer = relay.attached(size=Size(30, 120))
    host.resize(Size(30, 100))
    host.send("stty size\r")
    host.shows("\n30 100\n")
    viewer.shows("\n30 100\n")
    # A viewer's window has no say where the host has one.
    viewer.resize(Size(10, 40))
    host.send("stty size; echo again\r")
    host.shows("\n30 100\nagain\n")


def test_a_headless_session_has_the_size_it_was_given_and_follows_its_writers(relay: Relay) -> None:
    teller = relay.host.script("""
        import os, signal
        signal.signal(signal.SIGWINCH, lambda *_: print(os.get_terminal_size(0), flush=True))
        print(os.get_terminal_size(0), flush=True)
        while True:
            signal.pause()
    """)
    host = relay.run_piped(*teller, options=["--pty", "--cols", "90", "--rows", "20"])
    host.out.expect(b"columns=90, lines=20")
    reader = relay.attached("--read-only", size=Size(11, 55))
    writer = relay.attached(size=Size(33, 77))
    writer.shows("columns=77, lines=33")
    host.out.expect(b"columns=77, lines=33")
    writer.resize(Size(25, 66))
    host.out.expect(b"columns=66, lines=25")
    assert b"columns=55" not in host.out.data
    reader.send("q")
    assert reader.status() == 0


def test_queries_are_answered_at_the_host_and_never_reach_a_viewer(relay: Relay) -> None:
    script = (
        "printf 'ask'; printf '\\033[6n\\033[c\\033]11;?\\007\\033P$qm\\033\\\\'; stty raw -echo; echo done; head -c 4 | od -c"
    )
    host = relay.run_piped("sh", "-c", f"stty -echo; read go; {script}", options=["--pty", "--quiet"])
    viewer = relay.attached()
    viewer.send("\r")
    viewer.shows(re.compile(r"033\s+\[\s+\d"))
    stream = viewer.output.data
    assert b"ask" in stream
    for query in (b"\x1b[6n", b"\x1b[c", b"\x1b]11;?", b"$qm"):
        assert query not in stream
        assert query in host.out.data
    assert host.status() == 0


def test_a_headless_program_that_asks_for_the_cursor_gets_an_answer_with_nobody_there(hub: Relay) -> None:
    asker = hub.host.script("""
        import sys, tty
        tty.setraw(0)
        print("abc\\x1b[6n", end="", flush=True)
        answer = b""
        while not answer.endswith(b"R"):
            answer += sys.stdin.buffer.raw.read(1)
        print(answer)
    """)
    host = hub.run_piped(*asker, options=["--pty", "--quiet"], stdin=subprocess.DEVNULL)
    host.out.expect(rb"\x1b[1;4R")
    assert host.status() == 0


def test_an_emoji_cut_in_half_between_two_reads_is_shown(relay: Relay) -> None:
    script = "printf 'a\\360\\237'; read x; printf '\\230\\200b\\n'; read x"
    host = relay.run("sh", "-c", f"stty -echo; {script}", options=["--quiet"])
    host.expect(b"a\xf0\x9f")
    viewer = relay.attached()
    late = relay.attached()
    eventually(lambda: viewer.text() == host.text(), "the half is there")
    viewer.send("\r")
    for each in (host, viewer, late):
        each.shows("a😀b")
    last = relay.attached()
    last.shows("a😀b")


def test_a_viewer_that_suspends_itself_comes_back(hub: Relay) -> None:
    hub.shell()
    viewer = hub.viewer.terminal(["bash", "--norc", "--noprofile", "-i"])
    viewer.shows(PROMPT.strip())
    viewer.send(f"codewrap attach {hub.name}\r")
    viewer.expect(b"detach with")
    viewer.becomes_raw()
    viewer.expect(PROMPT.strip())
    viewer.send("\r~\x1a")
    viewer.shows("Stopped")
    viewer.send("echo outside-$((1 + 2))\r")
    viewer.shows("\noutside-3\n")
    viewer.send("fg\r")
    viewer.becomes_raw()
    viewer.send("echo inside-$((2 + 2))\r")
    viewer.shows("\ninside-4\n")
    viewer.send("\r~.")
    viewer.shows("it goes on")
