"""How output becomes events: split by the broker's limit on encoded bytes, batched, paced by what the broker takes.

Pure: sizes and times are arguments. `fit` decides how many bytes one event can carry; `Pace` when the next publish may leave.
"""

from __future__ import annotations

from dataclasses import dataclass

from codewrap.errors import LocalProtocolError
from codewrap.protocol import frames, sealing

MAX_BATCH = 10  # Pusher HTTP API: events per batch


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What the broker takes: encoded bytes of one event, events of one batch, seconds between publishes."""

    event_bytes: int = 10_240
    batch_events: int = MAX_BATCH
    batch_bytes: int = 1_000_000
    min_interval_s: float = 0.0

    def plain_bytes(self, *, sealed: bool) -> int:
        """The most bytes of frame text in one event."""
        return sealing.largest_plain(self.event_bytes) if sealed else self.event_bytes


def encode_output(frame: frames.Output, plain_limit: int) -> list[tuple[int, str]]:
    """Split ``frame`` into texts of at most ``plain_limit`` encoded bytes: a list of (end offset, text) in order.

    Compressed size cannot be known beforehand, so a piece that turns out too large is halved. Cuts fall between characters
    where they can, so that text stays text. Acknowledgements that leave output too little room go ahead in frames of their
    own. Raises LocalProtocolError where not even one byte fits.
    """
    text = frames.encode(frame)
    if len(text.encode()) <= plain_limit:
        return [(frame.end, text)]
    if frame.acks:
        ahead = frames.Output(frame.epoch, frame.offset, b"", frame.stream, frame.acks)
        if not frame.data:
            return _encode_halves(frame, plain_limit)
        if len(frame.data) == 1 or len(frames.encode(ahead)) > plain_limit // 2:
            rest = frames.Output(frame.epoch, frame.offset, frame.data, frame.stream)
            return encode_output(ahead, plain_limit) + encode_output(rest, plain_limit)
    if len(frame.data) < 2:
        raise LocalProtocolError("an event is too small for one byte of output")
    cut = character_boundary(frame.data, len(frame.data) // 2)
    first = frames.Output(frame.epoch, frame.offset, frame.data[:cut], frame.stream, frame.acks)
    second = frames.Output(frame.epoch, frame.offset + cut, frame.data[cut:], frame.stream)
    return encode_output(first, plain_limit) + encode_output(second, plain_limit)


def _encode_halves(frame: frames.Output, plain_limit: int) -> list[tuple[int, str]]:
    """The same for acknowledgements alone."""
    acks = list(frame.acks.items())
    if len(acks) < 2:
        raise LocalProtocolError("an event is too small for one acknowledgement")
    texts = []
    for half in (acks[: len(acks) // 2], acks[len(acks) // 2 :]):
        part = frames.Output(frame.epoch, frame.offset, b"", frame.stream, dict(half))
        texts += encode_output(part, plain_limit)
    return texts


def character_boundary(data: bytes, near: int) -> int:
    """The offset of a UTF-8 character's first byte at or up to three bytes before ``near``; ``near`` if there is none."""
    for back in range(min(4, near)):
        if data[near - back] & 0xC0 != 0x80:
            return near - back
    return near


class Pace:
    """Says when the next publish may leave, so that a minimum interval between publishes holds."""

    def __init__(self, min_interval_s: float) -> None:
        self._min_interval_s = min_interval_s
        self._last_s: float | None = None
        self._held_until_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds to wait before publishing; 0 when it may leave at once."""
        due_s = self._held_until_s
        if self._last_s is not None:
            due_s = max(due_s, self._last_s + self._min_interval_s)
        return max(0.0, due_s - now_s)

    def published(self, now_s: float) -> None:
        """A publish has left."""
        self._last_s = now_s

    def hold_until(self, until_s: float) -> None:
        """The broker asked for quiet (429, Retry-After), or failed: nothing leaves before."""
        self._held_until_s = max(self._held_until_s, until_s)
