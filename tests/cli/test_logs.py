"""`codewrap logs`: raw, safe and as text; from some moment on; going on until the session ends."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from codewrap.cli.logs import parse_since
from codewrap.errors import ConfigError
from tests.support.cli import CommandLine
from tests.support.keptlogs import KeptSession
from tests.support.ptydriver import Piped, Terminal

RED = b"\x1b[31mred\x1b[m \x1b]52;c;aGk=\x07\x1b[6n\r\n"


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def kept(codewrap: CommandLine, *, pty: bool = True, began_ago_s: float = 0.0) -> KeptSession:
    return KeptSession(codewrap.directory / "state" / "codewrap", pty=pty, began_ago_s=began_ago_s)


def logs(codewrap: CommandLine, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "codewrap.cli.main", "logs", "demo", *options]
    return subprocess.run(command, env=codewrap.environ, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)


def test_a_file_gets_the_very_bytes_of_each_stream(codewrap: CommandLine) -> None:
    session = kept(codewrap, pty=False)
    session.log.append(RED, "stdout", 1.0)
    session.log.append(b"\xff\0oops\n", "stderr", 2.0)
    session.ended(3)
    done = logs(codewrap)
    assert (done.returncode, done.stdout, done.stderr) == (0, RED, b"\xff\0oops\n")


def test_text_has_no_sequences(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    session.log.append(RED + b"10%\r100%\r\nlast", "stdout", 1.0)
    session.ended()
    assert logs(codewrap, "--text").stdout == b"red \n100%\nlast"


def test_a_terminal_is_shown_what_is_safe_and_is_put_right_again(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    session.log.append(RED + b"\x1b[?25l\x1b[?1000h", "stdout", 1.0)
    session.ended()
    with Terminal([sys.executable, "-m", "codewrap.cli.main", "logs", "demo"], codewrap.environ, codewrap.directory) as terminal:
        assert terminal.status() == 0
        terminal.expect("red")
        terminal.shows("red")
        shown = terminal.output.data
        assert b"\x1b]52" not in shown
        assert b"\x1b[6n" not in shown
        assert b"\x1b[31mred" in shown
        assert terminal.screen.cursor.visible
        assert terminal.screen.modes.mouse == 0


def test_raw_on_a_terminal_is_raw(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    session.log.append(b"\x1b]52;c;aGk=\x07end", "stdout", 1.0)
    session.ended()
    command = [sys.executable, "-m", "codewrap.cli.main", "logs", "demo", "--raw"]
    with Terminal(command, codewrap.environ, codewrap.directory) as terminal:
        assert terminal.status() == 0
        terminal.expect("\x1b]52;c;aGk=\x07end")


def test_since_leaves_out_what_was_before(codewrap: CommandLine) -> None:
    session = kept(codewrap, began_ago_s=1000)
    for at, text in ((10.0, b"old\n"), (970.0, b"new\n")):
        session.log.append(text, "stdout", at)
    session.ended(at_s=990.0)
    assert logs(codewrap, "--since", "5m").stdout == b"new\n"
    assert logs(codewrap, "--since", "1h").stdout == b"old\nnew\n"
    assert logs(codewrap, "--since", "2000-01-01").stdout == b"old\nnew\n"


def test_a_clock_that_was_set_back_hides_nothing(codewrap: CommandLine) -> None:
    session = kept(codewrap, began_ago_s=-100_000)  # it seems to have begun tomorrow
    session.log.append(b"new\n", "stdout", 1.0)
    session.ended()
    assert logs(codewrap, "--since", "5m").stdout == b"new\n"


def test_follow_goes_on_until_the_session_ends(codewrap: CommandLine) -> None:
    session = kept(codewrap)
    session.log.append(b"one\n", "stdout", 1.0)
    command = [sys.executable, "-m", "codewrap.cli.main", "logs", "demo", "--follow"]
    with Piped(command, codewrap.environ, codewrap.directory) as process:
        process.out.expect(b"one\n")
        session.log.append(b"two\n", "stdout", 2.0)
        process.out.expect(b"two\n")
        session.log.append(b"three\n", "stdout", 3.0)
        session.ended(7)
        assert process.status() == 0
        assert process.out.everything() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("fate", ["ended", "lost"])
def test_sessions_that_are_over_are_shown_and_not_waited_for(codewrap: CommandLine, fate: str) -> None:
    session = kept(codewrap)
    session.log.append(b"all\n", "stdout", 1.0)
    getattr(session, fate)()
    done = logs(codewrap, "--follow")
    assert (done.returncode, done.stdout) == (0, b"all\n")
    assert (b"was lost" in done.stderr) == (fate == "lost")


def test_options_that_make_no_sense_are_one_line(codewrap: CommandLine) -> None:
    kept(codewrap)
    for options in (["--raw", "--text"], ["--since", "yesterday"], ["--since", "0m"]):
        done = logs(codewrap, *options)
        assert (done.returncode, done.stdout) == (2, b"")
        assert len(done.stderr.splitlines()) == 1


def test_moments_are_by_the_clock_of_the_person() -> None:
    now = datetime(2026, 11, 23, 15, 30).timestamp()
    assert now - parse_since("90s", now) == 90
    assert now - parse_since("5m", now) == 300
    assert now - parse_since("14:05", now) == 85 * 60
    assert parse_since("2026-11-23T14:05", now) == parse_since("14:05:00", now)
    assert parse_since("2026-11-23T14:05:00+00:00", now) == datetime.fromisoformat("2026-11-23T14:05:00+00:00").timestamp()
    for wrong in ("", "5", "m", "25:00", "2026-13-01", "-5m"):
        with pytest.raises(ConfigError):
            parse_since(wrong, now)
