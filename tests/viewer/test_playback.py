"""Forwards, back, and in steps: the screen at a moment is the same, however one came there."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from codewrap.protocol.asciicast import Code, Event, resized
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen
from codewrap.viewer import playback as module
from codewrap.viewer.playback import Playback, length_s, without_idle

SIZE = Size(rows=5, cols=20)


def recording(seed: int, count: int = 300, *, calm: bool = False) -> list[Event]:
    """Text, colours, movements, two events at one moment; another size now and then, and other screens, unless it is ``calm``."""
    chance = random.Random(seed)
    parts = ["abc ", "\x1b[31m", "\x1b[m", "\r\n", "\x1b[2;3H", "ä好", "\x1b[J"]
    parts += [] if calm else ["\x1b[?1049h", "\x1b[?1049l", "\x1b7", "\x1b8"]
    events, time_s = [], 0.0
    for _ in range(count):
        time_s += chance.choice((0.0, 0.5, 1.0))
        if not calm and chance.random() < 0.03:
            events.append(resized(time_s, Size(rows=chance.randint(3, 8), cols=chance.randint(10, 30))))
        elif chance.random() < 0.05:
            events.append(Event(time_s, Code.MARKER, "here"))
        else:
            events.append(Event(time_s, Code.OUTPUT, "".join(chance.choices(parts, k=4))))
    return events


def playing(events: list[Event], **how: float) -> Playback:
    return Playback(SIZE, lambda: iter(events), **how)


def look(playback: Playback) -> object:
    screen = playback.screen
    return screen.text(), screen.cursor, screen.size, [screen.cells(row) for row in range(screen.size.rows)]


def test_steps_are_the_events_and_then_nothing() -> None:
    events = [Event(1.0, Code.OUTPUT, "a"), Event(1.0, Code.OUTPUT, "b"), Event(3.0, Code.MARKER, "m")]
    playback = playing(events)
    assert (playback.time_s, playback.due_s) == (0.0, 1.0)
    assert [playback.step() for _ in range(4)] == [*events, None]
    assert (playback.time_s, playback.due_s) == (3.0, None)
    assert playback.screen.text()[0] == "ab"


def test_an_empty_recording_is_over_at_once() -> None:
    playback = playing([])
    playback.seek(10.0)
    assert (playback.due_s, playback.time_s) == (None, 0.0)


@pytest.mark.parametrize("keyframe_bytes", [module.KEYFRAME_BYTES, 200])
@pytest.mark.parametrize("seed", range(8))
def test_the_screen_of_a_moment_is_the_same_whichever_way_one_came(
    seed: int, keyframe_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYFRAME_BYTES", keyframe_bytes)
    # A screen that is drawn anew lacks what cannot be seen: how its lines flow into another size, colours of saved cursors.
    events = recording(seed, calm=keyframe_bytes == 200)
    jumping = playing(events)
    chance = random.Random(seed)
    for _ in range(40):
        target_s = max(0.0, chance.uniform(-5.0, events[-1].time_s + 5.0))
        jumping.seek(target_s)
        straight = playing(events)
        while straight.due_s is not None and straight.due_s <= target_s:
            straight.step()
        assert look(jumping) == look(straight), f"seed {seed}, at {target_s}"
        assert jumping.due_s == straight.due_s
        assert 0 <= jumping.time_s <= events[-1].time_s


def test_going_back_begins_at_the_last_screen_that_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYFRAME_BYTES", 100)
    monkeypatch.setattr(module, "MAX_KEYFRAMES", 8)
    fed = 0

    class Counted(Screen):
        def feed(self, data: bytes) -> None:
            nonlocal fed
            fed += len(data)
            super().feed(data)

    monkeypatch.setattr(module, "Screen", Counted)
    events = [Event(float(at), Code.OUTPUT, f"{at:04}\r\n") for at in range(1000)]
    playback = playing(events)
    playback.seek(999.0)
    before = fed
    playback.seek(990.0)
    assert playback.screen.text()[3] == "0990"
    assert fed - before < 3000  # of 6000 bytes, the kept screen counted


def test_time_goes_on_without_events() -> None:
    playback = playing([Event(10.0, Code.OUTPUT, "x")])
    playback.reach(4.0)
    assert playback.time_s == 4.0
    playback.reach(1.0)
    assert playback.time_s == 4.0
    playback.seek(2.0)
    assert (playback.time_s, playback.due_s) == (2.0, 10.0)


def test_pauses_are_no_longer_than_the_limit() -> None:
    events = [Event(at, Code.OUTPUT, "x") for at in (5.0, 5.5, 20.0, 20.0, 23.0)]
    assert [event.time_s for event in without_idle(events, 2.0)] == [2.0, 2.5, 4.5, 4.5, 6.5]
    assert list(without_idle(events, float("inf"))) == events
    assert length_s([event.time_s for event in events], 2.0) == 6.5
    assert length_s([], 2.0) == 0.0
    playback = playing(events, idle_limit_s=2.0)
    playback.seek(100.0)
    assert playback.time_s == 6.5


def test_events_are_read_anew_and_not_kept() -> None:
    opened = 0

    def events() -> Iterator[Event]:
        nonlocal opened
        opened += 1
        yield Event(1.0, Code.OUTPUT, "a")
        yield Event(2.0, Code.OUTPUT, "b")

    playback = Playback(SIZE, events)
    playback.seek(2.0)
    playback.seek(1.0)
    assert (opened, playback.screen.text()[0]) == (2, "a")
