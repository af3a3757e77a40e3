"""The whole text of a session: what scrolled away, what shows at the end, wrapped lines whole, and the other screen."""

from __future__ import annotations

import random

import pytest

from codewrap.protocol.geometry import Size
from codewrap.terminal.transcript import MAX_LINE_ROWS, Transcript

SIZE = Size(rows=4, cols=10)


def text(*blocks: bytes, size: Size = SIZE) -> list[str]:
    transcript = Transcript(size)
    lines = []
    for block in blocks:
        transcript.feed(block)
        lines += transcript.take()
    return [line.text for line in lines + transcript.end()]


def test_everything_is_there_in_order_however_it_is_cut() -> None:
    stream = b"".join(b"line %d\r\n" % at for at in range(100)) + "ende ä".encode()
    expected = [f"line {at}" for at in range(100)] + ["ende ä"]
    assert text(stream) == expected
    assert text(*(stream[at : at + 7] for at in range(0, len(stream), 7))) == expected


def test_a_flood_is_not_shortened() -> None:
    stream = b"".join(b"%d\r\n" % at for at in range(20_000))
    assert text(stream) == [str(at) for at in range(20_000)]


def test_a_wrapped_line_is_one_line() -> None:
    assert text(b"0123456789abcdefghijXYZ\r\nnext") == ["0123456789abcdefghijXYZ", "next"]
    assert text(b"0123456789abcde\r\n" * 5) == ["0123456789abcde"] * 5


def test_blank_lines_in_between_stay_and_those_at_the_end_go() -> None:
    assert text(b"a\r\n\r\n\r\nb\r\n\r\n") == ["a", "", "", "b"]
    assert text(b"") == []


def test_what_is_drawn_over_is_gone_as_on_a_terminal() -> None:
    assert text(b"10%\r50%\r100%\r\nabc\x1b[3D\x1b[K-") == ["100%", "-"]


def test_clearing_the_screen_loses_what_shows_and_nothing_that_scrolled_away() -> None:
    lines = b"".join(b"%d\r\n" % at for at in range(8))
    for clear in (b"\x1b[H\x1b[2J\x1b[3J", b"\x1b[3J\x1b[H\x1b[2J", b"\x1bc"):
        assert text(lines + clear + b"new") == ["0", "1", "2", "3", "4", "new"]


def test_full_screen_programs_leave_no_trace_when_they_leave() -> None:
    assert text(b"before\r\n\x1b[?1049hEDITOR\r\nx\r\ny\r\nz\r\n~\x1b[?1049lafter") == ["before", "after"]


def test_a_picture_that_was_left_on_the_other_screen_stands_last() -> None:
    scrolled = b"".join(b"%d\r\n" % at for at in range(8))
    assert text(scrolled + b"\x1b[?1049h\x1b[H\x1b[2JEDITOR\x1b[3;1H~\x1b]0;unfin") == [*map(str, range(8)), "EDITOR", "", "~"]


def test_another_size_loses_nothing() -> None:
    transcript = Transcript(SIZE)
    transcript.feed(b"".join(b"%d\r\n" % at for at in range(6)) + b"0123456789")
    for size in (Size(rows=2, cols=5), Size(rows=10, cols=40), Size(rows=1, cols=3)):
        transcript.resize(size)
    transcript.feed(b"\r\nend")
    assert [line.text for line in transcript.end()] == [*map(str, range(6)), "0123456789", "end"]


def test_wide_characters_are_one_character_each() -> None:
    assert text("你好\r\n".encode() * 6) == ["你好"] * 6


def test_colours_stand_in_the_cells() -> None:
    transcript = Transcript(SIZE)
    transcript.feed(b"\x1b[1;31mred\x1b[m\r\n" * 5)
    line = transcript.take()[0]
    assert [(cell.char, cell.style) for cell in line.cells()[:4]] == [("r", ";1;31"), ("e", ";1;31"), ("d", ";1;31"), (" ", "")]


def test_a_line_without_an_end_is_given_out_in_parts() -> None:
    transcript = Transcript(SIZE)
    transcript.feed(b"x" * 10 * (3 * MAX_LINE_ROWS))
    assert [len(line.text) for line in transcript.take()] == [10 * MAX_LINE_ROWS] * 2
    assert len(transcript.end()[0].text) == 10 * MAX_LINE_ROWS


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_never_too_much(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = [
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1bc",
        b"?1049h",
        b"?1049l",
        b"3J",
        b"m",
        b"\r\n",
        b"a" * 11,
        b"\xff",
        b"\0",
        b"5A",
    ]
    transcript = Transcript(SIZE)
    for _ in range(300):
        transcript.feed(chance.choice(alphabet))
    assert all(character.isprintable() or character == "\x7f" for line in transcript.end() for character in line.text), seed
