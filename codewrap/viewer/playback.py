"""Where a replay stands: the recorded terminal as it was at any moment, forwards and back. No terminal of ours, no clock.

A recording can only be played forwards. To go back it is played from its beginning, which is exact; in a long one from a screen
kept on the way, every `KEYFRAME_BYTES` of output, which is what a viewer gets who joins there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from codewrap.protocol.asciicast import Code, Event
from codewrap.protocol.geometry import Size
from codewrap.terminal.emulator import Screen

KEYFRAME_BYTES: Final = 1 << 22
"""Played in some tenths of a second."""
MAX_KEYFRAMES: Final = 512


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The screen before event number ``index``, at ``time_s``."""

    index: int
    time_s: float
    size: Size
    drawn: bytes


class Playback:
    """``events`` gives the recording from its beginning, each time it is called."""

    def __init__(self, size: Size, events: Callable[[], Iterator[Event]], idle_limit_s: float = math.inf) -> None:
        self._events = events
        self._idle_limit_s = idle_limit_s
        self._keyframes = [Keyframe(0, 0.0, size.clamped(), b"")]
        self._every_bytes = KEYFRAME_BYTES
        self._screen: Screen
        self._coming: Iterator[Event]
        self._next: Event | None
        self._index = self._fed_bytes = 0
        self._time_s = self._last_s = 0.0
        self._begin(self._keyframes[0])

    @property
    def screen(self) -> Screen:
        """The recorded terminal, as it is now."""
        return self._screen

    @property
    def time_s(self) -> float:
        """Where it stands, in seconds of playing."""
        return self._time_s

    @property
    def due_s(self) -> float | None:
        """When the next event is; None at the end."""
        return self._next.time_s if self._next is not None else None

    def step(self) -> Event | None:
        """Let the next event happen, and say what it was; None at the end."""
        event = self._next
        if event is not None:
            self._happen(event)
        return event

    def seek(self, time_s: float) -> None:
        """Stand at ``time_s``, with everything that had happened by then."""
        time_s = max(0.0, time_s)
        if time_s < self._time_s:
            at = bisect_right(self._keyframes, time_s, key=_time)
            self._begin(self._keyframes[at - 1])
        while self._next is not None and self._next.time_s <= time_s:
            self._happen(self._next)
        self._time_s = time_s if self._next is not None else max(min(time_s, self._last_s), self._time_s)

    def reach(self, time_s: float) -> None:
        """Time has passed without an event."""
        self._time_s = max(self._time_s, time_s)

    def _happen(self, event: Event) -> None:
        self._time_s = self._last_s = event.time_s
        if event.code is Code.OUTPUT:
            data = event.data.encode(errors="replace")
            self._screen.feed(data)
            self._fed_bytes += len(data)
        elif event.size is not None:
            self._screen.resize(event.size)
        self._index += 1
        self._next = next(self._coming, None)
        self._keep()

    def _keep(self) -> None:
        """A keyframe, now and then; in a very long recording ever more rarely."""
        last = self._keyframes[-1]
        if self._index <= last.index or self._fed_bytes < self._every_bytes:
            return
        self._fed_bytes = 0
        self._keyframes.append(Keyframe(self._index, self._time_s, self._screen.size, self._screen.snapshot()))
        if len(self._keyframes) > MAX_KEYFRAMES:
            del self._keyframes[1::2]
            self._every_bytes *= 2

    def _begin(self, frame: Keyframe) -> None:
        self._screen = Screen(frame.size, scrollback_lines=0)
        self._screen.feed(frame.drawn)
        self._index, self._time_s, self._last_s, self._fed_bytes = frame.index, frame.time_s, frame.time_s, 0
        self._coming = islice(without_idle(self._events(), self._idle_limit_s), frame.index, None)
        self._next = next(self._coming, None)


def _time(frame: Keyframe) -> float:
    return frame.time_s


def without_idle(events: Iterable[Event], limit_s: float) -> Iterator[Event]:
    """The same, but nothing takes longer than ``limit_s``."""
    before_s = left_out_s = 0.0
    for event in events:
        left_out_s += max(0.0, event.time_s - before_s - limit_s)
        before_s = event.time_s
        yield Event(event.time_s - left_out_s, event.code, event.data) if left_out_s else event


def length_s(times: Iterable[float], limit_s: float) -> float:
    """How long it plays."""
    total_s = before_s = 0.0
    for time_s in times:
        total_s += min(limit_s, max(0.0, time_s - before_s))
        before_s = max(before_s, time_s)
    return total_s
