"""What a viewer makes of the host's frames: bytes in order, screens, gaps, the end. Pure; the caller brings the time.

It hears one run of the session, and only once that has answered the viewer's challenge: keys follow from a session's name, so
whatever an earlier run of the name said can be opened too, and a relay may have kept it.

A viewer is always either complete or told what it lacks. On a terminal a screen closes any gap; without one (`attach > file`)
bytes are asked for until they have come, or the host says that they are no longer held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from codewrap.protocol.frames import Acked, Beat, Ended, HostFrame, Notice, Output, Resized, Screen
from codewrap.protocol.geometry import Size
from codewrap.protocol.stream import REPLAY_BYTES, Incoming

# A frame out of order is waited for so long before what lies between is asked for.
GAP_PATIENCE_S = 0.15
# Nothing to go by yet: the host is asked; and asked again.
FIRST_SCREEN_PATIENCE_S = 0.5
REPEAT_S = 1.0
MOST_REPEAT_S = 8.0  # each request is a message to pay for: a host that says nothing is asked ever more rarely
MAX_PAST_EPOCHS = 1000
# A reader asks for more when so much of an answer is still to come: the host need not wait for the question.
ASK_AHEAD_BYTES = REPLAY_BYTES // 2


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
    """A line from the host; with ``writer`` for whoever types as that stream."""

    kind: str
    text: str
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Over:
    """The session has ended, and all of it was shown."""

    ended: Ended


Effect = Show | ShowScreen | ShowSize | Gap | NewRun | Confirmed | Told | Over


class _Doubt:
    """Whether the run that is heard is still the one of now: another was heard, which may be a newer or a recording.

    Both are asked by one request, ever more rarely while nothing but the other is heard.
    """

    def __init__(self) -> None:
        self._wait_s = GAP_PATIENCE_S
        self._since_s: float | None = None
        self._asked_s = float("-inf")

    @property
    def stands(self) -> bool:
        """It has not been answered."""
        return self._since_s is not None

    def heard(self, now_s: float) -> None:
        """Somebody else spoke."""
        if self._since_s is None:
            self._since_s = now_s

    def asked(self, now_s: float) -> None:
        """Whoever is there answers now."""
        if self._since_s is not None:
            self._asked_s, self._wait_s = now_s, min(max(REPEAT_S, 2 * self._wait_s), MOST_REPEAT_S)

    def answered(self) -> None:
        """The run that is heard is there."""
        self._since_s = None

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until it is time to ask; None without doubt."""
        if self._since_s is None:
            return None
        return max(0.0, max(self._since_s + GAP_PATIENCE_S, self._asked_s + self._wait_s) - now_s)


