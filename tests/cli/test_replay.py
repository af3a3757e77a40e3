"""`codewrap replay`: what it plays, and where it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codewrap.cli.replay import Tape
from codewrap.store.castfile import CastReader
from tests.support.cli import CommandLine
from tests.support.keptlogs import KeptSession
from tests.support.ptydriver import Terminal

CAST = '{"version": 2, "width": 80, "height": 24}\n[0.1, "o", "hello\\r\\n"]\n[0.2, "o", "world"]\n[3600, "o", "!"]\n'


@pytest.fixture
def codewrap(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def replay(codewrap: CommandLine, *words: str) -> Terminal:
    return Terminal([sys.executable, "-m", "codewrap.cli.main", "replay", *words], codewrap.environ, codewrap.directory)


def test_a_session_plays_and_the_terminal_is_as_it_was(codewrap: CommandLine) -> None:
    session = KeptSession(codewrap.directory / "state" / "codewrap")
    session.log.append(b"\x1b[?25l\x1b[?1000hmenu", "stdout", 0.5)
    session.ended(3, 1.0)
    with replay(codewrap, "demo", "--speed", "5") as terminal:
        terminal.expect("menu")
        assert terminal.status() == 0
        terminal.is_as_it_was()
        assert terminal.screen.cursor.visible


def test_a_file_plays_and_no_pause_is_longer_than_the_limit(codewrap: CommandLine) -> None:
    (codewrap.directory / "x.cast").write_text(CAST)
    with replay(codewrap, "x.cast", "--idle-limit", "0.2") as terminal:
        terminal.expect("hello")
        terminal.expect("world")
        terminal.expect("!")
        assert terminal.status() == 0


def test_a_person_leaves_and_the_terminal_is_as_it_was(codewrap: CommandLine) -> None:
    (codewrap.directory / "x.cast").write_text(CAST)
    for keys, status in (("q", 0), ("\x03", 130)):
        with replay(codewrap, "./x.cast") as terminal:
            terminal.shows("world")
            terminal.send(keys)
            assert terminal.status() == status
            terminal.is_as_it_was()


def test_a_player_that_is_killed_leaves_the_terminal_as_it_was(codewrap: CommandLine) -> None:
    (codewrap.directory / "x.cast").write_text(CAST.replace("world", "\\u001b[?1000h\\u001b[?25lworld"))
    with replay(codewrap, "x.cast") as terminal:
        terminal.shows("world")
        terminal.kill()
        terminal.is_as_it_was()
        terminal.looks(lambda _: terminal.screen.cursor.visible and terminal.screen.modes.mouse == 0, "modes are reset")


def test_a_damaged_file_ends_in_one_line_on_a_restored_terminal(codewrap: CommandLine) -> None:
    (codewrap.directory / "x.cast").write_text(CAST.replace("[3600", "nonsense\n[3600"))
    with replay(codewrap, "x.cast") as terminal:
        assert terminal.status() == 125
        terminal.expect("a line of it is no JSON (line 4)")
        terminal.is_as_it_was()


def test_without_a_terminal_it_says_what_to_use(codewrap: CommandLine) -> None:
    done = codewrap("replay", "demo")
    assert done.status == 2
    assert "needs a terminal" in done.err
    assert "codewrap logs or export" in done.err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["none"], 255),
        (["./none.cast"], 125),
        (["demo", "--speed", "0"], 2),
        (["demo", "--idle-limit", "-1"], 2),
        (["demo", "--idle-limit", "nan"], 2),
    ],
)
def test_what_cannot_be_played_is_one_line(codewrap: CommandLine, words: list[str], status: int) -> None:
    with replay(codewrap, *words) as terminal:
        assert terminal.status() == status
        terminal.expect("codewrap: ")
        terminal.is_as_it_was()


def test_times_of_a_file_are_those_of_its_events(codewrap: CommandLine) -> None:
    (codewrap.directory / "x.cast").write_text(CAST)
    assert list(Tape(CastReader(codewrap.directory / "x.cast")).times()) == [0.1, 0.2, 3600]
