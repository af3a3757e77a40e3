"""What goes to the session: keystrokes, this terminal's size, requests. As client events, or over HTTP where those are refused;
keystrokes by the lane to a host on this machine, where there is one.

Never waits. What is typed is kept, resent and given up by the sender; here it is only sealed and handed on, one frame after
the other, as fast as the broker takes them. The key for it is granted for a while: a new one is asked for before that is over.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass

from codewrap.protocol import channels, frames, grants, sealing
from codewrap.protocol.frames import Input, Resize, Sync
from codewrap.protocol.geometry import Size
from codewrap.transport.base import Event, Subscriber
from codewrap.viewer.httppath import HttpPath, SendOverHttp
from codewrap.viewer.leave import Leave
from codewrap.viewer.sender import CHUNK_BYTES, LARGE_CHUNK_BYTES, Sender
from codewrap.viewer.shortcut import Shortcut

# A host that does not answer may know of another key, or of a revocation: so old a grant is asked for anew then, and as often.
DOUBTED_AFTER_S = 3.0


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
        self.leave_to_type = Leave()
        self.sender = Sender(self.leave_to_type.new_stream, chunk_bytes)
        self._client_events = True
        self._due: deque[Input] = deque()
        self._next_s = 0.0
        self._size: Size | None = None
        self._size_sent: Size | None = None
        self._presence_channel = channels.presence_channel(session)
        self._input_channel = channels.input_channel(session)
        self._grant: grants.Grant | None = None
        self._granted_s = self._asked_s = float("-inf")
        self._let: bool | None = None  # None: the server has not said yet
        self._over = False

    @property
    def channels(self) -> list[str]:
        """Those of input; none where nothing may be typed."""
        return [] if self._rules.read_only else [self._input_channel]

    def granted(self, now_s: float) -> None:
        """The channel of input was authorized, for the first time or anew: what was refused before is past."""
        if self._let and self.sender.is_unheard(now_s):
            self.unsent()
        self._grant, self._granted_s = self._subscriber.grant(self._input_channel), now_s
        self._let, self._over = True, False

    def refused(self) -> bool:
        """The server lets us type no more: nothing leaves until it does again. True where that is new."""
        new, self._let = self._let is not False, False
        return new

    def type(self, data: bytes, epoch: str, now_s: float) -> None:
        """Keystrokes for the run ``epoch`` ("": none is known yet, they wait)."""
        self.sender.type(data, now_s)
        self.send(epoch, now_s)

    def send(self, epoch: str, now_s: float) -> None:
        """Send what is due. Call it after every turn: it also sends again what was not confirmed in time."""
        if not epoch or self._rules.read_only:
            return
        self._mind_grant(now_s)
        self._tell_size(epoch)
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

    def told(self, kind: str, text: str, stream: str, now_s: float) -> str | None:
        """The host has said ``kind`` of the stream of some writer; what to tell the person, None: it is not ours.

        If it is ours, of what it was sent something was consumed: the rest of it must not arrive either.
        """
        if not self.leave_to_type.is_ours(stream):
            return None
        if stream == self.sender.writer:
            self._due.clear()
            self.sender.forget()
        code = grants.check_code(self._grant.key, stream) if self._grant is not None else ""
        return self.leave_to_type.told(kind, text, code, now_s)

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
        self._size = self._size_sent = None

    def announce(self, size: Size, epoch: str, now_s: float) -> None:
        """Tell this terminal's size, as soon as that can be: a host without a terminal follows its writers'."""
        if self._rules.read_only or not epoch:
            return
        self._size = size.clamped()
        self._mind_grant(now_s)
        self._tell_size(epoch)

    def request(self, epoch: str, offset: int, want: str, challenge: str) -> None:
        """Ask for a screen or for bytes from ``offset`` on; whoever answers ``challenge`` as well is there now."""
        text = frames.encode(Sync(epoch, offset, want, challenge))
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
        if connected and self._may_send and self._rules.interval_s and (self._due or self.sender.ready):
            waits.append(max(0.0, self._next_s - now_s))
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def _may_send(self) -> bool:
        """Nothing goes in clear because a grant is missing, and nothing that the host will refuse."""
        return bool(self._let) and not self._over and (self._grant is not None or not self._rules.encrypted)

    def _mind_grant(self, now_s: float) -> None:
        """Ask for a new one where less than a third is left, or the host leaves unanswered what came with this one."""
        waits = self._due or self.sender.pending_bytes or self._size != self._size_sent
        if self._grant is None or not self._let or not waits:
            return
        age_s = now_s - self._granted_s
        self._over = age_s >= grants.LIFE_S
        doubted = age_s >= DOUBTED_AFTER_S and self.sender.is_unheard(now_s)
        if (doubted or age_s >= grants.RENEW_AFTER_S) and now_s - self._asked_s >= DOUBTED_AFTER_S:
            self._asked_s = now_s
            self._subscriber.renew(self._input_channel)

    def _tell_size(self, epoch: str) -> None:
        size = self._size
        if size is not None and size != self._size_sent and self._send_frame(Resize(epoch, self.sender.writer, size)):
            self._size_sent = size

    def _send_frame(self, frame: Input | Resize) -> bool:
        if not self._may_send:
            return False
        text, grant = frames.encode(frame), self._grant
        sealed = text if grant is None else grants.seal(text, grant, os.urandom(sealing.NONCE_BYTES))
        if self._client_events and self._subscriber.send(self._input_channel, channels.EVENT_CLIENT_INPUT, sealed):
            return True
        if self._client_events:
            return False  # not connected: it would be late, and is sent again anyway
        return self._http.send(Event(self._input_channel, channels.EVENT_INPUT, sealed))
