"""A session of one size on a terminal of another: what is drawn there, judged by a second terminal engine's screen."""

from __future__ import annotations

import re

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.letterbox import Letterbox

SESSION = Size(rows=10, cols=40)


class Shown:
    """A viewer's terminal with a letterbox in front of it, and the session's own screen for comparison."""

    def __init__(self, terminal: Size, session: Size = SESSION) -> None:
        self.session = Screen(session)
        self.terminal = Screen(terminal)
        self._letterbox = Letterbox(session, terminal)

    def feed(self, data: bytes) -> bytes:
        self.session.feed(data)
        drawn = self._letterbox.feed(data)
        self.terminal.feed(drawn)
        return drawn


@pytest.mark.parametrize("terminal", [Size(rows=30, cols=100), Size(rows=10, cols=60), Size(rows=14, cols=40)])
def test_larger_terminal_shows_the_whole_session_at_its_top_left(terminal: Size) -> None:
    shown = Shown(terminal)
    shown.feed(b"one\r\ntwo " + b"x" * 50 + b"\r\n\x1b[31mred\x1b[0m end")
    assert shown.terminal.text()[:10] == shown.session.text()
    assert shown.terminal.cursor == shown.session.cursor


def test_long_lines_wrap_where_the_session_wraps_them() -> None:
    shown = Shown(Size(rows=10, cols=80))
    shown.feed(b"y" * 60)
    assert shown.terminal.text()[:2] == ["y" * 40, "y" * 20]


def test_smaller_terminal_follows_the_cursor_down() -> None:
    shown = Shown(Size(rows=4, cols=40))
    for number in range(10):
        shown.feed(b"%sline %d" % (b"\r\n" if number else b"", number))
    assert shown.terminal.text() == ["line 6", "line 7", "line 8", "line 9"]
    shown.feed(b"\x1b[1;1H")
    assert shown.terminal.text() == ["line 0", "line 1", "line 2", "line 3"]
    assert (shown.terminal.cursor.row, shown.terminal.cursor.col) == (0, 0)


def test_narrower_terminal_follows_the_cursor_to_the_right_and_back() -> None:
    shown = Shown(Size(rows=10, cols=20))
    shown.feed(b"0123456789" * 3)
    assert shown.terminal.text()[0] == ("0123456789" * 3)[11:]
    shown.feed(b"\r")
    assert shown.terminal.text()[0] == "0123456789" * 2


def test_only_rows_that_changed_are_drawn_again() -> None:
    shown = Shown(Size(rows=20, cols=60))
    shown.feed(b"\x1b[2J\x1b[1;1Htop\x1b[9;1Hbottom")
    drawn = shown.feed(b"\x1b[5;1Hmiddle")
    assert b"middle" in drawn
    assert b"top" not in drawn
    assert b"bottom" not in drawn


def test_wide_character_cut_by_the_edge_becomes_a_space() -> None:
    shown = Shown(Size(rows=10, cols=5))
    shown.feed("ab世界".encode() + b"\x1b[1;1H")
    assert shown.terminal.text()[0] == "ab世"
    assert shown.terminal.cursor.col == 0


def test_colours_survive_and_end_with_the_row() -> None:
    shown = Shown(Size(rows=12, cols=60))
    drawn = shown.feed(b"\x1b[1;31;44mloud\x1b[0m quiet").decode()
    row = drawn[drawn.index("loud") - 20 : drawn.index("quiet")]
    assert re.search(r"\x1b\[0;1;31;44mloud\x1b\[0m ", row), row


def test_modes_that_shape_the_keyboard_reach_the_terminal_and_drawing_modes_do_not() -> None:
    shown = Shown(Size(rows=12, cols=60))
    drawn = shown.feed(b"\x1b[?1h\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[?1049h\x1b[3;5r\x1b[4h")
    for mode in (1, 2004, 1002, 1006):
        assert b"\x1b[?%dh" % mode in drawn
    assert b"1049" not in drawn
    assert b"\x1b[3;5r" not in drawn
    assert b"\x1b[?1002l" in shown.feed(b"\x1b[?1002l")


def test_hidden_cursor_stays_hidden() -> None:
    shown = Shown(Size(rows=12, cols=60))
    shown.feed(b"\x1b[?25lquiet")
    assert not shown.terminal.cursor.visible
    shown.feed(b"\x1b[?25h")
    assert shown.terminal.cursor.visible


@pytest.mark.parametrize("attack", [b"\x1b]52;c;aGk=\x07", b"\x1b[c", b"\x1bP$qm\x1b\\", b"\x1b]0;title\x07", b"\x1b[6n"])
def test_nothing_of_the_sessions_own_sequences_gets_through(attack: bytes) -> None:
    drawn = Shown(Size(rows=12, cols=60)).feed(b"before" + attack + b"after")
    assert b"beforeafter" in drawn
    assert attack not in drawn
    assert not re.search(rb"\x1b[\]P]", drawn)
