"""A line over a terminal: it is seen, it is gone, and the terminal never shows anything else than the command's screen."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from codewrap.host.requestline import (
    ASK_AGAIN_S,
    HIDDEN_S,
    MAX_KEPT_BYTES,
    MAX_TRIES,
    PAUSE_S,
    SHOWN_S,
    RequestLine,
    Surroundings,
)
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.uplink.portrait import portrait

SIZE = Size(rows=6, cols=40)
TEXT = "bob asks: y or n"
FULL_SCREEN = b"\x1b[?1049h\x1b[1;1H\x1b[44mtitle\x1b[K\x1b[m\x1b[2;5r\x1b[?6h\x1b[2;3Hmiddle\x1b7\x1b[3;1H\x1b[31mred"


# Blanks that the engine makes when it switches screens with a colour set are not what its own snapshot has.
PIECES = [
    b"text ",
    b"\r\n",
    b"\x1b[2;3H",
    b"\x1b[1;44m",
    b"\x1b[m",
    b"\x1b7",
    b"\x1b8",
    b"\x1b[3",
    b"1m",
    b"\xc5",
    b"\xbc",
    b"\x07",
]
PIECES += [b"\x1b[m\x1b[?1049h", b"\x1b[m\x1b[?1049l", b"\x1b[2J", b"\x1b[2;4r", b"\x1b[r", b"\x1b]0;title", b"x" * 90, b"\x1b[L"]


class Stage:
    """A host's terminal with a line over it, and an uplink that knows the command's output alone."""

    def __init__(self, output: bytes = b"") -> None:
        self.now_s = 100.0
        self.terminal = Screen(SIZE)
        self.truth = Screen(SIZE)
        self.size = SIZE
        self.log = b""
        self.broken = False
        self.asked = 0
        self.bells = 0
        self.shown: Callable[[bytes], object] = lambda _: None
        self.fed_to = 0
        self.line = RequestLine(Surroundings(self._write, self._ask, self._end, self._tail, lambda: self.size))
        self.prints(output)

    def _write(self, data: bytes | memoryview) -> None:
        self.bells += bytes(data).count(b"\x07")
        self.shown(bytes(data))
        self.terminal.feed(bytes(data))

    def _ask(self) -> None:
        self.asked += 1

    def _end(self) -> int:
        return -1 if self.broken else len(self.log)

    def _tail(self, most_bytes: int) -> bytes:
        return self.log[-most_bytes:]

    def catch_up(self, most_bytes: int) -> bool:
        self.truth.feed(self.log[self.fed_to : self.fed_to + most_bytes])
        self.fed_to = len(self.log)
        return False

    def prints(self, data: bytes) -> None:
        """As the host's loop does it."""
        if self.line.wanted:
            self.line.pass_on(data, self.now_s)
        else:
            self._write(data)
        self.log += data

    def answers(self) -> None:
        """The uplink sends what it was asked for."""
        told = portrait(self, self.truth)
        self.line.picture(told.header, told.body, self.now_s)

    def waits(self, seconds: float) -> None:
        self.now_s += seconds
        self.line.look_after(self.now_s)

    def settles(self, seconds: float) -> None:
        """Time goes by, with the uplink at hand."""
        end_s = self.now_s + seconds
        while (due_s := self.line.due_s) is not None and due_s <= end_s:
            self.now_s = max(self.now_s, due_s)
            before = self.asked
            self.line.look_after(self.now_s)
            if self.asked > before:
                self.answers()
        self.now_s = end_s

    def says(self, text: str, *, bell: bool = False) -> None:
        self.line.say(text, self.now_s, bell=bell)

    @property
    def is_true(self) -> bool:
        """The terminal shows what the command made, in any respect that an engine tells."""
        self.catch_up(1 << 30)
        return self.terminal.snapshot() == self.truth.snapshot()


@pytest.mark.parametrize("output", [b"", b"ready$ ", FULL_SCREEN, "zażółć 漢字".encode() * 10, b"\x1b[?25l\x1b[4h\x1b[0 q\x0e"])
def test_it_stands_on_the_first_row_and_leaves_no_trace(output: bytes) -> None:
    stage = Stage(output)
    stage.says(TEXT, bell=True)
    stage.settles(1)
    assert stage.terminal.text()[0] == TEXT
    stage.catch_up(1 << 30)
    assert stage.terminal.text()[1:] == stage.truth.text()[1:]
    assert stage.bells == 1
    stage.says("")
    assert stage.terminal.text() == stage.truth.text(), "gone at once"
    stage.settles(1)
    assert stage.is_true
    assert stage.line.due_s is None


def test_the_picture_at_the_end_pushes_nothing_into_the_history() -> None:
    stage = Stage(b"".join(b"line %d\r\n" % number for number in range(20)))
    stage.says(TEXT)
    stage.settles(1)
    written: list[bytes] = []
    stage.shown = written.append
    stage.says("")
    stage.settles(1)
    assert written
    assert b"\x1b[2J" not in b"".join(written)
    assert b"\n" not in b"".join(written).replace(b"\r\n", b"", SIZE.rows - 1), "no row scrolls off"


