"""The dump in words that every terminal understands. What it comes to on a screen is in `test_emulator.py`."""

from __future__ import annotations

import pytest

from codewrap.protocol.geometry import Size
from codewrap.protocol.safety import Sanitizer
from codewrap.terminal.redraw import prologue, rewritten, scrolled_off, tab_stops


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        ("\x1b[0;38:2:1:2:3;48:5:100mx", "\x1b[0;38;2;1;2;3;48;5;100mx"),
        ("\x9b2;3H", "\x1b[2;3H"),
        ("x-\x1b[4by", "x-----y"),
        ("x \x1b[8b\r\ny", "x\r\ny"),
        ("\x1b[0;44m \x1b[2b\r\n", "\x1b[0;44m   \r\n"),
        ("\x1b[0;44mx\x1b[0m \x1b[2b\r\n", "\x1b[0;44mx\x1b[0m\r\n"),
        ("x \x1b[2b", "x   "),
        ("x\x9b?25l\x9b?1h\x9b?7l", "x\x1b[?25l\x1b[?7l"),
        (" \x1b[9b\r\nx \x1b[8b \x1b[9b\r\n", "\r\nx" + " " * 19 + "\r\n"),
        (" \x1b[9b \x1b[9b\r\n", " " * 20 + "\r\n"),
        ("\x9b5W\x9b4`\x1b[W\x9b9`\x1b[Wx", "\x1b[3g\x1b[4G\x1bH\x1b[9G\x1bHx"),
    ],
)
def test_each_defect_is_written_around(dump: str, expected: str) -> None:
    assert rewritten(dump, 0, 10) == (expected, "")


@pytest.mark.parametrize(
    ("mode", "dump", "expected"),
    [
        (47, "a\x1b7\x1b[m\x9b?1047hb", "a\x1b7\x1b[m\x1b[?47hb"),
        (1047, "a\x1b[m\x9b?1047hb", "a\x1b[m\x1b[?1047hb"),
        (1049, "a\x1b[0;31m\x1b7\x1b[m\x9b?1047hb", "a\x1b[0;31m\x1b[?1049h\x1b[mb"),
        (1049, "\x9b?6h\x1b7\x9b?6l\x1b[m\x9b?1047hb", "\x1b[?6h\x1b[?1049h\x1b[?6l\x1b[mb"),
        (1049, "a\x1b[m\x9b?1047hb", "a\x1b[m\x1b[H\x1b[?1049hb"),
        (0, "a\x9b?1047hb", "a\x1b[m\x1b[H\x1b[?1049hb"),
        (0, "a\x1b[m\x9b?1047h\x1b7\x9b?1047lb", "a\x1b[m\x1b[?1047h\x1b7\x1b[?1047lb"),
        (47, "\x9b5W\x9b4`\x1b[W\x9b?1047h", "\x1b[3g\x1b[4G\x1bH\x1b[?47h"),
    ],
)
def test_alternate_screen_is_entered_as_the_program_did(mode: int, dump: str, expected: str) -> None:
    assert rewritten(dump, mode, 10) == (expected, "")


@pytest.mark.parametrize(
    ("tail", "parser"),
    [
        ("\x9b38;2", "\x1b[38;2"),
        ("\x9d", "\x1b]"),
        ("\x901$q", "\x1bP1$q"),
        ("\x1b", "\x1b"),
        ("\x1b(", "\x1b("),
        ("\x98", "\x1bX"),
    ],
)
def test_unfinished_sequence_is_kept_apart(tail: str, parser: str) -> None:
    assert rewritten("x\x9b2;3H\x1b[0m" + tail, 0, 10) == ("x\x1b[2;3H\x1b[0m", parser)


def test_prologue_is_safe_and_asks_nothing() -> None:
    text = prologue(Size(24, 80)).encode()
    assert text.startswith(b"\x18")
    passed = Sanitizer().feed(text)
    assert passed == text[1:].replace(b"\x1b[<99u", b"")
    assert b"\x1bc" not in text
    assert b"\x1b[3J" not in text


def test_tab_stops_fit_the_width() -> None:
    assert tab_stops(Size(24, 8)) == "\r\x1b[3g"
    assert tab_stops(Size(24, 17)) == "\r\x1b[3g\x1b[8C\x1bH\x1b[8C\x1bH"


def test_lines_above_are_pushed_off_the_screen() -> None:
    assert scrolled_off([], Size(3, 10)) == ""
    assert scrolled_off(["a\r\n"], Size(3, 10)) == "\x1b[Ha\r\n\x1b[m\n\n\x1b[H"
