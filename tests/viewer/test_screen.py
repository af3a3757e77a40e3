"""The viewer's terminal, a real PTY read by a real emulator: what is drawn there, and what is left behind."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.terminal.local import MAX_PENDING_BYTES, Sink
from codewrap.viewer.screen import ErrorStream, TerminalScreen
from tests.support.ptydriver import Collected

SIZE = Size(rows=6, cols=40)
WAIT_S = 15.0


class Person:
    """Somebody at a terminal."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        self.terminal = Screen(SIZE)
        self.sink = Sink(self._slave)
        self._marks = 0
        self.out: Collected | None = None

    def reads(self) -> None:
        self.out = Collected(self._master, self.terminal.feed)

    def screen(self, *, raw: bool = False, allow_clipboard: bool = False) -> TerminalScreen:
        return TerminalScreen(self.sink, SIZE, raw=raw, allow_clipboard=allow_clipboard)

    def looks(self) -> list[str]:
        """Everything written so far has been read: what is on the screen."""
        assert self.out is not None
        self._marks += 1
        mark = b"\x1b]0;mark %d\x07" % self._marks
        self.sink.drain(WAIT_S)
        self.sink.write(mark)
        self.out.expect(mark)
        return self.terminal.text()

    def close(self) -> None:
        if self.out is not None:
            self.out.close()
        self.sink.close()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def person() -> Iterator[Person]:
    person = Person()
    yield person
    person.close()


def drawn(text: bytes, size: Size = SIZE) -> bytes:
    screen = Screen(size)
    screen.feed(text)
    return screen.snapshot()


def test_a_screen_and_what_follows_it_are_drawn(person: Person) -> None:
    person.reads()
    screen = person.screen()
    screen.redraw(drawn(b"one\r\ntwo"), SIZE)
    screen.show(b" more")
    assert person.looks()[:2] == ["one", "two more"]


def test_what_stood_there_scrolls_away_and_is_not_erased(person: Person) -> None:
    person.reads()
    person.sink.write(b"mine\r\n")
    person.screen().redraw(drawn(b"theirs"), SIZE)
    assert person.looks()[0] == "theirs"
    assert b"mine" in person.terminal.snapshot(100)


def test_only_raw_lets_everything_through(person: Person) -> None:
    person.reads()
    assert person.out is not None
    person.screen().show(b"\x1b]52;c;YQ==\x07a")
    person.screen(raw=True).show(b"\x1b]52;c;Yg==\x07b")
    person.screen(allow_clipboard=True).show(b"\x1b]52;c;Yw==\x07\x1b[6nc")
    person.looks()
    assert b"YQ==" not in person.out.data
    assert b"Yg==" in person.out.data
    assert b"Yw==" in person.out.data
    assert b"\x1b[6n" not in person.out.data


def test_a_status_line_lies_over_the_first_row_and_leaves_the_cursor_where_it_is(person: Person) -> None:
    person.reads()
    screen = person.screen()
    screen.redraw(drawn(b"one\r\ntwo"), SIZE)
    screen.say("the link is down " + "x" * 100)
    assert screen.status.startswith("the link")
    screen.show(b"!")
    assert person.looks()[:2] == [("the link is down " + "x" * 100)[:40], "two!"]
    screen.redraw(drawn(b"one\r\ntwo!"), SIZE)
    assert screen.status == ""
    assert person.looks()[:2] == ["one", "two!"]


def test_the_same_words_are_not_drawn_twice(person: Person) -> None:
    person.reads()
    assert person.out is not None
    screen = person.screen()
    screen.say("waiting")
    screen.say("waiting")
    person.looks()
    assert person.out.data.count(b"waiting") == 1


def test_leaving_undoes_what_the_session_did_and_goes_below_what_it_shows(person: Person) -> None:
    person.reads()
    screen = person.screen()
    screen.redraw(drawn(b"one"), SIZE)
    screen.show(b"\x1b[?1049h\x1b[?1000h\x1b[?2004h\x1b[?25l\x1b[31mfull")
    screen.leave()
    person.sink.write(b"$ ")
    assert "$" in person.looks()
    modes = person.terminal.modes.known_modes()
    assert (modes[1049], modes[1000], modes[2004], modes[25]) == (False, False, False, True)


def test_leaving_before_anything_was_drawn_leaves_no_trace(person: Person) -> None:
    person.reads()
    assert person.out is not None
    person.screen().leave()
    person.looks()
    assert person.out.data.startswith(b"\x1b]0;mark")


def test_a_larger_session_is_shown_in_part_and_leaves_nothing_behind(person: Person) -> None:
    person.reads()
    screen = person.screen()
    large = Size(rows=20, cols=100)
    screen.redraw(drawn(b"\r\n".join(b"row %d %s" % (n, b"." * 80) for n in range(20)), large), large)
    rows = person.looks()
    assert len(rows) == SIZE.rows
    assert not any("row 0 " in row for row in rows)
    screen.show(b"\x1b[H\x1b[?1000h\x1b[?2004h\x1b[?25lat home\r")
    assert person.looks()[0].startswith("at home")
    screen.leave()
    person.looks()
    modes = person.terminal.modes.known_modes()
    assert (modes[1000], modes[2004], modes[25]) == (False, False, True)


def test_a_terminal_that_takes_nothing_is_not_given_ever_more(person: Person) -> None:
    screen = person.screen()
    screen.redraw(drawn(b"x"), SIZE)
    assert not screen.behind
    written = 0
    while not screen.behind:
        screen.show(b"y" * 10_000)
        written += 10_000
        assert written < 2 * MAX_PENDING_BYTES + 100_000
    person.reads()
    person.looks()
    assert not screen.behind


def test_lines_of_a_session_on_pipes_begin_at_the_left(person: Person) -> None:
    person.reads()
    screen = person.screen()
    screen.redraw(b"one\ntwo\r\n", None)
    screen.show(b"three\nfour")
    assert person.looks()[:4] == ["one", "two", "three", "four"]


def test_end_of_a_session_on_pipes_is_not_shown_twice_after_a_reconnect(person: Person) -> None:
    person.reads()
    screen = person.screen()
    screen.redraw(b"one\ntwo\n", None)
    screen.redraw(b"one\ntwo\nthree\n", None)
    assert person.looks()[:4] == ["one", "two", "three", ""]


@pytest.mark.parametrize("raw", [False, True], ids=["safe", "raw"])
def test_a_sessions_stderr_is_made_safe_on_a_terminal_and_undone(person: Person, raw: bool) -> None:
    person.reads()
    errors = ErrorStream(person.sink, raw=raw, allow_clipboard=False)
    errors.show(b"one\x1b[6n\x1b[?1000h")
    errors.leave()
    errors.leave()
    assert person.out is not None
    if raw:
        person.out.expect(b"one\x1b[6n\x1b[?1000h")
    else:
        person.out.expect(b"one\x1b[?1000h\x1b[?2026l")
        person.out.expect(b"\x1b8")
        assert not person.terminal.modes.known_modes()[1000]


def test_a_sessions_stderr_in_a_file_is_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as file:
        errors = ErrorStream(Sink(file.fileno()), raw=False, allow_clipboard=False)
        errors.show(b"one\x1b[6n")
        errors.leave()
    assert (tmp_path / "errors").read_bytes() == b"one\x1b[6n"
