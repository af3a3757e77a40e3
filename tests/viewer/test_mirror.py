"""Where the mirror of a terminal can be relied on, and where it says that it cannot."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.mirror import Mirror

SIZE = Size(rows=4, cols=20)


def mirror(*shown: bytes) -> Mirror:
    made = Mirror(SIZE)
    for block in shown:
        made.feed(block)
    return made


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        b"ls -l",
        "日本 é 🙂 \ue0b0─".encode(),
        b"\x1b[1;38;5;8mx",
        b"\x1b[?1049h\x1b[2;3r\x1b[r\x1b[?1049l",
        b"\x1b)0\x1b(B\x0f",
        b"\x1b[4;1m\x1b[K",
    ],
)
def test_ordinary_output_leaves_no_doubt(shown: bytes) -> None:
    assert mirror(shown).pen() is not None


@pytest.mark.parametrize(
    "shown",
    [
        "e\u0301".encode(),
        "\u26a0\ufe0f".encode(),
        "\U0001f44d\U0001f3fd".encode(),
        "\U0001f1e9\U0001f1ea".encode(),
        b"\x1b[2 @",
        b"\x1b[2'}",
        b"\x1b[1;1;2;2$z",
        b"\x1b[?2J",
        b"\x1b[?69h",
        b"\x1b[?25;45h",
        b"\x1bn",
        b"\x1b#6",
        b"\x1b(A",
        b"\x1b[8m",
        b"\x1b[1;4:3m",
        b"\x1b[53mx\x1b7\x1b[m\x1b8",
        b"\x1b]8;;https://example.com\x1b\\",
        b"\x1b[?1049l",
        b"\x1b[2;3r\x1b[?1049h",
        b"\x1b[4h",
    ],
)
def test_what_engine_and_terminal_may_see_differently_is_in_doubt(shown: bytes) -> None:
    assert mirror(shown).pen() is None
    assert mirror(shown, b"\r\nmore").pen() is None


def test_an_empty_screen_removes_doubt_about_what_was_on_it() -> None:
    assert mirror("e\u0301".encode(), b"\x1b[H\x1b[2J$ ").pen() == ""
    assert mirror("e\u0301".encode(), b"\x1b[2J").pen() is None
    assert mirror("e\u0301".encode(), b"\x1b[2J\x1b[He\xcc\x81").pen() is None


def test_a_style_that_the_engine_does_not_keep_is_over_with_the_next_reset() -> None:
    odd = mirror(b"\x1b[8mhidden", b"\x1b[m plain")
    assert odd.pen() == ""
    assert not odd.covers(0, (2, 4))
    assert odd.covers(0, (14, 16))


def test_the_last_column_and_blanks_that_may_have_been_erased_with_a_line_are_not_drawn_over() -> None:
    made = mirror(b"abc\x1b[4m\x1b[K\x1b[m")
    assert made.covers(0, (0, 3))
    assert not made.covers(0, (2, 5))
    assert not mirror().covers(0, (18, 20))
    assert mirror().covers(0, (18, 19))


def test_cells_are_restored_as_they_are() -> None:
    shown = "a\x1b[1;31mbc\x1b[m日e".encode()
    made, terminal = mirror(shown), Screen(SIZE)
    terminal.feed(shown)
    before = terminal.snapshot()
    terminal.feed(b"\x1b[1;2H\x1b[7mxxxxxx")
    terminal.feed((made.restored(0, 1, 7) + made.settled()).encode())
    assert terminal.snapshot() == before


@pytest.mark.parametrize(
    ("shown", "later", "written"),
    [
        (b"ab", b"\x1b[3bc", b"bbbc"),
        (b"ab", b"\x1b[bc", b"bc"),
        (b"ab\x1b[m", b"\x1b[3bc", b"c"),
        (b"\x1b]0;t\x1b\\", b"\x1b[3bc", b"c"),
        ("日".encode(), b"\x1b[2b", "日日".encode()),
        (b"ae", b"\xcc\x81x", b"\x1b[1De\xcc\x81x"),
        ("日".encode(), b"\xcc\x81", "\x1b[2D日\u0301".encode()),
        (b"ab", b"cd", b"cd"),
        (b"ab", "日".encode(), "日".encode()),
    ],
)
def test_what_is_about_the_character_before_is_spelled_out(shown: bytes, later: bytes, written: bytes) -> None:
    """A prediction may have been drawn meanwhile, and the terminal would take the last character of that."""
    assert mirror(shown).spelled_out(later) == written
