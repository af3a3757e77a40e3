"""A terminal that answers for a session that has none of its own."""

from __future__ import annotations

from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.uplink.answers import AnsweringScreen

SIZE = Size(rows=5, cols=20)


class Bench:
    def __init__(self, silent_until: int = 0) -> None:
        self.engine = Screen(SIZE)
        self.answers: list[bytes] = []
        self.screen = AnsweringScreen(self.engine, self.answers.append, silent_until)


def test_the_cursor_s_place_is_answered_after_what_came_before_is_drawn() -> None:
    bench = Bench()
    bench.screen.feed(b"ab\r\ncde\x1b[6n")
    assert bench.answers == [b"\x1b[2;4R"]


def test_a_cursor_that_waits_to_wrap_is_in_the_last_column() -> None:
    bench = Bench()
    bench.screen.feed(b"x" * 20 + b"\x1b[6n")
    assert bench.answers == [b"\x1b[1;20R"]


def test_a_question_in_two_blocks_is_answered_once() -> None:
    bench = Bench()
    for byte in b"\x1b[5n plain":
        bench.screen.feed(bytes((byte,)))
    assert bench.answers == [b"\x1b[0n"]


def test_drawing_answers_nothing() -> None:
    bench = Bench()
    bench.screen.feed(b"just \x1b[31mtext\x1b[m")
    assert bench.answers == []


def test_a_mode_is_answered_as_it_stands() -> None:
    bench = Bench()
    bench.screen.feed(b"\x1b[?2004h\x1b[?2004$p")
    assert bench.answers == [b"\x1b[?2004;1$y"]


def test_what_an_uplink_before_this_one_answered_is_only_drawn() -> None:
    bench = Bench(silent_until=10)
    bench.screen.feed(b"\x1b[6n123456")
    assert bench.answers == []
    bench.screen.feed(b"\x1b[6n")
    assert bench.answers == [b"\x1b[1;7R"]


def test_size_and_picture_are_the_screen_s() -> None:
    bench = Bench()
    bench.screen.resize(Size(rows=3, cols=10))
    bench.screen.feed(b"hello\x1b[999;999H\x1b[6n")
    assert bench.engine.size == Size(rows=3, cols=10)
    assert bench.answers == [b"\x1b[3;10R"]
    assert bench.screen.snapshot(5) == bench.engine.snapshot(5)
