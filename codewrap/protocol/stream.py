"""Order over a relay that drops, repeats and reorders: bytes with offsets in, the same bytes once and in order out.

`Incoming` is the receiving end (a viewer's output, a host's input per writer), `Outgoing` the sending end that keeps what
was not acknowledged. Both are pure; the caller brings the time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from codewrap.errors import LocalProtocolError

# What waits for an earlier range: enough for a few events out of order, little enough to be asked for again.
MAX_HELD_BYTES = 1024 * 1024
# A host's answer to one request for bytes; whoever lacks more asks again, which is the flow control.
REPLAY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` to ``end`` (exclusive) of a stream."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class Incoming:
    """Puts byte ranges in order. ``expected`` is the offset of the next byte to hand on.

    ``add`` returns what has become continuous; ranges ahead wait, bounded by ``max_held_bytes`` (the furthest are dropped:
    they will be sent again). Nothing is returned twice.
    """

    def __init__(self, expected: int = 0, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self.expected = expected
        self._held: dict[int, bytes] = {}
        self._held_bytes = 0
        self._max_held_bytes = max_held_bytes

    @property
    def gap(self) -> Range | None:
        """The range that is missing in front of what waits, or None."""
        return Range(self.expected, min(self._held)) if self._held else None

    def add(self, offset: int, data: bytes) -> bytes:
        """Take ``data`` at ``offset``; return the bytes that follow on from ``expected``, possibly none."""
        if offset > self.expected:
            self._hold(offset, data)
            return b""
        fresh = data[self.expected - offset :]
        self.expected += len(fresh)
        if not self._held:
            return fresh
        return fresh + self._release()

    def skip_to(self, offset: int) -> bytes:
        """Give up on everything before ``offset``; return what has become continuous from there."""
        if offset > self.expected:
            self.expected = offset
        return self._release()

    def _hold(self, offset: int, data: bytes) -> None:
        if len(data) <= len(self._held.get(offset, b"")):
            return
        self._held_bytes += len(data) - len(self._held.get(offset, b""))
        self._held[offset] = data
        while self._held_bytes > self._max_held_bytes:
            furthest = max(self._held)
            self._held_bytes -= len(self._held.pop(furthest))

    def _release(self) -> bytes:
        parts = []
        while self._held and (offset := min(self._held)) <= self.expected:
            data = self._held.pop(offset)
            self._held_bytes -= len(data)
            fresh = data[self.expected - offset :]
            self.expected += len(fresh)
            parts.append(fresh)
        return b"".join(parts)


@dataclass(slots=True)
class _Unacknowledged:
    offset: int
    data: bytes
    first_sent_s: float


class Outgoing:
    """Numbers bytes, keeps what is not acknowledged, says what to send again and what has become too old.

    ``window_bytes`` bounds what is under way; `put` beyond it raises LocalProtocolError, so ask `room` first.
    """

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._next = 0
        self._acknowledged = 0
        self._kept: deque[_Unacknowledged] = deque()

    @property
    def room(self) -> int:
        """Bytes that may be put now."""
        return self._window_bytes - (self._next - self._acknowledged)

    @property
    def pending_bytes(self) -> int:
        """Bytes put and not acknowledged."""
        return self._next - self._acknowledged

    def put(self, data: bytes, now_s: float) -> int:
        """Number ``data``; returns its offset. The caller sends it."""
        if len(data) > self.room:
            raise LocalProtocolError("more input than the window allows")
        offset = self._next
        if data:
            self._kept.append(_Unacknowledged(offset, data, now_s))
        self._next += len(data)
        return offset

    def acknowledge(self, offset: int) -> None:
        """Everything before ``offset`` has arrived. Offsets never sent are ignored (a peer cannot confirm the future)."""
        if offset > self._next:
            return
        self._acknowledged = max(self._acknowledged, offset)
        while self._kept and self._kept[0].offset + len(self._kept[0].data) <= offset:
            self._kept.popleft()

    def unacknowledged(self) -> tuple[int, bytes]:
        """Offset and bytes to send again, from the first unacknowledged one on; empty when there are none."""
        if not self._kept:
            return self._next, b""
        start = self._kept[0].offset
        data = b"".join(kept.data for kept in self._kept)
        skip = max(self._acknowledged - start, 0)
        return start + skip, data[skip:]

    def oldest_s(self) -> float | None:
        """When the oldest unacknowledged byte was put, or None."""
        return self._kept[0].first_sent_s if self._kept else None

    def restart(self) -> int:
        """Drop what is unacknowledged and number from 0 again (a new writer id goes with it); returns bytes dropped."""
        dropped = self.pending_bytes
        self._kept.clear()
        self._next = self._acknowledged = 0
        return dropped
