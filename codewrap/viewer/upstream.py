"""What goes to the session: keystrokes, this terminal's size, requests. As client events, or over HTTP where those are refused;
keystrokes by the lane to a host on this machine, where there is one.

Never waits. What is typed is kept, resent and given up by the sender; here it is only sealed and handed on, one frame after
the other, as fast as the broker takes them.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from dataclasses import dataclass

from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.transport.base import Event, Subscriber
from codewrap.viewer.httppath import HttpPath, SendOverHttp
from codewrap.viewer.sender import CHUNK_BYTES, LARGE_CHUNK_BYTES, Sender
from codewrap.viewer.shortcut import Shortcut


@dataclass(frozen=True, slots=True)
class InputRules:
    """``read_only``: nothing is typed, no size told. ``encrypted``: nothing leaves without a key."""

    read_only: bool
    encrypted: bool
    interval_s: float


class Upstream:
    """One attachment's way to its session. The sender is its own; read ``sender`` for what is not yet confirmed."""

    def __init__(
        self,
        session: str,
        rules: InputRules,
        subscriber: Subscriber,
        send_over_http: SendOverHttp,
        shortcut: Shortcut | None = None,
    ) -> None:
        self._rules = rules
        self._shortcut = shortcut or Shortcut(None)
        self._subscriber = subscriber
        self._http = HttpPath(send_over_http)
        # A broker that counts events by the second has small ones too.
        chunk_bytes = CHUNK_BYTES if rules.interval_s else LARGE_CHUNK_BYTES
        self.sender = Sender(lambda: secrets.token_hex(8), chunk_bytes)
        self._client_events = True
        self._due: deque[Input] = deque()
        self._next_s = 0.0
        self._size_sent: Size | None = None
        self._presence_channel = channels.presence_channel(session)
        self._input_channel = channels.input_channel(session)
        self._sealed_input_channel = channels.sealed_input_channel(session)

    @property
    def channels(self) -> list[str]:
        """Those of input; none where nothing may be typed."""
        return [] if self._rules.read_only else [self._sealed_input_channel, self._input_channel]

    def type(self, data: bytes, epoch: str, now_s: float) -> None:
        """Keystrokes for the run ``epoch`` ("": none is known yet, they wait)."""
        self.sender.type(data, now_s)
        self.send(epoch, now_s)

    def send(self, epoch: str, now_s: float) -> None:
        """Send what is due. Call it after every turn: it also sends again what was not confirmed in time."""
        if not epoch or self._rules.read_only:
            return
        by_broker = self.sender.is_overdue(now_s)
        if not self._due:
            self._due.extend(self.sender.due(epoch, now_s))
        while not by_broker and self._due and self._shortcut.send(self._due[0]):
            self._due.popleft()
        while self._due and (not self._client_events or now_s >= self._next_s):
            if not self._send_frame(self._due.popleft()):
                self.unsent()
                return
            self._next_s = now_s + self._rules.interval_s

    def confirm(self, acks: dict[str, int], epoch: str, now_s: float) -> None:
        """The host has written input up to these offsets, by writer: there is room for more."""
        self.sender.confirm(acks, now_s)
        self.send(epoch, now_s)

    def unsent(self) -> None:
        """What was under way may be lost: it begins anew with what is not confirmed."""
        self._due.clear()
        self.sender.unsent()

    def use_http(self) -> None:
        """The broker refuses client events."""
        self._client_events = False
        self.unsent()

    def expire(self, now_s: float) -> int:
        """Drop what is too old to arrive; returns how many bytes."""
        dropped = self.sender.expire(now_s)
        if dropped:
            self._due.clear()
        return dropped

    def begin_anew(self) -> None:
        """Another run: nothing of what was typed for the one before is for it, and it does not know our size."""
        self._due.clear()
        self.sender.forget()
        self._size_sent = None

    def announce(self, size: Size, epoch: str) -> None:
        """Tell this terminal's size, if it is not known: a host without a terminal follows its writers'."""
        if self._rules.read_only or not epoch:
            return
        clamped = size.clamped()
        if clamped != self._size_sent and self._send_frame(Resize(epoch, self.sender.writer, clamped)):
            self._size_sent = clamped

    def request(self, epoch: str, offset: int, want: str) -> None:
        """Ask for a screen or for bytes from ``offset`` on."""
        text = frames.encode(Sync(epoch, offset, want))
        if self._client_events and self._subscriber.send(self._presence_channel, channels.EVENT_CLIENT_SYNC, text):
            return
        self._http.send(Event(self._presence_channel, channels.EVENT_SYNC, text))

    def leave(self, epoch: str, offset: int) -> None:
        """Say that nothing is lacking: a host whose command has ended need not wait for us."""
        if epoch and self._client_events:
            text = frames.encode(Sync(epoch, offset, "nothing"))
            self._subscriber.send(self._presence_channel, channels.EVENT_CLIENT_SYNC, text)

    def wait_s(self, now_s: float, *, connected: bool) -> float | None:
        """Seconds until `send` or `expire` has something to do; None when nothing is under way."""
        waits = [self.sender.wait_s(now_s)]
        if connected and self._rules.interval_s and (self._due or self.sender.ready):
            waits.append(max(0.0, self._next_s - now_s))
        return min((wait for wait in waits if wait is not None), default=None)

    def _send_frame(self, frame: Input | Resize) -> bool:
        text = frames.encode(frame)
        key = self._subscriber.shared_secret(self._sealed_input_channel)
        if key is None and self._rules.encrypted:
            return False
        sealed = text if key is None else sealing.seal(text, key, os.urandom(sealing.NONCE_BYTES))
        if self._client_events and self._subscriber.send(self._input_channel, channels.EVENT_CLIENT_INPUT, sealed):
            return True
        if self._client_events:
            return False  # not connected: it would be late, and is sent again anyway
        channel = self._input_channel if key is None else self._sealed_input_channel
        return self._http.send(Event(channel, channels.EVENT_INPUT, sealed))
