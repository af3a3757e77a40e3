"""A writer's keystrokes on their way to the host: numbered, resent until acknowledged, dropped when too old. Pure.

A Ctrl-C of two minutes ago must not arrive: what nobody has acknowledged for EXPIRY_S is dropped, and said to be dropped. A
host that says "no further than before" is there, and its command does not read: as at a terminal, what is typed waits.
"""

from __future__ import annotations

from collections.abc import Callable

from codewrap.protocol.frames import Input
from codewrap.protocol.stream import Outgoing

NewWriter = Callable[[], str]

EXPIRY_S = 10.0
RESEND_S = 1.0
# A host whose command does not read is asked this often, with one frame.
PROBE_S = 3.0
# One event: well inside every broker's limit once sealed, and a paste takes few of them.
CHUNK_BYTES = 4 * 1024
LARGE_CHUNK_BYTES = 16 * 1024
WINDOW_CHUNKS = 16


class Sender:
    """The sending end of one writer. ``new_writer`` makes a fresh id: after a drop the host must not wait for the lost bytes.

    ``chunk_bytes`` go in one event at most, and WINDOW_CHUNKS times that is under way.
    """

    def __init__(self, new_writer: NewWriter, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._new_writer = new_writer
        self._chunk_bytes = chunk_bytes
        self._window_bytes = WINDOW_CHUNKS * chunk_bytes
        self.writer = new_writer()
        self._outgoing = Outgoing(self._window_bytes)
        self._waiting = bytearray()
        self._waiting_since_s = 0.0
        self._sent_s: float | None = None
        self._heard_s = float("-inf")
        self._stalled = False  # the host is there, and takes no more
        self._resend = False

    @property
    def full(self) -> bool:
        """No more should be read from the keyboard now."""
        return len(self._waiting) >= self._window_bytes

    @property
    def pending_bytes(self) -> int:
        """Typed and not yet confirmed."""
        return self._outgoing.pending_bytes + len(self._waiting)

    @property
    def ready(self) -> bool:
        """`due` would give something now."""
        return self._resend or (bool(self._waiting) and self._outgoing.room > 0)

    def type(self, data: bytes, now_s: float) -> None:
        """Keystrokes, to be sent when there is room."""
        if not self._waiting:
            self._waiting_since_s = now_s
        self._waiting += data

    def due(self, epoch: str, now_s: float) -> list[Input]:
        """Frames to send now, in order. Call it after `type`, `confirm`, a reconnect, and when `wait_s` is over."""
        found: list[Input] = []
        if self._resend or self.is_overdue(now_s):
            offset, data = self._outgoing.unacknowledged()
            probing = self._stalled and not self._resend
            found += self._frames(epoch, offset, data[: self._chunk_bytes] if probing else data)
            self._resend = False
        while self._waiting and self._outgoing.room > 0:
            data = bytes(self._waiting[: min(self._chunk_bytes, self._outgoing.room)])
            del self._waiting[: len(data)]
            found += self._frames(epoch, self._outgoing.put(data, now_s), data)
        if found:
            self._sent_s = now_s
        return found

    def unsent(self) -> None:
        """What `due` gave could not be sent: it is given again."""
        self._resend = True

    def confirm(self, acks: dict[str, int], now_s: float) -> None:
        """The host has written our input up to here."""
        if self.writer not in acks:
            return
        before = self._outgoing.pending_bytes
        self._outgoing.acknowledge(acks[self.writer])
        pending = self._outgoing.pending_bytes
        self._heard_s = now_s
        self._stalled = pending == before
        self._sent_s = now_s if pending else None

    def expire(self, now_s: float) -> int:
        """Drop everything when nobody has acknowledged any of it for too long; returns how many bytes."""
        oldest_s = self._outgoing.oldest_s()
        if oldest_s is None and self._waiting:
            oldest_s = self._waiting_since_s  # nothing is under way: it waits for a session that does not answer
        if oldest_s is None or now_s - max(oldest_s, self._heard_s) < EXPIRY_S:
            return 0
        return self.forget()

    def forget(self) -> int:
        """Drop everything not confirmed, and begin as a new writer; returns how many bytes."""
        dropped = self._outgoing.restart() + len(self._waiting)
        self._waiting.clear()
        self.writer = self._new_writer()
        self._sent_s = None
        self._resend = self._stalled = False
        return dropped

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until something must be done (resend or expire); None when nothing is under way."""
        if self._outgoing.pending_bytes == 0 or self._sent_s is None:
            return max(0.0, self._waiting_since_s + EXPIRY_S - now_s) if self._waiting else None
        return max(0.0, self._sent_s + self._again_s - now_s)

    def is_unheard(self, now_s: float) -> bool:
        """What is under way has not been answered in time, and nothing says that the host is there."""
        return not self._stalled and self.is_overdue(now_s)

    @property
    def _again_s(self) -> float:
        return PROBE_S if self._stalled else RESEND_S

    def is_overdue(self, now_s: float) -> bool:
        """What is under way has not been confirmed in time."""
        return self._outgoing.pending_bytes > 0 and self._sent_s is not None and now_s - self._sent_s >= self._again_s

    def _frames(self, epoch: str, offset: int, data: bytes) -> list[Input]:
        size = self._chunk_bytes
        return [Input(epoch, self.writer, offset + at, data[at : at + size]) for at in range(0, len(data), size)]
