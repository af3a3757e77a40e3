"""What the host said, out of the events it came in: output events of the broker's app, and client events that it signed."""

from __future__ import annotations

from collections.abc import Callable

from codewrap.errors import RemoteProtocolError
from codewrap.protocol import channels, frames, sealing
from codewrap.protocol.frames import Acked, HostFrame, Output
from codewrap.transport.base import Received


class Hearing:
    """One session's host. ``secret_of`` gives a channel's key, None while it is not known or where there is none."""

    def __init__(self, session: str, secret_of: Callable[[str], bytes | None], *, encrypted: bool) -> None:
        self._secret_of = secret_of
        self._encrypted = encrypted
        self._output_channel = channels.output_channel(session, encrypted=encrypted)
        self._presence_channel = channels.presence_channel(session)

    def is_host(self, event: Received) -> bool:
        """Whether ``event`` is where only a host speaks."""
        if event.channel == self._output_channel:
            return True
        return event.channel == self._presence_channel and event.name == channels.EVENT_CLIENT_OUTPUT

    def frame(self, event: Received, key: bytes | None) -> HostFrame | None:
        """What was said. ``key`` is the host's, as it last told it; without it None is returned for what it would have signed.

        Raises RemoteProtocolError for anything else.
        """
        if event.channel == self._output_channel:
            frame = frames.decode_host(event.data)
            if frame.event != event.name:
                raise RemoteProtocolError("an event has the name of another frame")
            return frame
        if key is None:
            return None
        frame = frames.decode_host(sealing.verified(self._opened(event.data), key, self._output_channel))
        if not isinstance(frame, Output | Acked):
            raise RemoteProtocolError("a client event carries output and acknowledgements only")
        return frame

    def _opened(self, data: str) -> str:
        if not self._encrypted:
            return data
        key = self._secret_of(self._output_channel)
        if key is None:
            raise RemoteProtocolError("there is no key to open an event with")
        return sealing.unseal(data, key)
