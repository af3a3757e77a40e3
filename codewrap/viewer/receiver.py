"""What a viewer makes of the host's frames: bytes in order, screens, gaps, the end. Pure; the caller brings the time.

A viewer is always either complete or told what it lacks. On a terminal a screen closes any gap; without one (`attach > file`)
bytes are asked for until they have come, or the host says that they are no longer held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from codewrap.protocol.frames import Acked, Ended, HostFrame, Notice, Output, Resized, Screen
from codewrap.protocol.geometry import Size
from codewrap.protocol.stream import Incoming

# A frame out of order is waited for so long before what lies between is asked for.
GAP_PATIENCE_S = 0.15
# Nothing to go by yet: the host is asked; and asked again.
FIRST_SCREEN_PATIENCE_S = 0.5
REPEAT_S = 1.0
MAX_PAST_EPOCHS = 16


@dataclass(frozen=True, slots=True)
class Show:
    """Bytes to show, in order, of one stream."""

    data: bytes
    stream: str


@dataclass(frozen=True, slots=True)
class ShowScreen:
    """Everything is to be drawn anew. ``skipped`` bytes went by unseen; ``joined`` is the first screen of an attachment.

    ``size`` is None for a session without a terminal.
    """

    data: bytes
    size: Size | None
    skipped: int
    joined: bool


@dataclass(frozen=True, slots=True)
class ShowSize:
    """The session's terminal has another size from here on."""

    size: Size


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes ``start`` to ``end`` will never come."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NewRun:
    """Another run of a session of this name has begun."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The host has written our input up to these offsets, by writer."""

    acks: dict[str, int]


