"""Echo that waits for no HTTP request: small output as a client event, ahead of being published, where all present take that.

A client event needs no signature of the broker's app, so it carries one of the host's own (`protocol/sealing.py`). It is never
confirmed, and who is not on the presence channel does not hear it: what goes this way is published all the same.
"""

from __future__ import annotations

from collections.abc import Callable

from codewrap.protocol import channels, sealing
from codewrap.protocol.frames import Acked, Output

MAX_TEXT_CHARS = 2048
# Output that follows closer than this is no echo: publishing gathers it into fewer events.
APART_S = 0.01
REFUSED_FOR_S = 60.0
_SMALL = (Output.event, Acked.event)

SendClientEvent = Callable[[str, str, str], bool]


class QuickPath:
    """One session's client events. ``send`` is the subscriber's; ``seed`` makes the key that output is signed with."""

    def __init__(self, session: str, output_channel: str, send: SendClientEvent, seed: bytes) -> None:
        self._send = send
        self._key = sealing.SigningKey(seed)
        self._presence_channel = channels.presence_channel(session)
        self._output_channel = output_channel
        self._due_s = 0.0

    @property
    def key(self) -> bytes:
        """The public key, for viewers."""
        return self._key.public

    def take(self, said: tuple[str, str], seal: Callable[[str], str], now_s: float) -> int:
        """Send one event's (name, text) if it is small and the last is long ago; returns the bytes sent, 0: not this way."""
        name, text = said
        early, self._due_s = now_s < self._due_s, max(self._due_s, now_s + APART_S)
        if early or name not in _SMALL or len(text) > MAX_TEXT_CHARS:
            return 0
        data = seal(self._key.sign(text, self._output_channel))
        sent = self._send(self._presence_channel, channels.EVENT_CLIENT_OUTPUT, data)
        return len(data) if sent else 0

    def refused(self, now_s: float) -> None:
        """The broker relays no client events, or not so many."""
        self._due_s = now_s + REFUSED_FOR_S
