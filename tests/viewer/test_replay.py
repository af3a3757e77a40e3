"""The loop of `replay` on a terminal of its own: plays, pauses, steps, seeks, and leaves the terminal as it was."""

from __future__ import annotations

import os
import signal
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codewrap.protocol.asciicast import Code, Event, resized
from codewrap.protocol.geometry import Size
from codewrap.terminal.child import set_size
from codewrap.terminal.emulator import Screen
from codewrap.viewer.playback import Playback
from codewrap.viewer.replay import Replay
from tests.support.inplace import played, standard_streams
from tests.support.ptydriver import Collected

SIZE = Size(rows=10, cols=90)


def shown(time_s: float, text: str) -> Event:
    return Event(time_s, Code.OUTPUT, text)


class Person:
    """At a terminal on which a recording is played; the clock stands until it is moved."""

    def __init__(self, size: Size = SIZE) -> None:
        self.master, self.slave = os.openpty()
        set_size(self.slave, size)
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.screen = Screen(size)
        self.output = Collected(self.master, self.screen.feed)
        self.now_s = 0.0
        self._changed = threading.Condition()

    def plays(self, events: list[Event], script: Callable[[], None], speed: float = 1.0, size: Size = SIZE) -> int:
        playback = Playback(size, lambda: iter(events))
        with standard_streams(self.slave, self.slave, self.slave):
            replay = Replay(playback, events[-1].time_s, speed, clock=lambda: self.now_s)
            return played(lambda: replay.run(0), script)

    def types(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def passes(self, seconds: float) -> None:
        """So much time; the loop notices at the next signal."""
        self.now_s += seconds
        os.kill(os.getpid(), signal.SIGWINCH)

    def sees(self, wanted: str) -> None:
        assert self.output.wait_for(lambda: wanted in self.text(), 5), f"not shown: {wanted!r}; {self.text()!r}"

    def sees_no(self, text: str) -> None:
        assert self.output.wait_for(lambda: text not in self.text(), 20), self.text()

    def text(self) -> str:
        return "\n".join(self.screen.text())

    def close(self) -> None:
        self.output.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def person() -> Iterator[Person]:
    made = Person()
    yield made
    made.close()


COUNT = [shown(float(at), f"\x1b[2J\x1b[5;1Hnumber {at}.") for at in range(0, 100, 2)]


def test_a_recording_plays_to_its_end(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        person.passes(2.5)
        person.sees("number 2.")
        person.passes(200.0)

    assert person.plays(COUNT, script) == 0
    person.sees("number 98.")


def test_it_pauses_steps_and_goes_on(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        person.types(b" ")
        person.sees("paused")
        person.passes(50.0)
        person.types(b".")
        person.sees("number 2.")
        person.types(b"..")
        person.sees("number 6.")
        person.sees("0:06 / 1:38")
        person.types(b" ")
        person.sees("1x")
        person.passes(2.0)
        person.sees("number 8.")
        person.sees_no("1x")
        person.types(b"q")

    assert person.plays(COUNT, script) == 0


def test_it_goes_back_and_on_by_five_seconds(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        person.types(b" \x1b[C\x1b[C")
        person.sees("number 10.")
        person.types(b"\x1b[D")
        person.sees("number 4.")
        person.types(b"\x1bOD\x1bOD")
        person.sees("number 0.")
        person.sees("0:00 / 1:38")
        person.types(b"\x1b")
        person.types(b"[C")
        person.sees("number 4.")
        person.types(b"\x1b[113u")  # q, as the Kitty keyboard says it

    assert person.plays(COUNT, script) == 0


def test_speed_changes_what_a_second_is(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        person.types(b"+")
        person.sees("4x")
        person.passes(1.0)
        person.sees("number 4.")
        person.types(b"---")
        person.sees("0.5x")
        person.passes(4.0)
        person.sees("number 6.")
        person.types(b"q")

    assert person.plays(COUNT, script, speed=2.0) == 0


def test_ctrl_c_leaves(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        person.types(b"\x03")

    assert person.plays(COUNT, script) == 130


def test_a_signal_leaves(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        os.kill(os.getpid(), signal.SIGTERM)

    assert person.plays(COUNT, script) == 143


def test_a_terminal_that_is_gone_ends_it(person: Person) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    playback = Playback(SIZE, lambda: iter(COUNT))
    with standard_streams(read_end, person.slave, person.slave):
        assert Replay(playback, 98.0, 1.0, clock=lambda: 0.0).run(0) == 129
    os.close(read_end)


def test_what_does_harm_is_not_shown_and_modes_are_taken_back(person: Person) -> None:
    events = [shown(0.0, "\x1b[?1049h\x1b[?1000h\x1b[?25l\x1b]52;c;aGk=\x07\x1b[6nmenu"), shown(50.0, "never")]

    def script() -> None:
        person.sees("menu")
        assert person.screen.modes.mouse == 1000
        person.types(b"\x1b[M !!\x1b[<0;5;5M")  # the mouse is no key
        person.types(b"q")

    assert person.plays(events, script) == 0
    assert person.output.wait_for(lambda: person.screen.cursor.visible and not person.screen.modes.alternate, 20)
    assert person.screen.modes.mouse == 0
    assert b"\x1b]52" not in person.output.data
    assert b"\x1b[6n" not in person.output.data


def test_a_larger_recording_is_shown_around_its_cursor(person: Person) -> None:
    wide = Size(rows=40, cols=200)
    events = [shown(0.0, "top\x1b[39;150Hbelow"), shown(10.0, "\x1b[1;1Hagain "), shown(20.0, "")]

    def script() -> None:
        person.sees("below")
        person.sees_no("top")
        person.passes(10.0)
        person.sees("again")
        person.types(b"q")

    assert person.plays(events, script, size=wide) == 0


def test_another_size_in_the_recording_is_drawn_anew(person: Person) -> None:
    events = [shown(0.0, "x" * 90), resized(1.0, Size(rows=10, cols=45)), shown(1.0, "\r\nnarrow"), shown(9.0, "")]

    def script() -> None:
        person.sees("x" * 90)
        person.passes(1.0)
        person.sees("narrow")
        assert person.output.wait_for(lambda: "x" * 46 not in person.text(), 20)
        person.types(b"q")

    assert person.plays(events, script) == 0


def test_another_size_of_this_terminal_is_drawn_anew(person: Person) -> None:
    def script() -> None:
        person.sees("number 0.")
        with person.output.changed:
            person.screen.resize(Size(rows=6, cols=30))
        set_size(person.slave, Size(rows=6, cols=30))
        person.passes(2.0)
        person.sees("number 2.")
        person.types(b"q")

    assert person.plays(COUNT, script) == 0


def test_output_that_is_not_text_is_shown_as_it_was(person: Person, tmp_path: Path) -> None:
    events = [shown(0.0, "ä好\ud800�"), shown(9.0, "")]

    def script() -> None:
        person.sees("ä好")
        person.types(b"q")

    assert person.plays(events, script) == 0