@dataclass(frozen=True, slots=True)
class Told:
    """A line from the host."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Over:
    """The session has ended, and all of it was shown."""

    ended: Ended


Effect = Show | ShowScreen | ShowSize | Gap | NewRun | Confirmed | Told | Over


class Receiver:
    """One attachment's view of the output. ``wants_bytes``: every byte matters, screens do not."""

    def __init__(self, *, wants_bytes: bool) -> None:
        self.wants_bytes = wants_bytes
        self.epoch = ""
        self.last_heard_s: float | None = None
        self._begun = wants_bytes
        self._incoming = Incoming()
        self._streams: dict[int, str] = {}
        self._parts: dict[int, bytes] = {}
        self._parts_of: tuple[int, int, Size] | None = None
        self._gap_since_s: float | None = None
        self._asked_s: float | None = None
        self._repaint = True
        self._size: Size | None = None
        self._ended: Ended | None = None
        self._past_epochs: deque[str] = deque(maxlen=MAX_PAST_EPOCHS)

    @property
    def offset(self) -> int:
        """The next byte expected."""
        return self._incoming.expected

    @property
    def begun(self) -> bool:
        """Whether bytes that come next can be shown: on a terminal, a screen came first."""
        return self._begun

    @property
    def ended(self) -> Ended | None:
        """The end as the host told it, though bytes before it may still be missing."""
        return self._ended

    def repaint(self) -> None:
        """What is on the screen is spoilt: the next screen is drawn even where nothing was missed."""
        if self._repaint and not self._begun:
            return  # it is being asked for
        self._repaint = True
        if not self.wants_bytes:
            self._begun = False
            self._asked_s = None

    def receive(self, frame: HostFrame, now_s: float) -> Iterator[Effect]:
        """What follows from ``frame``."""
        if frame.epoch in self._past_epochs:
            return
        self.last_heard_s = now_s
        if frame.epoch != self.epoch:
            yield from self._new_epoch(frame)
        match frame:
            case Output():
                if frame.acks:
                    yield Confirmed(frame.acks)
                yield from self._output(frame, now_s)
            case Screen():
                yield from self._screen(frame)
            case Resized():
                yield ShowSize(frame.size)
            case Acked():
                yield Confirmed(frame.acks)
            case Notice():
                yield from self._notice(frame)
            case Ended():
                self._ended = frame
        yield from self._over()

    def ask(self, now_s: float) -> tuple[int, str] | None:
        """A request that is due: (from offset, "screen" or "bytes"), or None. Counts as sent."""
        if not self._lacking(now_s):
            return None
        if self._asked_s is not None and now_s - self._asked_s < REPEAT_S:
            return None
        self._asked_s = now_s
        return self.offset, "bytes" if self.wants_bytes else "screen"

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `ask` may have something; None while nothing is missing."""
        if self._gap_since_s is None and self._begun and not self._short_of_end():
            return None
        due = [now_s]
        if self._gap_since_s is not None:
            due.append(self._gap_since_s + GAP_PATIENCE_S)
        if self._asked_s is not None:
            due.append(self._asked_s + REPEAT_S)
        return max(due) - now_s

    def connected(self, now_s: float) -> None:
        """The link stands (again): what was missed meanwhile is asked for, after the host had the chance to offer it."""
        self._repaint = True
        self._asked_s = now_s - REPEAT_S + (0.0 if self.wants_bytes else FIRST_SCREEN_PATIENCE_S)
        self._gap_since_s = now_s - GAP_PATIENCE_S

    def _lacking(self, now_s: float) -> bool:
        waited = self._gap_since_s is not None and now_s - self._gap_since_s >= GAP_PATIENCE_S
        return waited or not self._begun or self._short_of_end()

    def _short_of_end(self) -> bool:
        return self._ended is not None and self.offset < self._ended.offset

    def _new_epoch(self, frame: HostFrame) -> Iterator[Effect]:
        known = bool(self.epoch)
        if known:
            self._past_epochs.append(self.epoch)
        self.epoch = frame.epoch
        self._parts = {}
        self._incoming = Incoming()
        self._begun = self.wants_bytes
        self._ended = None
        self._gap_since_s = None
        if known:
            yield NewRun()

    def _output(self, frame: Output, now_s: float) -> Iterator[Effect]:
        if not self._begun:
            return
        before = self.offset
        if frame.offset > before:
            self._streams[frame.offset] = frame.stream
            if len(self._streams) > 1000:
                self._streams.pop(min(self._streams))
        data = self._incoming.add(frame.offset, frame.data)
        yield from self._shown(before, data, frame.stream)
        if self._incoming.gap is not None:
            if self._gap_since_s is None or data:
                self._gap_since_s = now_s
        else:
            self._gap_since_s = None
            self._streams.clear()
        if data and self.wants_bytes:
            self._asked_s = None

    def _shown(self, offset: int, data: bytes, stream: str) -> Iterator[Effect]:
        """``data`` may have come together from frames of both streams: cut where they change."""
        if not data:
            return
        cuts = sorted(start for start in self._streams if offset < start < offset + len(data))
        for start, end in zip([offset, *cuts], [*cuts, offset + len(data)], strict=True):
            yield Show(data[start - offset : end - offset], self._streams.get(start, stream))

    def _screen(self, frame: Screen) -> Iterator[Effect]:
        if self.wants_bytes:
            if frame.offset > self.offset and self._gap_since_s is None:
                self._gap_since_s = 0.0  # others jump ahead: what lies between must be asked for
            return
        data = self._assembled(frame)
        if data is None or frame.offset < self.offset:
            return
        if frame.offset == self.offset and self._begun and not self._repaint and frame.size == self._size:
            return
        self._size = frame.size
        skipped = frame.offset - self.offset if self._begun else 0
        joined, self._begun = not self._begun, True
        before = self.offset
        after = self._incoming.skip_to(frame.offset)
        self._repaint = False
        self._gap_since_s = None if self._incoming.gap is None else self._gap_since_s
        yield ShowScreen(data, None if frame.plain else frame.size, skipped, joined)
        yield from self._shown(max(before, frame.offset), after, "stdout")

    def _assembled(self, frame: Screen) -> bytes | None:
        if frame.parts == 1:
            return frame.data
        if (frame.offset, frame.parts, frame.size) != self._parts_of:
            self._parts_of, self._parts = (frame.offset, frame.parts, frame.size), {}
        self._parts[frame.part] = frame.data
        if len(self._parts) < frame.parts:
            return None
        parts, self._parts = self._parts, {}
        return b"".join(parts[number] for number in sorted(parts))

    def _notice(self, frame: Notice) -> Iterator[Effect]:
        if frame.missing is None:
            yield Told(frame.kind, frame.text)
            return
        start, end = frame.missing
        if start <= self.offset < end:
            before = self.offset
            yield Gap(before, end)
            after = self._incoming.skip_to(end)
            self._gap_since_s = None if self._incoming.gap is None else self._gap_since_s
            yield from self._shown(end, after, "stdout")

    def _over(self) -> Iterator[Effect]:
        ended = self._ended
        if ended is None or self.offset < ended.offset or (not self._begun and not self.wants_bytes):
            return
        yield Over(ended)