class Receiver:
    """One attachment's view of the output. ``wants_bytes``: every byte matters, screens do not.

    ``challenge`` is random, and this attachment's own (`roles.CHALLENGE`).
    """

    def __init__(self, challenge: str, *, wants_bytes: bool) -> None:
        self.wants_bytes = wants_bytes
        self.challenge = challenge
        self.epoch = ""
        """Of the run that is heard; "" until one has answered."""
        self._doubt = _Doubt()
        self.last_heard_s: float | None = None
        self._begun = wants_bytes
        self._incoming = Incoming()
        self._streams: dict[int, str] = {}
        self._parts: dict[int, bytes] = {}
        self._parts_of: tuple[int, int, int] | None = None
        self._heard_of = 0  # the furthest that any frame spoke of
        self._behind_since_s: float | None = None
        self._asked_s: float | None = None
        self._asked_from: int | None = None  # the offset of a request that is not answered whole
        self._answer_to = 0  # where the answer ends, as far as it can be known
        self._repeat_s = REPEAT_S
        self._repaint = True
        self._size: Size | None = None
        self._resizes = 0
        self.key: bytes | None = None
        """What the host signs output with that comes as a client event; None until it has said so."""
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
    def unsure(self) -> bool:
        """No run has answered yet, or another than the one that is heard has spoken: a request is to carry the challenge."""
        return not self.epoch or self._doubt.stands

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
        """What follows from ``frame``; nothing where it is not of the run that is heard, or answers for another."""
        if frame.epoch in self._past_epochs:
            return
        if frame.epoch != self.epoch:
            if not self._is_answer(frame):
                self._doubt.heard(now_s)
                return
            yield from self._new_epoch(frame)
        elif self._is_answer(frame):
            self._doubt.answered()
        self.last_heard_s = now_s
        self._repeat_s = REPEAT_S
        before = self.offset
        match frame:
            case Output():
                if frame.acks:
                    yield Confirmed(frame.acks)
                yield from self._output(frame)
            case Screen():
                yield from self._screen(frame)
            case Resized():
                yield from self._resized(frame)
            case Beat():
                self._beat(frame)
            case Acked():
                yield Confirmed(frame.acks)
            case Notice():
                yield from self._notice(frame)
            case Ended():
                self._ended = frame
        self._stand(frame, before, now_s)
        yield from self._over()

    def ask(self, now_s: float) -> tuple[int, str] | None:
        """A request that is due: (from offset, "screen" or "bytes"), or None. Counts as sent."""
        wait_s = self.wait_s(now_s)
        if wait_s is None or wait_s > 0:
            return None
        self._doubt.asked(now_s)
        if self._asked_s is not None and self._asked_from == self.offset:
            self._repeat_s = min(2 * self._repeat_s, MOST_REPEAT_S)
        self._asked_s, self._asked_from = now_s, self.offset
        known = self._heard_of - self.offset
        self._answer_to = self.offset + (min(known, REPLAY_BYTES) if known > 0 else REPLAY_BYTES)
        return self.offset, "bytes" if self.wants_bytes else "screen"

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until `ask` has something; None while nothing is missing."""
        waits = (self._missing_wait_s(now_s), self._doubt.wait_s(now_s) if self.epoch else None)
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def _missing_wait_s(self, now_s: float) -> float | None:
        if self._begun and self._behind_since_s is None:
            return None
        due_s = now_s if not self._begun or self._behind_since_s is None else self._behind_since_s + GAP_PATIENCE_S
        if self._asked_s is not None:
            due_s = max(due_s, self._asked_s + self._repeat_s)
        if self._asked_from is not None and self.wants_bytes:
            # A long answer is asked on in its second half, a short one when it has come.
            ahead = ASK_AHEAD_BYTES if self._answer_to - self._asked_from > ASK_AHEAD_BYTES else 0
            if self._heard_of > self._answer_to and self.offset >= self._answer_to - ahead:
                return 0.0
            if self.offset > self._asked_from and self._behind_since_s is not None:
                due_s = self._behind_since_s + REPEAT_S  # the answer is on its way
        return max(0.0, due_s - now_s)

    def connected(self, now_s: float) -> None:
        """The link stands (again): what was missed meanwhile is asked for, after the host had the chance to offer it."""
        self._repaint = True
        self._asked_s = now_s - REPEAT_S + (0.0 if self.wants_bytes else FIRST_SCREEN_PATIENCE_S)
        self._asked_from = None
        self._repeat_s = REPEAT_S
        self._behind_since_s = now_s - GAP_PATIENCE_S

    def doubt(self, now_s: float) -> None:
        """Something was said that could not be taken: the host is asked, unless what follows shows that nothing is missing."""
        if self._behind_since_s is None:
            self._behind_since_s = now_s

    def _stand(self, frame: HostFrame, before: int, now_s: float) -> None:
        """Whether more was spoken of than has come, and since when there was no progress."""
        if not isinstance(frame, Acked):
            self._heard_of = max(self._heard_of, frame.end if isinstance(frame, Output) else frame.offset)
        if self.offset >= self._heard_of and self._begun:
            # After a reconnect the host is asked in any case, and whatever it says of where it stands is an answer.
            if not isinstance(frame, Acked):
                self._behind_since_s = self._asked_from = None
        elif self._behind_since_s is None or self.offset > before:
            passed_by = self.wants_bytes and isinstance(frame, Screen)  # nobody will send these bytes unasked
            self._behind_since_s = now_s - (GAP_PATIENCE_S if passed_by else 0.0)

    def _is_answer(self, frame: HostFrame) -> bool:
        return isinstance(frame, Screen | Beat) and self.challenge in frame.answers

    def _new_epoch(self, frame: HostFrame) -> Iterator[Effect]:
        known = bool(self.epoch)
        self._doubt = _Doubt()
        if known:
            self._past_epochs.append(self.epoch)
        self.epoch = frame.epoch
        self._parts = {}
        self._incoming = Incoming()
        self._begun = self.wants_bytes
        self._ended = None
        self._heard_of = self._resizes = 0
        self._streams.clear()
        self._behind_since_s = None
        self.key = None
        if known:
            yield NewRun()

    def _output(self, frame: Output) -> Iterator[Effect]:
        if not self._begun:
            return
        before = self.offset
        if frame.offset > before and frame.data:
            self._streams[frame.offset] = frame.stream
        data = self._incoming.add(frame.offset, frame.data)
        yield from self._shown(before, data, frame.stream)

    def _shown(self, offset: int, data: bytes, stream: str) -> Iterator[Effect]:
        """``data`` may have come together from frames of both streams: cut where they change."""
        if data:
            cuts = sorted(start for start in self._streams if offset < start < offset + len(data))
            for start, end in zip([offset, *cuts], [*cuts, offset + len(data)], strict=True):
                yield Show(data[start - offset : end - offset], self._streams.get(start, stream))
        self._streams = {start: kind for start, kind in self._streams.items() if start >= self.offset}

    def _shown_after(self, offset: int, data: bytes) -> Iterator[Effect]:
        """``data`` that waited, from ``offset`` on: its first frame may have begun before that."""
        begun = max((start for start in self._streams if start <= offset), default=None)
        yield from self._shown(offset, data, "stdout" if begun is None else self._streams[begun])

    def _screen(self, frame: Screen) -> Iterator[Effect]:
        if self.wants_bytes:
            return  # that others jump ahead tells only how far the output is
        data = self._assembled(frame)
        stands = (self.offset, self._resizes)
        if data is None or frame.offset < self.offset or frame.resizes < self._resizes:
            return
        if (frame.offset, frame.resizes) == stands and self._begun and not self._repaint:
            return
        self._size, self._resizes = frame.size, frame.resizes
        skipped = frame.offset - self.offset if self._begun else 0
        joined, self._begun = not self._begun, True
        after = self._incoming.skip_to(frame.offset)
        self._repaint = False
        yield ShowScreen(data, None if frame.plain else frame.size, skipped, joined)
        yield from self._shown_after(frame.offset, after)

    def _resized(self, frame: Resized) -> Iterator[Effect]:
        if frame.resizes > self._resizes and not self.wants_bytes:
            yield ShowSize(frame.size)

    def _beat(self, frame: Beat) -> None:
        self.key = frame.key or self.key
        if frame.resizes > self._resizes and not self.wants_bytes:
            self.repaint()  # the screen that came with that size is lost

    def _assembled(self, frame: Screen) -> bytes | None:
        if frame.parts == 1:
            return frame.data
        screen = (frame.offset, frame.resizes, frame.parts)
        if screen != self._parts_of:
            if self._parts_of is not None and self._parts and screen < self._parts_of:
                return None  # of an older screen, and late
            self._parts_of, self._parts = screen, {}
        self._parts[frame.part] = frame.data
        if len(self._parts) < frame.parts:
            return None
        parts, self._parts = self._parts, {}
        return b"".join(parts[number] for number in sorted(parts))

    def _notice(self, frame: Notice) -> Iterator[Effect]:
        if frame.missing is None:
            yield Told(frame.kind, frame.text, frame.writer)
            return
        start, end = frame.missing
        if start <= self.offset < end:
            yield Gap(self.offset, end)
            yield from self._shown_after(end, self._incoming.skip_to(end))

    def _over(self) -> Iterator[Effect]:
        ended = self._ended
        if ended is None or self.offset < ended.offset or (not self._begun and not self.wants_bytes):
            return
        yield Over(ended)