def test_output_takes_it_away_and_a_pause_brings_it_back() -> None:
    stage = Stage(b"ready$ ")
    stage.says(TEXT, bell=True)
    stage.settles(1)
    stage.prints(b"ls\r\n")
    assert stage.terminal.text() == ["ready$ ls", "", "", "", "", ""]
    assert not stage.line.shown
    stage.settles(PAUSE_S)
    assert stage.terminal.text()[0] == TEXT
    assert stage.bells == 1


def test_output_right_after_it_was_drawn_waits_a_moment_so_that_it_is_seen() -> None:
    stage = Stage(b"ready$ ")
    stage.says(TEXT)
    stage.settles(0)
    stage.prints(b"l")
    stage.prints(b"s")
    assert stage.terminal.text()[0] == TEXT
    assert stage.line.due_s == stage.now_s + SHOWN_S
    stage.waits(SHOWN_S)
    assert stage.terminal.text()[0] == "ready$ ls"


def test_no_more_than_so_much_is_kept_back() -> None:
    stage = Stage()
    stage.says(TEXT)
    stage.settles(0)
    stage.prints(b"x" * (MAX_KEPT_BYTES + 1))
    assert not stage.line.shown
    assert stage.is_true


def test_while_output_never_pauses_it_is_shown_now_and_then() -> None:
    stage = Stage()
    stage.says(TEXT)
    seen = 0
    for number in range(400):
        stage.prints(f"line {number}\r\n".encode())
        stage.settles(0.01)
        seen += stage.line.shown
    assert 20 <= seen <= 200
    assert stage.asked < 20, "the uplink is not asked at every line"
    stage.says("")
    stage.settles(1)
    assert stage.is_true


def test_a_picture_that_is_late_is_completed_from_the_log() -> None:
    stage = Stage(b"ready$ ")
    stage.says(TEXT)
    stage.waits(0)
    told = portrait(stage, stage.truth)
    stage.prints(b"more\r\n\x1b[31mred")
    stage.now_s += HIDDEN_S
    stage.line.picture(told.header, told.body, stage.now_s)
    assert stage.terminal.text()[0] == TEXT
    stage.says("")
    assert stage.is_true


def test_it_is_not_drawn_in_the_midst_of_a_sequence() -> None:
    stage = Stage(b"a\x1b[3")
    stage.says(TEXT)
    stage.settles(3)
    assert not stage.line.shown
    stage.prints(b"1mred")
    stage.settles(PAUSE_S + 1)
    assert stage.line.shown
    stage.says("")
    stage.settles(1)
    assert stage.is_true


def test_a_terminal_of_another_size_is_drawn_anew() -> None:
    stage = Stage(b"ready$ ")
    stage.says(TEXT)
    stage.settles(0)
    stage.size = Size(rows=8, cols=50)
    stage.terminal.resize(stage.size)
    stage.line.resized(stage.now_s)
    stage.settles(2)
    assert not stage.line.shown, "the uplink does not know the size yet"
    stage.truth.resize(stage.size)
    stage.settles(2)
    assert stage.terminal.text()[0] == TEXT
    stage.says("")
    stage.settles(1)
    assert stage.is_true


def test_an_uplink_that_does_not_answer_is_asked_again_and_given_up_once_it_does_not_matter() -> None:
    stage = Stage()
    stage.says(TEXT)
    stage.waits(0)
    stage.waits(ASK_AGAIN_S)
    assert stage.asked == 2
    stage.answers()
    assert stage.line.shown
    stage.says("")
    for _ in range(2 * MAX_TRIES):
        stage.waits(ASK_AGAIN_S)
    assert stage.line.due_s is None
    assert stage.asked == 2 + MAX_TRIES


def test_a_picture_that_nobody_asked_for_is_not_drawn() -> None:
    stage = Stage(b"ready$ ")
    stage.answers()
    assert not stage.line.shown
    stage.says(TEXT)
    stage.says("")
    stage.answers()
    assert stage.is_true
    assert stage.line.due_s is None, "it was never shown, so nothing is to be made good"


def test_without_a_log_there_is_no_line() -> None:
    stage = Stage(b"ready$ ")
    stage.broken = True
    stage.says(TEXT)
    stage.settles(3)
    assert not stage.line.shown


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_terminal_is_right_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage()
    for _ in range(120):
        match chance.randrange(5):
            case 0:
                stage.says(chance.choice(["", TEXT, "another"]))
            case 1:
                stage.settles(chance.choice([0.0, 0.1, 0.5, 2.0]))
            case _:
                stage.prints(chance.choice(PIECES))
    stage.prints(b"\x18")  # whatever it was, it is over
    stage.says(TEXT)
    stage.settles(2)
    assert stage.line.shown, f"seed {seed}"
    stage.says("")
    stage.settles(2)
    assert stage.is_true, f"seed {seed}"
